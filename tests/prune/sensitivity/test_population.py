"""Ratios and the stretch against a loop over every half-row, weight and point in rationals."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from pruneproof import PruneproofError
from pruneproof.kernels import sensitivities
from pruneproof.prune.sensitivity import stretch
from pruneproof.prune.sensitivity.half_rows import LEAST
from pruneproof.prune.sensitivity.population import ratios


def _loop(weight: Tensor, scores: Tensor, points: Tensor) -> list[float]:
    """max of g_j/s_j; scores of weights never seen are 1/n, others at least LEAST; dead half-rows are exact."""
    result: list[float] = []
    for point in points.tolist():
        worst = Fraction(0)
        for row, given in zip(weight.tolist(), scores.tolist(), strict=True):
            for sign in (1, -1):
                half = [(Fraction(abs(w)), Fraction(s), Fraction(a)) for w, s, a in zip(row, given, point, strict=True)
                        if sign * w > 0]  # fmt: skip
                z = sum((w * a for w, _, a in half), Fraction(0))
                if z > 0 and any(s > 0 for _, s, _ in half):
                    floor = [max(s, Fraction(LEAST)) if s else Fraction(1, len(row)) for _, s, _ in half]
                    worst = max(worst, *(w * a / z / s for (w, _, a), s in zip(half, floor, strict=True)))
        result.append(float(worst))
    return result


def _instance(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights below and above 1, a zero weight, a dead half-row that wakes up, points of both signs and of zeros."""
    torch.manual_seed(seed)
    weight = torch.randn(5, 6, dtype=torch.float64) * torch.tensor([0.1, 1, 10, 0.01, 3], dtype=torch.float64)[:, None]
    weight[1, 2] = 0.0
    sample = torch.rand(4, 6, dtype=torch.float64)
    sample[:, 0] = 0.0
    weight[2, 1:] = weight[2, 1:].abs()
    weight[2, 0] = -1.0  # dead on the sample
    held_out = torch.randn(9, 6, dtype=torch.float64)
    held_out[4] = 0.0
    return weight, sensitivities(weight, sample), held_out


@pytest.mark.parametrize("seed", range(5))
def test_ratios_are_those_of_the_loop(seed: int) -> None:
    weight, scores, held_out = _instance(seed)
    points = held_out.clamp(min=0)
    assert ratios(weight, scores, points).tolist() == pytest.approx(_loop(weight, scores, points), rel=1e-13)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [0.15, 0.3, 0.5, 0.7])
def test_the_stretch_is_the_ranked_ratio_of_both_pseudo_points(seed: int, beta: float) -> None:
    weight, scores, held_out = _instance(seed)
    halves = [_loop(weight, scores, part.clamp(min=0)) for part in (held_out, -held_out)]
    both = sorted(max(pair) for pair in zip(*halves, strict=True))
    expected = max(1.0, both[math.ceil((1 - beta) * 10) - 1])
    assert stretch(weight, scores, held_out, beta=beta) == pytest.approx(expected, rel=1e-13)


def test_negative_points_alone_are_seen() -> None:
    weight = torch.tensor([[1.0, 1.0]])
    assert stretch(weight, torch.tensor([[0.5, 0.5]]), -torch.tensor([[3.0, 1.0]] * 3), beta=0.5) == 1.5


def test_too_few_points_say_nothing() -> None:
    weight, scores = torch.ones(1, 2), torch.full((1, 2), 0.5)
    assert stretch(weight, scores, torch.rand(9, 2), beta=0.0999) == math.inf
    assert stretch(weight, scores, torch.rand(9, 2), beta=0.1001) < math.inf


def test_half_precision_is_compared_in_double() -> None:
    """In float16 the sum of the first point is infinite, so its shares would be 0."""
    weight, scores = torch.full((1, 2), 3.0).half(), torch.tensor([[0.5, 0.5]])
    held_out = torch.tensor([[30000.0, 10000.0]]).half()
    assert ratios(weight, scores, held_out).tolist() == pytest.approx([1.5], rel=1e-13)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_beta_lies_inside_the_unit_interval(beta: float) -> None:
    with pytest.raises(PruneproofError, match="beta"):
        stretch(torch.ones(1, 2), torch.ones(1, 2), torch.ones(3, 2), beta=beta)


@pytest.mark.parametrize("shape", [(0, 2), (2,)])
def test_points_are_rows(shape: tuple[int, ...]) -> None:
    with pytest.raises(PruneproofError, match="held-out points"):
        stretch(torch.ones(1, 2), torch.ones(1, 2), torch.ones(shape), beta=0.5)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 3), (0, 3)])
def test_held_out_points_are_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(PruneproofError, match="held-out points"):
        stretch(torch.ones(1, 3), torch.full((1, 3), 0.5), torch.ones(shape), beta=0.5)
