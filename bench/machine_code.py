"""Every Triton body compiled ahead of time for real targets: its machine code and a budget of instructions.

One row per body and configuration, as it is launched for large shapes. `unit` says how many elements (or non-zeros)
one turn of the body's longest loop handles, so that instructions per element can be held against a stored budget
(`machine_code.json`). `python -m bench.machine_code` compiles all bodies and rewrites the budgets; do that only with a
reason that the commit message gives, since the test that holds bodies to their budgets is the only watch on speed
without a GPU.

For NVIDIA targets the assembler and disassembler that come with Triton give the resource usage and the instructions of
every loop; for AMD targets the assembly text does. Needs a process without TRITON_INTERPRET, since `triton.jit` decides
at import which of the two it builds.
"""

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pruneproof.errors import StateError
from pruneproof.kernels.backend import interpreting, triton_installed

TARGETS = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
TENSOR_CORE = {"sm_80": "HMMA", "sm_90": "HGMMA", "sm_100": "UTCHMMA", "gfx942": "v_mfma"}
SHARED_LIMIT = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_100": 227 * 1024, "gfx942": 64 * 1024}
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)(.*)")


@dataclass(frozen=True)
class MachineCode:
    """What one body became on one target.

    Arguments:
        target: e.g. "sm_90".
        registers: per thread.
        spilled: bytes of stack and local memory per thread.
        shared: bytes of shared memory per block.
        opcodes: how often each instruction occurs in the whole body.
        loops: the same for every loop, longest first (NVIDIA only).
    """

    target: str
    registers: int
    spilled: int
    shared: int
    opcodes: Mapping[str, int]
    loops: tuple[Mapping[str, int], ...]

    def has(self, prefix: str) -> bool:
        """Whether an instruction beginning with `prefix` occurs."""
        return any(code.startswith(prefix) for code in self.opcodes)


