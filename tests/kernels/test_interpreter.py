"""Every Triton body in the interpreter against float64: registry samples, whole numbers exactly, poisoned memory.

`torch.empty` is filled with NaN by conftest, so an output that is not written, or padding that is read, is seen. The
interpreter rounds float32 to bfloat16 towards zero, twice the error of a GPU: its bound uses 2u for the last rounding.
"""

from typing import Any

import pytest
import torch

from pruneproof.kernels import BitMask, explain_plan, masked_linear, registry
from pruneproof.kernels.registry import Op, operations
from tests.kernels import cases
from tests.kernels.cases import CASES

pytestmark = pytest.mark.interpreter

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PAIRS = [
    (op, dtype)
    for op in operations()
    for dtype in op.dtypes
    if dtype in TRITON_DTYPES and op.name != "top_k_masks"  # its torch operations are the same on every device
]


def name(value: object) -> str:
    """A test id: the operation's name, or the dtype."""
    return value.name if isinstance(value, Op) else str(value).removeprefix("torch.")


@pytest.fixture(autouse=True)
def triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")


def run(op: Op, args: tuple[Any, ...]) -> torch.Tensor:
    result = op.call(*args)
    return result if isinstance(result, torch.Tensor) else result.indices


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=name)
def test_within_the_bound_of_float64(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(0), "cpu", dtype):
        if op.name != "sparse_linear" or args[1].format != "dense":
            assert explain_plan(op.call, *args).backend == "triton"
        expected = CASES[op.name].reference(*args).double()
        truncation = cases.unit(dtype) * expected.abs() if dtype == torch.bfloat16 else 0
        error = (run(op, args).double() - expected).abs()
        assert torch.all(error <= CASES[op.name].bound(args, expected, dtype) + truncation), [
            getattr(a, "shape", a) for a in args
        ]


@pytest.mark.parametrize(("op", "dtype"), [c for c in PAIRS if "linear" in c[0].name], ids=name)
def test_whole_numbers_come_out_exactly(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(1), "cpu", dtype, True):
        assert torch.equal(run(op, args), CASES[op.name].reference(*args).to(dtype))


@pytest.mark.parametrize("dtype", TRITON_DTYPES)
@pytest.mark.parametrize("tokens", [3, 70, 330])  # fused kernel, own gradient; library products and in-place masks
@pytest.mark.parametrize("packed", [True, False])  # with a skip list, and without
def test_gradients_of_whole_numbers_are_exact(dtype: torch.dtype, tokens: int, packed: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    x, weight, dy = (cases.numbers(generator, *s, integers=True) for s in ((tokens, 130), (67, 130), (tokens, 67)))
    mask = torch.rand(67, 130, generator=generator) < 0.3
    mask[:, 64:128] = False  # an empty column of blocks
    x, weight, dy = x.to(dtype).requires_grad_(), weight.to(dtype).masked_fill_(~mask, torch.nan), dy.to(dtype)
    weight.requires_grad_()
    bias = torch.zeros(67, dtype=dtype, requires_grad=True)
    y = masked_linear(x, weight, BitMask.pack(mask) if packed else mask, bias)
    gradients = torch.autograd.grad(y, (x, weight, bias), dy)
    clean = torch.where(mask, weight, 0).detach().double()
    expected = (dy.double() @ clean, torch.where(mask, dy.double().T @ x.detach().double(), 0), dy.double().sum(0))
    assert torch.equal(y, (x.detach().double() @ clean.T).to(dtype))
    for found, exact in zip(gradients, expected, strict=True):
        assert torch.equal(found, exact.to(dtype))


def test_a_dropped_surviving_weight_is_noticed() -> None:
    op = next(op for op in registry.operations() if op.name == "masked_linear")
    x, weight, mask, bias = CASES[op.name].samples(torch.Generator().manual_seed(1), "cpu", torch.float32, True)[2]
    broken = mask.clone()
    broken[tuple((mask & (weight != 0)).nonzero()[-1])] = False
    assert not torch.equal(op.call(x, weight, broken, bias), CASES[op.name].reference(x, weight, mask, bias).float())


@pytest.mark.parametrize("precision", ["ieee", "tf32", "tf32x3"])
def test_every_precision_is_accepted(precision: str) -> None:
    """The interpreter computes all of them in float32; on a GPU they differ."""
    x, weight, mask, bias = cases.masked_samples(torch.Generator().manual_seed(3), "cpu", torch.float32, True)[1]
    expected = cases.masked_reference(x, weight, mask, bias).float()
    assert torch.equal(masked_linear(x, weight, mask, bias, precision=precision), expected)
