"""The machine code of every Triton body, compiled without a GPU: no spills, limits kept, wide loads, tensor cores.

`bench/machine_code.json` holds, per version of Triton, thread instructions per element of the inner loop (of the whole
body on AMD, whose listing has no loop labels), written by `python -m bench.machine_code`. A body may grow by 10 %; a
performance regression fails here without a GPU.
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from bench.machine_code import BUDGETS, GROWTH, SHARED_LIMIT, TARGETS, TENSOR_CORE, MachineCode, compile_body
from pruneproof.errors import PruneproofError
from pruneproof.kernels import backend

if not backend.triton_installed():
    pytest.skip("there is no Triton for this platform", allow_module_level=True)
if backend.interpreting():
    pytest.skip("the interpreter and the compiler cannot share a process", allow_module_level=True)

import triton

from bench.machine_code import Body, bodies, budgets

CASES = [pytest.param(body, target, id=f"{body.name}-{target}") for body in bodies() for target in TARGETS]
SIXTEEN_BYTES = ("LDG.E.128", "LDGSTS.E.BYPASS.128", "global_load_dwordx4")
# Loads narrower than 16 bytes, each for a reason: few 64-bit scores a thread, rows of odd length, and on AMD 1- or
# 2-byte elements spread over 64 lanes, of which a tile row leaves fewer than 16 bytes a lane.
NARROW = (
    {("greedy_gram", target) for target in TARGETS}
    | {("masked_forward_odd", target) for target in TARGETS if target != "gfx942"}
    | {(name, "gfx942") for name in ("csr16_1", "csr16_4", "csr16_scatter")}
)
# What single versions of Triton do otherwise: narrow loads of blocks, and bytes of stack.
NARROW_IN = {"3.8.0": {("bsr64", "sm_80"), ("bsr128", "sm_80")}}
STACK_IN = {"3.6.0": {("greedy_gram", "sm_80"): 8, ("greedy_gram", "sm_90"): 16, ("greedy_gram", "sm_100"): 16}}


@cache
def machine_code(name: str, target: str) -> MachineCode:
    return next(body for body in bodies() if body.name == name).compile(target)


@pytest.mark.parametrize(("body", "target"), CASES)
def test_machine_code(body: Body, target: str) -> None:
    code = machine_code(body.name, target)
    case = body.name, target
    assert code.spilled == STACK_IN.get(triton.__version__, {}).get(case, 0)
    assert code.shared <= SHARED_LIMIT[target]
    assert code.has(TENSOR_CORE[target]) == (target in body.product)
    wide = any(name.startswith(SIXTEEN_BYTES) for name in body.inner(code))
    assert wide != (case in NARROW | NARROW_IN.get(triton.__version__, set()))


@pytest.mark.parametrize(("body", "target"), CASES)
def test_instructions_stay_within_the_budget(body: Body, target: str) -> None:
    """Counts change by half from version to version, so each version has its own budgets."""
    known = json.loads(BUDGETS.read_text())
    if triton.__version__ not in known:
        pytest.skip(f"budgets hold for Triton {', '.join(known)}; `python -m bench.machine_code` adds this version's")
    count = body.instructions_per_element(machine_code(body.name, target))
    assert count <= known[triton.__version__][body.name][target] * GROWTH


def test_a_wasteful_body_exceeds_its_budget_and_a_spilling_one_is_seen() -> None:
    """The negative controls: products in float32 without tensor cores; a tile too large for the registers.

    Masks applied weight by weight instead of pair by pair are none: Triton 3.8 compiles both to the same length.
    """
    from dataclasses import replace

    rows = {body.name: body for body in bodies()}
    pairs = rows["masked_forward"]
    signature = {**pairs.signature, "w_ptr": "*bf16"}
    wasteful = replace(pairs, signature=signature, constants={**pairs.constants, "PAIRS": False, "UPCAST": True})
    count = wasteful.instructions_per_element(wasteful.compile("sm_90"))
    assert count > budgets(triton.__version__)["masked_forward"]["sm_90"] * GROWTH
    large = rows["sensitivities"]
    spilling = replace(large, constants={**large.constants, "BN": 128, "BK": 128}, warps=4)
    assert spilling.compile("sm_90").spilled > 0


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_a_thread_of_the_persistent_kernel_meets_its_own_scores_only(target: str) -> None:
    """Scores are stored in one loop and loaded in the next, without a barrier between: in one layout throughout."""
    body = next(body for body in bodies() if body.name == "greedy_gram")
    moves = re.findall(r"tt\.(?:load|store) .*tensor<512x!tt\.ptr<f64>, (#\w+)>", body.intermediate_code(target))
    assert len(moves) >= 7 and len(set(moves)) == 1


def test_refuses_an_unknown_target() -> None:
    body = bodies()[0]
    with pytest.raises(PruneproofError, match="a target in"):
        compile_body(body.kernel, body.signature, body.constants, (), "sm_70")


def test_every_triton_body_is_inspected() -> None:
    """A body that no row of `bodies` compiles would escape all of the above."""
    from triton.runtime.jit import JITFunction

    from pruneproof.kernels.greedy import triton_kernels as greedy_triton
    from pruneproof.kernels.masked import triton_kernels as masked_triton
    from pruneproof.kernels.sensitivity import triton_kernels as sensitivity_triton
    from pruneproof.kernels.sparse import triton_kernels as sparse_triton

    modules = (greedy_triton, masked_triton, sensitivity_triton, sparse_triton)
    kernels = {name for module in modules for name, value in vars(module).items() if isinstance(value, JITFunction)}
    launched = {name for name in kernels if name.endswith("_kernel")}
    assert launched == {body.kernel.__name__ for body in bodies()}
    files = {path.resolve() for path in Path(masked_triton.__file__).parents[1].glob("*/triton_kernels.py")}
    assert files == {Path(str(module.__file__)).resolve() for module in modules}
