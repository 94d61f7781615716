"""Compile a Triton body without a GPU, then read the machine code: registers, spills, shared memory, instructions.

For NVIDIA targets the assembler and disassembler that come with Triton give the resource usage and the instructions of
every loop; for AMD targets the assembly text does. Needs a process without TRITON_INTERPRET, since `triton.jit` decides
at import which of the two it builds.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import PruneproofError
from .backend import interpreting, triton_installed

TARGETS = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
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


def compile_body(
    body: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    aligned: Sequence[str],
    target: str,
    **options: int,
) -> MachineCode:
    """Compile `body` for `target` and inspect it.

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
        raise PruneproofError(
            "compile_body",
            required=f"a target in {tuple(TARGETS)}, Triton, and no TRITON_INTERPRET",
            received=f"{target}, Triton {'present' if triton_installed() else 'missing'}, interpreter {interpreting()}",
            remedy="compile in a process of its own",
        )
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = body.arg_names
    types = {name: "constexpr" if name in constants else signature[name] for name in names}
    fixed = {(names.index(name),): value for name, value in constants.items()}
    hints = {(names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    compiled = triton.compile(ASTSource(body, types, fixed, hints), target=GPUTarget(*TARGETS[target]), options=options)
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
