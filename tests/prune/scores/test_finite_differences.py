"""SNIP and GraSP are derivatives with respect to a mask: central differences agree, and fix GraSP's sign."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pruneproof.prune import prunable, scores

F64 = torch.float64
Function = Callable[[nn.Module, dict[str, Tensor], float], float]
STEP = 6e-6  # 2^-17.3: truncation h² and rounding 2^-53 / h are then both near 1e-11 of the function's size


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 3)
    ).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(9, 1, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3


def masked_loss(model: nn.Module, masks: dict[str, Tensor], temperature: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at weights mask·θ, in the mode that the scores use by default, and those weights."""
    inputs, targets = batch()
    weights = {name: (masks[name] * w.detach()).requires_grad_() for name, w in prunable(model).items()}
    model.train()
    state = dict(model.named_buffers())
    copies = {name: buffer.clone() for name, buffer in state.items()}
    return cross_entropy(functional_call(model, weights | copies, inputs) / temperature, targets), weights


def squared_gradient_norm(model: nn.Module, masks: dict[str, Tensor], temperature: float) -> float:
    """Of the mean over examples where each half of the batch, 4 and 5 examples, has batch statistics of its own."""
    weights = {name: (masks[name] * w.detach()).requires_grad_() for name, w in prunable(model).items()}
    inputs, targets = batch()
    model.train()
    loss = torch.zeros((), dtype=F64)
    for half in (slice(0, 4), slice(4, 9)):
        copies = {name: buffer.clone() for name, buffer in model.named_buffers()}
        output = functional_call(model, weights | copies, inputs[half]) / temperature
        loss = loss + cross_entropy(output, targets[half], reduction="sum") / 9
    return sum(float(g.pow(2).sum()) for g in torch.autograd.grad(loss, list(weights.values())))


def loss_value(model: nn.Module, masks: dict[str, Tensor], temperature: float) -> float:
    return masked_loss(model, masks, temperature)[0].item()


def central_differences(model: nn.Module, function: Function, temperature: float) -> dict[str, Tensor]:
    result = dict[str, Tensor]()
    ones = {name: torch.ones_like(weight) for name, weight in prunable(model).items()}
    for name, mask in ones.items():
        derivative = torch.zeros_like(mask).view(-1)
        for index in range(mask.numel()):
            values = list[float]()
            for sign in (1, -1):
                moved = mask.clone()
                moved.view(-1)[index] += sign * STEP
                values.append(function(model, ones | {name: moved}, temperature))
            derivative[index] = (values[0] - values[1]) / (2 * STEP)
        result[name] = derivative.view_as(mask)
    return result


def agree(actual: dict[str, Tensor], expected: dict[str, Tensor], size: float) -> bool:
    """Within 1e-9 of the function's size plus 1e-8 of the largest derivative: 100 × the step's two errors."""
    largest = max(float(value.abs().max()) for value in expected.values())
    return all(bool((actual[n] - expected[n]).abs().max() <= 1e-9 * size + 1e-8 * largest) for n in expected)


@pytest.mark.parametrize("seed", range(3))
def test_snip_is_the_derivative_of_the_loss_by_the_mask(seed: int) -> None:
    model = network(seed)
    difference = central_differences(model, loss_value, 1.0)
    expected = {name: value.abs() for name, value in difference.items()}
    result = scores.snip(model, cross_entropy, batch())
    assert agree(result, expected, loss_value(model, {n: torch.ones(1) for n in expected}, 1.0))
    assert not agree({n: 1.001 * s for n, s in result.items()}, expected, 1.0)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_grasp_is_half_the_derivative_of_the_squared_gradient_norm(temperature: float) -> None:
    """Positive where removing the weight lowers the gradient norm: those are kept."""
    model = network(7)
    difference = central_differences(model, squared_gradient_norm, temperature)
    expected = {name: value / 2 for name, value in difference.items()}
    result = scores.grasp(model, cross_entropy, batch(), temperature=temperature)
    size = squared_gradient_norm(model, {n: torch.ones(1) for n in expected}, temperature)
    assert agree(result, expected, size)
    assert not agree({name: -score for name, score in result.items()}, expected, size)
    absolute = scores.grasp_abs(model, cross_entropy, batch(), temperature=temperature)
    assert agree(absolute, {name: value.abs() for name, value in expected.items()}, size)
