"""Measure on the GPU at hand where each implementation wins, and write its rows of `kernels/measured.json`.

`python -m bench.measure_choices` measures them alone; `bench/gpu_session.py` does so among other things, and its
`--adopt` writes them by the same function. Every threshold is found by bisection: an implementation that wins for few
tokens, or at low density, is assumed to win for fewer and lower, so one threshold among n candidates takes log₂ n
measurements. A device without rows keeps the predicted ones of `default`, and "dense" for sparse weights.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from bench.lab import Case, Lab, figures, require_close, rotated
from bench.replay import Contender, replayed
from bench.session import Row, SessionError, replace_json
from pruneproof.kernels import BitMask, SparseWeight, measured, sparse_linear

TOKENS = (16, 32, 64, 96, 128, 192, 256, 320, 384, 448, 512, 768, 1024)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DENSITIES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
FORMATS = {"csr16": (1, 2, 4), "bsr64": (1, 16, 64, 512), "bsr128": (1, 16, 64, 512)}
SHAPES = ((4096, 4096), (14336, 4096))
MARGIN = 1.05  # a sparse format must be a twentieth faster than the dense product to be chosen


def choices(lab: Lab, case: Case) -> None:
    """All thresholds of this device; the last case holds the rows that `write` takes."""
    masked: Row = {
        "fused_tokens": _most(case, "fused tokens", TOKENS, lambda t: fused_wins(lab, t, lab.dtype)),
        "fused_tokens_float32": _most(
            case, "fused tokens, float32", TOKENS, lambda t: fused_wins(lab, t, torch.float32)
        ),
        "skip_live_fraction": _most(case, "live fraction", FRACTIONS, lambda f: skipping_wins(lab, f)),
    }
    kernel = _most(case, "gradient by kernel, tokens", TOKENS, lambda t: gradient_kernel_wins(lab, t))
    masked["library_gradient_tokens"] = None if kernel is None else kernel + 1
    sparse: list[Row] = []
    for format, counts in FORMATS.items():
        for tokens in counts[: lab.size(len(counts), 1)]:
            sparse += sparse_rows(lab, case, format, tokens)
    known = {name: value for name, value in masked.items() if value is not None}
    case("choice/rows", 5, lambda: {"masked": known, "sparse": sparse})


def _most(case: Case, name: str, values: Sequence[Any], wins: Callable[[Any], Row]) -> Any:
    """The largest value up to which "faster" is at least 1; 0 if for none; None if a measurement failed."""

    def probe(value: Any) -> bool | None:
        found = case(f"choice/{name} {value}", 25, lambda: wins(value))
        return None if found is None else found["faster"] >= 1

    return bisected(values, probe)


def bisected(values: Sequence[Any], wins: Callable[[Any], bool | None]) -> Any:
    """The largest of the ascending values that wins, if all below it do; 0 if none; None once an answer is missing."""
    low, high = 0, len(values)  # all below low win, none from high on
    while low < high:
        middle = (low + high) // 2
        answer = wins(values[middle])
        if answer is None:
            return None
        low, high = (middle + 1, high) if answer else (low, middle)
    return values[low - 1] if low else 0


def fused_wins(lab: Lab, tokens: int, dtype: torch.dtype) -> Row:
    """The fused kernel against masking once and the library's product."""
    from pruneproof.kernels.masked.launch import fused_forward, premasked_forward

    size = lab.size(8192, 40)
    weights, x = [weight.to(dtype) for weight in rotated(lab, size, size)], lab.normal(tokens, size, dtype=dtype)
    words = BitMask.pack(lab.mask(size, size, 0.1)).words
    fused: Contender = lambda i: fused_forward(x, weights[i], words, None, None, None, "default")  # noqa: E731
    split: Contender = lambda i: premasked_forward(x, weights[i], words, None, "default")  # noqa: E731
    return _faster(lab, {"ours": fused, "other": split}, len(weights))


def gradient_kernel_wins(lab: Lab, tokens: int) -> Row:
    """The kernel that masks its accumulator against the library's product, masked in place."""
    from pruneproof.kernels.masked.launch import apply_mask, masked_product

    size = lab.size(8192, 40)
    x, dy = lab.normal(tokens, size), lab.normal(tokens, size, seed=1)
    words = BitMask.pack(lab.mask(size, size, 0.1)).words
    calls: dict[str, Contender] = {
        "ours": lambda i: masked_product(dy, x, words, "default"),
        "other": lambda i: apply_mask(dy.T @ x, words, in_place=True),
    }
    return _faster(lab, calls, 2)


