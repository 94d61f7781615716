"""A floor on the time of every kernel: bytes over bandwidth, flops over GEMM rate, instructions over issue rate.

`python -m bench.roofline` prints the floors of the shapes that are benchmarked, for the GPUs in `GPUS`. Instruction
counts come from `bench/machine_code.json`, so they are those of the code that is compiled today. Bandwidth and product
rate are what such a GPU is known to reach; `bench/gpu_session.py` puts the rates that it measured in their place. A
floor is a prediction of the least time, never a measurement.
"""

from dataclasses import dataclass

from bench.machine_code import budgets

VERSION = "3.7.1"  # of the Triton whose instruction counts are predicted with: the one that torch 2.13 brings


@dataclass(frozen=True)
class Gpu:
    """Rates of a GPU: bytes/s read and written, bf16 flop/s, thread instructions/s; `target` names its machine code."""

    bandwidth: float
    product: float
    issue: float
    target: str


GPUS = {
    "NVIDIA H200": Gpu(4.3e12, 790e12, 132 * 128 * 1.98e9, "sm_90"),
    "NVIDIA A100-SXM4-80GB": Gpu(1.8e12, 270e12, 108 * 64 * 1.41e9, "sm_80"),
}


@dataclass(frozen=True)
class Work:
    """What a kernel must do: bytes moved, flops on tensor cores, thread instructions."""

    bytes: float
    flops: float
    instructions: float


@dataclass(frozen=True)
class Floor:
    """The least time in seconds, and the roof that sets it."""

    seconds: float
    roof: str


def floor(work: Work, gpu: Gpu) -> Floor:
    """The largest of the three quotients."""
    times = {
        "bandwidth": work.bytes / gpu.bandwidth,
        "tensor cores": work.flops / gpu.product,
        "instruction issue": work.instructions / gpu.issue,
    }
    roof = max(times, key=lambda name: times[name])
    return Floor(times[roof], roof)


def linear_work(kind: str, tokens: int, out: int, columns: int, density: float, target: str) -> Work:
    """Work of y = x Wᵀ with 16-bit values; `kind` is a format, "dense", "fused", or "premask"."""
    weights, activations = out * columns, 2 * tokens * (out + columns)
    flops = 2.0 * tokens * weights
    counts = budgets(VERSION)
    blocks = -(-tokens // 64)  # how often a tile of W is walked over
    if kind == "csr16":
        body, groups = ("csr16_1", tokens) if tokens == 1 else ("csr16_4", -(-tokens // 4))
        kept = density * weights
        return Work(4 * kept * groups + activations, 0, counts[body][target] * kept * groups)
    if kind == "fused":  # W and its bits, masked on the way
        return Work(2.125 * weights + activations, flops, counts["masked_forward"][target] * weights * blocks)
    if kind.startswith("bsr"):
        return Work(
            2 * density * weights + activations, density * flops, counts[kind][target] * density * weights * blocks
        )
    if kind == "premask":  # read W and bits, write the masked copy, read it in the product
        return Work(6.125 * weights + activations, flops, counts["apply_mask"][target] * weights)
    return Work(2 * weights + activations, flops, 0)


def greedy_work(kind: str, neurons: int, points: int, steps: int, target: str) -> Work:
    """Work of `steps` choices: "gram" (built before), "int8" or "bf16" screening, or the float32 "stream"."""
    counts = budgets(VERSION)
    if kind == "gram":
        return Work(36.0 * neurons * steps, 0, counts["greedy_gram"][target] * neurons * steps)
    size = {"int8": 1, "bf16": 2, "stream": 4}[kind]
    body = "screen_int8" if kind == "int8" else "screen_bf16"
    return Work(size * neurons * points * steps, 0, counts[body][target] * neurons * points * steps)


def sensitivity_work(out: int, columns: int, points: int, target: str) -> Work:
    """Work of the (max, ×) product; the sums z are counted as a float64 product of the library's, elsewhere."""
    instructions = budgets(VERSION)["sensitivities"][target] * out * columns * points
    return Work(8.0 * out * columns + 4.0 * points * (columns + 2 * out), 0, instructions)


def main() -> None:
    """Print the floors of linear maps in microseconds."""
    from rich.console import Console
    from rich.table import Table

    for name, gpu in GPUS.items():
        heads = (f"{kind} {density:.0%}" for kind, density in _KINDS)
        table = Table("out × in", "tokens", *heads, title=f"floors on {name}, µs")
        for out, columns in ((4096, 4096), (14336, 4096), (28672, 8192)):
            for tokens in (1, 4, 16, 64):
                works = (linear_work(kind, tokens, out, columns, density, gpu.target) for kind, density in _KINDS)
                cells = (floor(work, gpu) for work in works)
                shown = (f"{cell.seconds * 1e6:.1f} {cell.roof[:1]}" for cell in cells)
                table.add_row(f"{out} × {columns}", str(tokens), *shown)
        Console(width=110).print(table)
    print("b bandwidth, t tensor cores, i instruction issue; floors are predictions, not measurements")


_KINDS = (("dense", 1), ("csr16", 0.3), ("csr16", 0.1), ("csr16", 0.05), ("bsr64", 0.5))

if __name__ == "__main__":
    main()
