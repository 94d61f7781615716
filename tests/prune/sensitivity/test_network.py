"""N1, the relative route: it holds on random networks below ε = 1 without biases, and is false beyond."""

import itertools

import pytest
import torch
from torch import Tensor

from pruneproof.theory.theorems.network import statement as N


def _outputs(weights: list[Tensor], x: Tensor) -> Tensor:
    for weight in weights[:-1]:
        x = (weight @ x).relu()
    return weights[-1] @ x


def _amplifications(weights: list[Tensor], x: Tensor) -> list[float]:
    """D of each layer: the largest Δ = (z⁺+z⁻)/|z| of its neurons at x."""
    found: list[float] = []
    for weight in weights:
        z = weight @ x
        found.append(float(((weight.abs() @ x.abs()) / z.abs()).max()))
        x = z.relu()
    return found


def _worst(weights: list[Tensor], x: Tensor, epsilon: float) -> float:
    """The largest relative error over all corners: every half-row off by ±ε_l of its layer."""
    amplified, target = _amplifications(weights, x), _outputs(weights, x)
    moves = [N.N1.bound(epsilon=epsilon, layers=len(weights) + 1, amplification=_product(amplified[i:]), assume=True)
             for i in range(len(weights))]  # fmt: skip
    worst = 0.0
    for signs in itertools.product((1, -1), repeat=2 * len(weights)):
        moved = [
            w.clamp(min=0) * (1 + plus * move) - (-w).clamp(min=0) * (1 + minus * move)
            for w, move, plus, minus in zip(weights, moves, signs[::2], signs[1::2], strict=True)
        ]
        worst = max(worst, float(((_outputs(moved, x) - target) / target).abs().max()))
    return worst


def _product(values: list[float]) -> float:
    result = 1.0
    for value in values:
        result *= value
    return result


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.99])
def test_half_rows_within_the_budget_keep_the_output_within_epsilon(epsilon: float) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        weights = [torch.randn(8, 8, generator=generator, dtype=torch.float64) for _ in range(3)]
        x = torch.rand(8, generator=generator, dtype=torch.float64)
        assert _worst(weights, x, epsilon) <= epsilon


def _turning(small: float) -> tuple[list[Tensor], Tensor]:
    """A hidden neuron at 1 − 2 beside one at `small`: D = 3 and 1."""
    first = torch.tensor([[1.0, -2.0], [small, 0.0]], dtype=torch.float64)
    return [first, torch.ones(1, 2, dtype=torch.float64)], torch.ones(2, dtype=torch.float64)


def test_a_large_epsilon_turns_a_sign_and_is_refused() -> None:
    """The witness that ε < 1 is needed: a hidden neuron at −1 becomes positive."""
    weights, x = _turning(0.001)
    assert _amplifications(weights, x) == [3.0, 1.0]
    assert _worst(weights, x, 10.0) > 190
    assert _worst(weights, x, 0.99) <= 0.99
    verdicts = {a.text.split(":")[0]: holds for a, holds in N.N1.check(epsilon=10, layers=3, amplification=3)}
    assert verdicts["no sign turns"] is False


def test_assumptions_are_decided_by_the_values() -> None:
    def refused(**values: float) -> list[str]:
        return [a.text.split(":")[0] for a, holds in N.N1.check(**values) if holds is False]

    assert refused(epsilon=0.5, layers=3, amplification=1) == []
    assert refused(epsilon=1, layers=3, amplification=3) == ["no sign turns"]
    assert refused(epsilon=0.5, layers=3, amplification=0.5) == ["Δ is at least 1"]
    assert refused(epsilon=0.5, layers=1, amplification=3) == ["at least one weight layer, counted in whole numbers"]
