"""ε at a given budget and a stretch above 1, and the best of all allocations, against plain loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import sipp
from pruneproof.prune.sensitivity import errors, method
from pruneproof.prune.sensitivity.half_rows import Block

SCORES = [[0.9, 0.8, 0.7, 0.6, 0.5], [0.05, 0.3, 0.02, 0.1, 0.9], [0.0, 0.2, 0.1, 0.2, 0.3]]


def _block(scores: list[list[float]]) -> Block:
    """Half-rows that share no more than their sensitivities say: each point meets one weight alone."""
    values = torch.tensor(scores, dtype=torch.float64)
    return Block(0, slice(0, len(scores)), (values > 0).double(), values, torch.eye(len(scores[0])))


def _budgets(budget: float) -> Tensor:
    return torch.full((len(SCORES),), budget, dtype=torch.float64)


def _close(expected: list[float]) -> object:
    """Charged are in + 10 roundings of sensitivities and 4·in + 64 of the formula: (5·5 + 74)·2⁻⁵³ = 1.1e-14."""
    return pytest.approx(expected, rel=2e-14)


@pytest.mark.parametrize("stretch", [1.25, 1.5, 7.0])
@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_beyond_the_sample_det_is_the_stretched_sum_of_what_it_drops(budget: int, stretch: float) -> None:
    block = _block(SCORES)
    expected = [min(1.0, stretch * sum(sorted(row, reverse=True)[budget:])) for row in SCORES]
    epsilon = errors.det(block, errors.ranking(block), _budgets(budget), 1.0, stretch)
    assert epsilon.tolist() == _close(expected)


def _s3(scores: list[float], drawn: int, log: float, stretch: float) -> float:
    """ε of drawing from `scores`: b = CΣ, v = max r'(b − r') over r' ≤ min(1, b), at b/2 or at the end before it."""
    reach = stretch * sum(scores)
    share = min(1.0, reach)
    if drawn == 0:
        return share
    most = min(share, reach / 2)
    linear = log * reach / (3 * drawn)
    return linear + math.sqrt(linear**2 + 2 * log * most * (reach - most) / drawn)


@pytest.mark.parametrize("stretch", [1.5, 3.0])
@pytest.mark.parametrize("budget", [1, 2, 3])
@pytest.mark.parametrize("log", [0.01, 0.1, 1.0])
def test_the_hybrid_is_the_least_of_s3_over_its_prefixes(budget: int, log: float, stretch: float) -> None:
    order = errors.ranking(_block(SCORES))
    expected = list[float]()
    for row in SCORES:
        falling = sorted(row, reverse=True)
        expected.append(min(_s3(falling[kept:], budget - kept, log, stretch) for kept in range(budget + 1)))
    assert errors.prefix(order, _budgets(budget), log, stretch)[0].tolist() == _close(expected)


def test_best_takes_the_allocation_of_least_merit_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)), torch.randn(20, 12)
    every = method.ALL_ALLOCATIONS

    def merit(*allocations: object) -> float:
        monkeypatch.setattr(method, "ALL_ALLOCATIONS", allocations)
        return sipp(model, inputs, density=0.5, variant="best", generator=torch.Generator().manual_seed(0)).merit

    merits = [merit(one) for one in every]
    assert len(set(merits)) > 1  # plans of single variants may be better than those of an allocation
    assert all(merit(*every[start:], *every[:start]) == min(merits) for start in range(3))
