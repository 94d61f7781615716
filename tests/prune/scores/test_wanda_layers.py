"""Wanda in half precision and on layers that carry hooks: each input is read once, as the layer reads it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, PruneproofError
from pruneproof.prune import scores


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [300.0, 2.0**-13])
def test_half_precision_neither_overflows_nor_underflows(dtype: torch.dtype, scale: float) -> None:
    """The squares, 90,000 and 2^-26, and their sum over 10,000 examples leave float16; the norm does not."""
    layer = nn.Linear(4, 2).to(dtype)
    result = scores.wanda(layer, torch.full((10_000, 4), scale, dtype=dtype))["weight"]
    expected = layer.weight.detach().double().abs() * float(torch.tensor(scale, dtype=dtype)) * 100
    eps = torch.finfo(dtype).eps
    assert result.dtype == dtype
    smallest = torch.finfo(dtype).smallest_normal * eps  # below which float16 has no number
    # one rounding to the dtype, and sums of equal squares in float32, whose error is far below that
    assert torch.allclose(result.double(), expected, rtol=eps, atol=smallest)


def _fourth_power(output: Tensor, target: Tensor) -> Tensor:
    return 2.0**-10 * (output.float() ** 4).mean()


OVERFLOWING: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "wanda": lambda layer, x: scores.wanda(layer, x),
    "snip": lambda layer, x: scores.snip(layer, _fourth_power, (x, x)),
}


@pytest.mark.parametrize("name", OVERFLOWING)
def test_scores_that_overflow_are_refused_as_they_would_all_be_equal(name: str) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(4, 2).half(), (500 * torch.rand(10_000, 4)).half()
    layer.weight.data.mul_(20)
    with pytest.raises(InvalidValueError, match=f"{name}: scores of weight are NaN or larger"):
        OVERFLOWING[name](layer, inputs)
    OVERFLOWING[name](layer.float(), inputs.float())


def test_a_hook_that_changes_the_input_is_run_once() -> None:
    """The layer reads 2x: with weights of one the score is ‖2x‖, not the norm of another doubling of (2x)²."""
    layer, calls = nn.Linear(2, 1), list[Tensor]()
    nn.init.ones_(layer.weight)

    def doubled(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        calls.append(arguments[0])
        return (2 * arguments[0],)

    layer.register_forward_pre_hook(doubled)
    layer.register_forward_hook(lambda module, arguments, output: output.clamp(max=0))
    result = scores.wanda(layer, torch.tensor([[3.0, 0.0], [4.0, 1.0]]))
    assert result["weight"].tolist() == [[10.0, 2.0]] and len(calls) == 1


def test_misuse() -> None:
    with torch.inference_mode(), pytest.raises(PruneproofError, match=r"wanda: .*inference_mode"):
        scores.wanda(nn.Linear(2, 1), torch.ones(1, 2))
    net = nn.Linear(2, 1, dtype=torch.complex64)
    with pytest.raises(PruneproofError, match=r"wanda: weight holds .*, not real"):
        scores.wanda(net, torch.ones(1, 2, dtype=torch.complex64))