def _compiled(
    body: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    aligned: Sequence[str],
    target: str,
    **options: int,
) -> Any:
    """Triton's result for `body` on `target`.

    Arguments:
        body: a function made by `triton.jit`.
        signature: argument → type as Triton writes it ("*bf16", "i32"), for all arguments that are no constants.
        constants: the compile-time arguments.
        aligned: arguments that are multiples of 16, as launches of large shapes have them.
        target: a key of `TARGETS`.
        options: num_warps, num_stages.

    Raises PruneproofError for an unknown target, without Triton, and under TRITON_INTERPRET=1.
    """
    if target not in TARGETS or not triton_installed() or interpreting():
        raise StateError(
            f"compile_body: needs a target in {tuple(TARGETS)}, Triton, and no TRITON_INTERPRET, got {target}, Triton "
            f"{'present' if triton_installed() else 'missing'}, interpreter {interpreting()}. Use a process of its own."
        )
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = body.arg_names
    types = {name: "constexpr" if name in constants else signature[name] for name in names}
    fixed = {(names.index(name),): value for name, value in constants.items()}
    hints = {(names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    return triton.compile(ASTSource(body, types, fixed, hints), target=GPUTarget(*TARGETS[target]), options=options)


def compile_body(
    body: Any, signature: Mapping[str, str], constants: Mapping[str, Any], aligned: Sequence[str], target: str,
    **options: int,
) -> MachineCode:  # fmt: skip
    """Compile a body, with the arguments of `_compiled`, and inspect it."""
    compiled = _compiled(body, signature, constants, aligned, target, **options)
    if "cubin" in compiled.asm:
        return _nvidia(target, compiled.asm["cubin"], compiled.metadata.shared)
    return _amd(target, compiled.asm["amdgcn"], compiled.metadata.shared)


def _nvidia(target: str, cubin: bytes, shared: int) -> MachineCode:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = subprocess.run(
            [_tool("cuobjdump"), "-res-usage", file.name], capture_output=True, text=True, check=True
        )
        listing = subprocess.run([_tool("nvdisasm"), "-c", file.name], capture_output=True, text=True, check=True)
    found = {key: int(value) for key, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage.stdout)}
    opcodes, loops = _instructions(listing.stdout)
    return MachineCode(target, found["REG"], found["STACK"] + found["LOCAL"], shared, opcodes, loops)


def _instructions(listing: str) -> tuple[Counter[str], tuple[Counter[str], ...]]:
    """The opcodes of a disassembly and those between every label and a branch back to it."""
    labels: dict[str, int] = {}
    codes: list[tuple[str, str]] = []
    for line in listing.splitlines():
        if label := _LABEL.match(line.strip()):
            labels[label[1]] = len(codes)
        elif instruction := _INSTRUCTION.match(line):
            codes.append((instruction[1], instruction[2]))
    loops: list[Counter[str]] = []
    for end, (code, operands) in enumerate(codes):
        aim = re.search(r"\.L_x_\d+", operands) if code.startswith("BRA") else None
        if aim and labels.get(aim[0], end) < end:
            loops.append(Counter(name for name, _ in codes[labels[aim[0]] : end + 1]))
    return Counter(name for name, _ in codes), tuple(sorted(loops, key=lambda loop: -loop.total()))


def _amd(target: str, assembly: str, shared: int) -> MachineCode:
    def number(key: str) -> int:
        return int(re.findall(rf"\.{key}:\s+(\d+)", assembly)[0])

    opcodes = Counter(re.findall(r"^\s+([vsg]\w+_\w+)", assembly, flags=re.MULTILINE))
    spilled = 4 * (number("vgpr_spill_count") + number("sgpr_spill_count")) + number("private_segment_fixed_size")
    return MachineCode(target, number("vgpr_count"), spilled, shared, opcodes, ())


@cache
def _tool(name: str) -> str:
    import triton

    return str(Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name)


EVERYWHERE = tuple(TARGETS)
FLOAT32_CORES = ("gfx942",)  # NVIDIA's tensor cores have no full float32 product


@dataclass(frozen=True)
class Body:
    """One configuration of a Triton body.

    Arguments:
        name: the key of its budget.
        op: the operation that launches it.
        kernel: the function made by `triton.jit`.
        signature: argument → Triton type, for what is no constant.
        constants: compile-time arguments, as in the launch.
        unaligned: arguments that need not be multiples of 16.
        warps, stages: as in the launch.
        unit: elements or non-zeros per turn of the longest loop (of the whole body where it has none).
        product: the targets where a tensor-core instruction must occur; elsewhere none may.
    """

    name: str
    op: str
    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    unaligned: tuple[str, ...]
    warps: int
    stages: int
    unit: int
    product: tuple[str, ...]

    def compile(self, target: str) -> MachineCode:
        """The machine code for a target of `machine_code.TARGETS`."""
        return compile_body(*self._arguments(), target, num_warps=self.warps, num_stages=self.stages)

    def intermediate_code(self, target: str) -> str:
        """Triton's own code for the target, in which layouts are named."""
        return _compiled(*self._arguments(), target, num_warps=self.warps, num_stages=self.stages).asm["ttgir"]

    def _arguments(self) -> tuple[Any, Mapping[str, str], Mapping[str, Any], list[str]]:
        aligned = [name for name in self.signature if name not in self.unaligned and name not in self.constants]
        return self.kernel, self.signature, self.constants, aligned

    def inner(self, code: MachineCode) -> Mapping[str, int]:
        """The instructions that are counted: the loop with the products, else the longest, else the whole body."""

        def products(loop: Mapping[str, int]) -> int:
            return sum(count for name, count in loop.items() if name.startswith(TENSOR_CORE[code.target]))

        most = max(map(products, code.loops), default=0)
        loops = [loop for loop in code.loops if products(loop) == most]  # longest first; with products, one in another
        return loops[-1 if most else 0] if loops else code.opcodes

    def instructions_per_element(self, code: MachineCode) -> float:
        """Thread instructions per element, or non-zero."""
        lanes = 64 if code.target.startswith("gfx") else 32
        return sum(self.inner(code).values()) * self.warps * lanes / self.unit


def bodies() -> tuple[Body, ...]:
    """All of them; imports Triton."""
    return (*_masked(), *_sparse(), *_greedy(), _sensitivity())


def _types(pointers: str, integers: str) -> dict[str, str]:
    """`"x_ptr:bf16 y_ptr:fp32"`, `"M N"` to a signature; integers are 32-bit."""
    named = (pair.split(":") for pair in pointers.split())
    return {name: f"*{kind}" for name, kind in named} | dict.fromkeys(integers.split(), "i32")


def _masked() -> tuple[Body, ...]:
    from pruneproof.kernels.masked.triton_kernels import (
        apply_mask_kernel,
        masked_forward_kernel,
        weight_gradient_kernel,
    )

    op, integers = "masked_linear", "M N K x_stride w_stride words_stride y_stride part_stride"
    pointers = "x_ptr:{0} w_ptr:{1} words_ptr:i32 bias_ptr:{0} y_ptr:{0} parts_ptr:fp32 arrivals_ptr:i32"
    lists = " tiles_ptr:i32 starts_ptr:i32"
    pairs, single = (_types((pointers + lists).format("bf16", kind), integers) for kind in ("i32", "bf16"))
    floats = _types((pointers + lists).format("fp32", "fp32"), integers)
    plain = {"tiles_ptr": None, "starts_ptr": None, "bias_ptr": None, "BIAS": False, "SKIP": False, "SPLIT": 4}
    common = {"UPCAST": False, "WHOLE": True, "PRECISION": "ieee", "BN": 64, "PAIRS": True}
    few, many = (common | plain | {"BM": tokens, "BK": 128} for tokens in (16, 64))
    alone = common | plain | {"BM": 64, "BK": 32, "PAIRS": False}
    whole = {"parts_ptr": None, "arrivals_ptr": None, "SPLIT": 1}
    skip = common | whole | {"BM": 64, "BK": 64, "BIAS": True, "SKIP": True}
    odd = ("M", "K", "x_stride", "w_stride")
    gradient = "dy_ptr:{0} x_ptr:{0} words_ptr:i32 dw_ptr:{0}", "M N K dy_stride x_stride words_stride dw_stride"
    wide, narrow = (_types(gradient[0].format(kind), gradient[1]) for kind in ("bf16", "fp32"))
    tile, small = ({"BM": m, "BN": n, "BK": n, "UPCAST": False, "PRECISION": "ieee"} for m, n in ((64, 128), (32, 64)))
    apply = _types("w_ptr:bf16 words_ptr:i32 out_ptr:bf16", "N K w_stride words_stride out_stride")
    forward, dw = masked_forward_kernel, weight_gradient_kernel
    tf32, ragged = alone | {"PRECISION": "tf32"}, alone | {"WHOLE": False}
    return (
        Body("masked_forward", op, forward, pairs, few, ("M",), 4, 3, 64 * 128, EVERYWHERE),
        Body("masked_forward_64", op, forward, pairs, many, ("M",), 4, 3, 64 * 128, EVERYWHERE),
        Body("masked_forward_odd", op, forward, single, ragged, odd, 4, 3, 64 * 32, EVERYWHERE),
        Body("masked_forward_skip", op, forward, pairs, skip, ("M",), 4, 3, 64 * 64, EVERYWHERE),
        Body("masked_forward_tf32", op, forward, floats, tf32, ("M",), 4, 3, 64 * 32, EVERYWHERE),
        Body("masked_forward_ieee", op, forward, floats, alone, ("M",), 4, 3, 64 * 32, FLOAT32_CORES),
        Body("weight_gradient", op, dw, wide, tile, ("M",), 8, 3, 128 * 128, EVERYWHERE),
        Body("weight_gradient_ieee", op, dw, narrow, small, ("M",), 8, 3, 64 * 64, FLOAT32_CORES),
        Body("apply_mask", op, apply_mask_kernel, apply, {"BN": 16, "BK": 128}, (), 4, 3, 16 * 128, ()),
    )


def _sparse() -> tuple[Body, ...]:
    from pruneproof.kernels.sparse.triton_kernels import bsr_kernel, csr16_kernel, csr16_scatter_kernel

    op, loose = "sparse_linear", ("M", "N")
    dot = {"BIAS": True, "UPCAST": False, "PRECISION": "ieee"}
    csr = _types(
        "x_ptr:bf16 values_ptr:bf16 columns_ptr:u16 starts_ptr:i32 bias_ptr:bf16 y_ptr:bf16", "M N x_stride y_stride"
    )
    scatter = _types("values_ptr:bf16 columns_ptr:u16 starts_ptr:i32 dense_ptr:bf16", "K")
    one, four = ({"BR": 4, "BP": 256, "BM": tokens, "BIAS": True} for tokens in (1, 4))
    bsr = _types(
        "x_ptr:bf16 values_ptr:bf16 columns_ptr:i32 starts_ptr:i32 bias_ptr:bf16 y_ptr:bf16", "M N K x_stride y_stride"
    )
    floats = {name: kind.replace("bf16", "fp32") for name, kind in bsr.items()}
    small = {"BM": 16, "SIZE": 64, "BK": 64} | dot
    large, narrow = ({"BM": 64, "SIZE": 128, "BK": columns} | dot for columns in (128, 32))
    return (
        Body("csr16_1", op, csr16_kernel, csr, one, loose, 4, 3, 4 * 256, ()),
        Body("csr16_4", op, csr16_kernel, csr, four, loose, 4, 3, 4 * 256, ()),
        Body("csr16_scatter", op, csr16_scatter_kernel, scatter, {"BP": 256}, (), 1, 3, 256, ()),
        Body("bsr64", op, bsr_kernel, bsr, small, loose, 4, 3, 64 * 64, EVERYWHERE),
        Body("bsr128", op, bsr_kernel, bsr, large, loose, 8, 3, 128 * 128, EVERYWHERE),
        Body("bsr128_ieee", op, bsr_kernel, floats, narrow, loose, 8, 3, 128 * 32, FLOAT32_CORES),
    )


def _greedy() -> tuple[Body, ...]:
    from pruneproof.kernels.greedy.screening import SLACK
    from pruneproof.kernels.greedy.triton_kernels import greedy_gram_kernel, pick_kernel, rescore_kernel, screen_kernel

    op = "greedy_select"
    gram = _types(
        "gram_ptr:fp32 b_ptr:fp64 score_ptr:fp64 tie_ptr:fp64 lowest_ptr:i64 chosen_ptr:i64 arrivals_ptr:i32 "
        "chosen_score_ptr:fp64",
        "N K gram_stride gram_part",
    )
    screen = (
        "copy_ptr:{} short_ptr:fp32 scale_ptr:fp64 error_ptr:fp64 length_ptr:fp64 half_ptr:fp64 barred_ptr:fp64 "
        "bounds_ptr:fp64 step_ptr:i64 lower_ptr:fp64 limit_ptr:i64"
    )
    int8, bf16 = (_types(screen.format(kind), "N M copy_stride") for kind in ("i8", "bf16"))
    tile = {"BN": 4, "BM": 2048, "SLACK": SLACK}
    exact = _types(
        "features_ptr:fp32 r_ptr:fp64 half_ptr:fp64 lower_ptr:fp64 bounds_ptr:fp64 step_ptr:i64 limit_ptr:i64 "
        "exact_ptr:fp64 least_ptr:i64",
        "N M stride",
    )
    pick = _types(
        "features_ptr:fp32 exact_ptr:fp64 least_ptr:i64 y_ptr:fp64 r_ptr:fp64 short_ptr:fp32 bounds_ptr:fp64 "
        "barred_ptr:fp64 step_ptr:i64 chosen_ptr:i64 losses_ptr:fp64",
        "N M stride",
    )
    walk = {"BN": 512, "GRID": 132, "REPLACEMENT": True}
    last = {"BN": 4096, "BM": 2048, "REPLACEMENT": True}
    return (
        Body("greedy_gram", op, greedy_gram_kernel, gram, walk, ("N", "K", "gram_part"), 4, 3, 512, ()),
        Body("screen_int8", op, screen_kernel, int8, tile, ("N",), 4, 3, 4 * 2048, ()),
        Body("screen_bf16", op, screen_kernel, bf16, tile, ("N",), 4, 3, 4 * 2048, ()),
        Body("rescore", op, rescore_kernel, exact, {"BN": 64, "BM": 1024}, ("N",), 4, 3, 1024, ()),
        Body("pick", op, pick_kernel, pick, last, ("N",), 16, 3, 2048, ()),
    )


def _sensitivity() -> Body:
    from pruneproof.kernels.sensitivity.triton_kernels import STEP, TILE, sensitivity_kernel

    types = _types(
        "w_ptr:fp32 points_ptr:fp32 plus_ptr:fp32 minus_ptr:fp32 s_ptr:fp32", "P N K points_stride sums_stride"
    )
    tile, loose = {"BN": TILE, "BK": TILE, "STEP": STEP}, ("P",)
    unit = TILE * TILE * STEP
    return Body("sensitivities", "sensitivities", sensitivity_kernel, types, tile, loose, 8, 3, unit, ())


BUDGETS = Path(__file__).with_name("machine_code.json")
GROWTH = 1.1  # a body may cost a tenth more than its budget: register allocation moves a few instructions about


def budgets(version: str | None = None) -> dict[str, dict[str, float]]:
    """Body → target → instructions per element, for a version of Triton; of the newest known one for an unknown one."""
    known = json.loads(BUDGETS.read_text())
    return known[version if version in known else max(known, key=_as_numbers)]


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def measure() -> dict[str, dict[str, float]]:
    """Instructions per element of every body and target, as the Triton installed here compiles them."""
    return {
        body.name: {target: round(body.instructions_per_element(body.compile(target)), 2) for target in TARGETS}
        for body in bodies()
    }


if __name__ == "__main__":
    import triton

    versions = json.loads(BUDGETS.read_text()) | {triton.__version__: measure()}
    BUDGETS.write_text(
        json.dumps(dict(sorted(versions.items(), key=lambda item: _as_numbers(item[0]))), indent=1) + "\n"
    )