def skipping_wins(lab: Lab, fraction: float) -> Row:
    """The walk over non-empty blocks against the same kernel over all of them, for 64 tokens."""
    from pruneproof.kernels.bits import BLOCK, block_list, live_blocks
    from pruneproof.kernels.masked.launch import fused_forward

    size = lab.size(8192, 128)
    weights, x = rotated(lab, size, size), lab.normal(lab.size(64, 2), size)
    words = BitMask.pack(mask_for(lab.device, "bsr64", size, size, fraction)).words
    tiles, starts = block_list(live_blocks(words, BLOCK, BLOCK))
    calls: dict[str, Contender] = {
        "ours": lambda i: fused_forward(x, weights[i], words, None, tiles, starts, "default"),
        "other": lambda i: fused_forward(x, weights[i], words, None, None, None, "default"),
    }
    return _faster(lab, calls, len(weights))


def _faster(lab: Lab, calls: dict[str, Contender], buffers: int) -> Row:
    times = replayed(calls, buffers=buffers, rounds=lab.size(10, 1))
    return figures(times, faster=times["other"].median / times["ours"].median)


def sparse_rows(lab: Lab, case: Case, format: str, tokens: int) -> list[Row]:
    """Up to which density the format pays for so many tokens, and whether it does for small weights too."""
    small, large = SHAPES
    name = f"{format}, {tokens} tokens, density"
    most = _most(case, name, DENSITIES, lambda d: sparse_wins(lab, format, large, tokens, d))
    if not most:
        return []
    again = case(f"choice/{name} {most}, small", 25, lambda: sparse_wins(lab, format, small, tokens, most))
    least = small if again is not None and again["faster"] >= 1 else large
    return [{"format": format, "max_tokens": tokens, "max_stored": most, "min_weights": least[0] * least[1]}]


def sparse_wins(lab: Lab, format: str, shape: tuple[int, int], tokens: int, density: float) -> Row:
    """Dense time over sparse time and `MARGIN`, after checking that both agree."""
    out, columns = (lab.size(length, 128) for length in shape)
    x, mask = lab.normal(tokens, columns), mask_for(lab.device, format, out, columns, density)
    dense = [torch.where(mask, weight, 0) for weight in rotated(lab, out, columns)]
    sparse = [SparseWeight.from_dense(weight, mask, format=format) for weight in dense]
    exact = dense[0].double()
    require_close(sparse_linear(x, sparse[0]), x.double() @ exact.T, x.double().abs() @ exact.abs().T)
    calls: dict[str, Contender] = {
        "sparse": lambda i: sparse_linear(x, sparse[i]),
        "dense": lambda i: linear(x, dense[i]),
    }
    times = replayed(calls, buffers=len(dense), rounds=lab.size(10, 1))
    return figures(times, faster=times["dense"].median / times["sparse"].median / MARGIN)


def mask_for(device: str, format: str, out: int, columns: int, density: float) -> Tensor:
    """A random mask of the structure that the format is made for."""
    generator = torch.Generator(device).manual_seed(0)
    if format.startswith("bsr"):
        size = int(format[3:])
        blocks = torch.rand(out // size, columns // size, device=device, generator=generator) < density
        return blocks.repeat_interleave(size, 0).repeat_interleave(size, 1)
    return torch.rand(out, columns, device=device, generator=generator) < density


def write(device: str, rows: Row, path: Path = measured.TABLE) -> None:
    """Put what was measured on a device into the table, beside what is known of others."""
    table = measured.read(path)
    table["masked"][device] = {**table["masked"]["default"], **rows["masked"]}
    table["sparse"][device] = sorted(rows["sparse"], key=lambda row: (row["max_stored"], row["max_tokens"]))
    replace_json(path, table)


def main() -> int:
    """Measure all thresholds and write them."""
    try:
        lab = Lab(toy=False)
        found: dict[str, Row] = {}

        def case(name: str, seconds: float, measure: Callable[[], Row]) -> Row:
            found[name] = measure()
            print(name, {key: value for key, value in found[name].items() if key != "microseconds"}, flush=True)
            return found[name]

        choices(lab, case)
        write(lab.name, found["choice/rows"])
    except SessionError as error:
        print(f"measure_choices: {error}", file=sys.stderr)
        return 2
    print(f"the choices for {lab.name} are in {measured.TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
