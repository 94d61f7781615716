"""Every operation on the CPU: within its derived bound of float64, exact on whole numbers, bad input refused."""

from typing import Any

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels.registry import Op, explain_plan, operations
from tests.kernels.cases import CASES

PAIRS = [(op, dtype) for op in operations() for dtype in op.dtypes]
EXACT_ON_INTEGERS = {"masked_linear", "sparse_linear"}  # sums of whole numbers, rounded once at the end


def name(value: object) -> str:
    """A test id: the operation's name, or the dtype."""
    return value.name if isinstance(value, Op) else str(value).removeprefix("torch.")


def one_tensor(result: Any) -> torch.Tensor:
    """A tensor from whatever the operation returns: indices of a selection, a list of masks."""
    if isinstance(result, list):
        return torch.cat([part.flatten() for part in result])
    return result if isinstance(result, torch.Tensor) else result.indices


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=name)
def test_within_the_bound_of_float64(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(0), "cpu", dtype):
        expected = CASES[op.name].reference(*args)
        error = (one_tensor(op.call(*args)).double() - expected.double()).abs()
        assert torch.all(error <= CASES[op.name].bound(args, expected.double(), dtype)), [
            getattr(a, "shape", a) for a in args
        ]


@pytest.mark.parametrize(("op", "dtype"), [case for case in PAIRS if case[0].name in EXACT_ON_INTEGERS], ids=name)
def test_whole_numbers_come_out_exactly(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(1), "cpu", dtype, True):
        assert torch.equal(op.call(*args), CASES[op.name].reference(*args).to(dtype))


@pytest.mark.parametrize("op", operations(), ids=name)
def test_bad_input_is_refused_before_any_work(op: Op) -> None:
    for args, message in CASES[op.name].refusals("cpu"):
        with pytest.raises(PruneproofError, match=message):
            op.call(*args)


@pytest.mark.parametrize("op", operations(), ids=name)
def test_which_tells_the_implementation(op: Op) -> None:
    args = CASES[op.name].samples(torch.Generator().manual_seed(0), "cpu", op.dtypes[-1])[1]
    assert explain_plan(op.name, *args) == explain_plan(op.call, *args)
    assert explain_plan(op.name, *args).op == op.name


def test_which_refuses_an_unknown_operation() -> None:
    with pytest.raises(PruneproofError, match="masked_linear"):
        explain_plan("masked_matmul")


def test_a_dropped_surviving_weight_is_noticed() -> None:
    """The false twin: one kept weight missing from the mask must fail both comparisons above."""
    op = next(op for op in operations() if op.name == "masked_linear")
    x, weight, mask, bias = CASES[op.name].samples(torch.Generator().manual_seed(1), "cpu", torch.float32, True)[2]
    kept = (mask & (weight != 0)).nonzero()[0]
    broken = mask.clone()
    broken[tuple(kept)] = False
    expected = CASES[op.name].reference(x, weight, mask, bias)
    found = op.call(x, weight, broken, bias)
    assert not torch.equal(found, expected.float())
    assert not torch.all(
        (found - expected).abs() <= CASES[op.name].bound((x, weight, mask, bias), expected, torch.float32)
    )
