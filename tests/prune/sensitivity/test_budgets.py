"""Budgets are shared as proved, against the plain form of each rule, and never exceed what was asked for."""

import itertools
from collections.abc import Callable
from typing import cast

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import sipp
from pruneproof.prune.sensitivity.measuring import Measured, layers, measure
from pruneproof.prune.sensitivity.method import cube_root, rate, threshold

NEAR = 1e-6  # float32 scores: sums of at most 12 of them, products and a square; 30 roundings of 2⁻²⁴ are 2e-6 / 2


def _network(seed: int) -> tuple[nn.Sequential, Tensor]:
    """Two layers of unlike scale; W⁻ of the first output is dead, and the second layer has a zero weight."""
    torch.manual_seed(seed)
    first, last = nn.Linear(12, 6), nn.Linear(6, 4)
    first.weight.data *= 3 + seed
    first.weight.data[0].abs_()
    first.weight.data[0, 0] *= -1  # met by zeros only
    last.weight.data[1, 2] = 0.0
    inputs = torch.rand(20, 12)
    inputs[:, 0] = 0.0
    return nn.Sequential(first, nn.ReLU(), last), inputs


def _measured(seed: int) -> list[Measured]:
    model, inputs = _network(seed)
    return [measure(model, inputs, layer) for layer in layers(model)[0]]


def _half_rows(measured: list[Measured]) -> list[tuple[list[float], float]]:
    """Scores of the weights, and cost, of every half-row in the order of budgets; nothing for dead ones."""
    found: list[tuple[list[float], float]] = []
    for m in measured:
        for sign, row in itertools.product((0, 1), range(len(m.weight))):
            cost = float(m.costs[sign, row])
            pairs = zip(m.weight[row].tolist(), m.scores[row].tolist(), strict=True)
            scores = [s for w, s in pairs if (w > 0 if sign == 0 else w < 0) and cost > 0]
            found.append((scores, cost))
    return found


def _flat(budgets: list[Tensor]) -> list[float]:
    return torch.cat([budget.flatten() for budget in budgets]).tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [5, 23, 60, 85])
def test_threshold_counts_the_largest_of_cost_times_score(seed: int, count: int) -> None:
    measured = _measured(seed)
    halves = [[cost * s for s in scores] for scores, cost in _half_rows(measured)]
    ranked = sorted(((-s, i) for i, scores in enumerate(halves) for s in scores))
    below = -ranked[count - 1][0]
    budgets = _flat(threshold(measured, count))
    assert sum(budgets) == count
    for budget, scores in zip(budgets, halves, strict=True):  # ties, and what rounds to one, may go either way
        assert sum(s > below * (1 + NEAR) for s in scores) <= budget <= sum(s >= below * (1 - NEAR) for s in scores)


def _root(function: Callable[[float], float], most: float) -> float:
    return cast(float, brentq(function, 0, most, xtol=1e-15))


def _rated(measured: list[Measured]) -> list[list[float]]:
    """Scores times (cost/Σ)^{2/3}, costs as parts of the largest."""
    halves = _half_rows(measured)
    largest = max(cost for _, cost in halves)
    return [[s * (cost / largest / sum(scores)) ** (2 / 3) for s in scores] for scores, cost in halves]


def _tau(measured: list[Measured], count: int) -> float:
    """The rate at which `count` weights are expected."""
    scores = [s for part in _rated(measured) for s in part]
    return _root(lambda t: sum(min(1.0, t * s) for s in scores) - count, 1e6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [3, 23, 60, 85])
def test_rate_is_one_tau_times_what_each_half_row_is_worth(seed: int, count: int) -> None:
    measured = _measured(seed)
    halves = _rated(measured)
    tau, budgets = _tau(measured, count), _flat(rate(measured, count))
    assert sum(budgets) == pytest.approx(count, rel=NEAR)
    for budget, scores in zip(budgets, halves, strict=True):
        assert budget == pytest.approx(sum(min(1.0, tau * s) for s in scores), rel=NEAR)


def test_rate_meets_its_count_as_closely_as_it_bisects() -> None:
    """30 halvings of an interval of τ below max(1, 4τ); the count rises by at most Σs per unit of τ, and is reached."""
    measured = _measured(0)
    double = [Measured(m.layer, m.weight.double(), m.scores.double(), m.costs, m.events) for m in measured]
    mass = sum(s for scores in _rated(double) for s in scores)
    for count in (3, 23, 60, 85):
        excess = sum(_flat(rate(double, count))) - count
        assert -1e-9 * count <= excess <= mass * max(1.0, 4 * _tau(double, count)) * 2.0**-30


def _water(halves: list[tuple[list[float], float]], tau: float) -> list[float]:
    """min(n, max(1, τ(c²Σ)^{1/3})), 0 for dead half-rows."""
    return [min(len(s), max(1.0, tau * (c**2 * sum(s)) ** (1 / 3))) if s else 0.0 for s, c in halves]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [20, 30, 45, 70, 86])
def test_cube_root_fills_up_to_one_level(seed: int, count: int) -> None:
    measured = _measured(seed)
    halves = _half_rows(measured)
    alive, budgets = sum(bool(s) for s, _ in halves), _flat(cube_root(measured, count))
    most = sum(len(s) for s, _ in halves)
    if count <= alive or count >= most:
        expected = _water(halves, 0.0 if count <= alive else 1e9)
    else:
        expected = _water(halves, _root(lambda t: sum(_water(halves, t)) - count, 1e9))
    for budget, wish, (scores, _) in zip(budgets, expected, halves, strict=True):
        assert budget == int(budget) and abs(budget - int(wish + 1e-6)) == 0
        assert (1 <= budget <= len(scores)) if scores else budget == 0
    assert min(count, most) - alive < sum(budgets) <= max(count, alive)


@pytest.mark.parametrize("allocate", [rate, cube_root])
def test_an_allocation_is_where_moving_a_draw_gains_nothing(
    allocate: Callable[[list[Measured], int], list[Tensor]],
) -> None:
    """N4: where Σ c√(Σ/m), m the budget, is least, its derivative c√Σ·m^{-3/2} is one number for all half-rows."""
    weight = torch.ones(3, 3000)
    layer = nn.Linear(3000, 3, bias=False)
    layer.weight.data.copy_(weight)
    (found,), _ = layers(layer)
    scores = torch.tensor([1.0, 2.0, 5.0])[:, None].expand(3, 3000) / 3000  # Σ = 1, 2, 5
    costs = torch.tensor([[8.0, 1.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    (budget,) = allocate([Measured(found, weight, scores, costs, 1)], 3000)
    slope = costs[0] * torch.tensor([1.0, 2.0, 5.0]).double().sqrt() * budget[0] ** -1.5
    assert torch.allclose(slope, slope[:1].expand(3), rtol=1.5 / float(budget[0].min()) + NEAR)


def test_a_cube_root_prefers_dear_half_rows() -> None:
    """(c²Σ)^{1/3}: eight times the cost is four times the budget."""
    weight = torch.ones(2, 400)
    layer = nn.Linear(400, 2, bias=False)
    layer.weight.data.copy_(weight)
    (found,), _ = layers(layer)
    costs = torch.tensor([[8.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    (budget,) = cube_root([Measured(found, weight, torch.full((2, 400), 1 / 400), costs, 1)], 100)
    assert budget.tolist() == [[80.0, 20.0], [0.0, 0.0]]


@pytest.mark.parametrize("variant", ["rand", "hybrid", "best"])
def test_variants_that_draw_need_a_draw_per_half_row(variant: str) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(100, 100, bias=False), torch.rand(40, 100)
    for density in (0.001, 0.01, 0.0199):
        with pytest.raises(PruneproofError, match=r"200 more are needed. Pass at least 0\.0200"):
            sipp(layer, inputs, density=density, variant=variant, generator=torch.Generator())
    result = sipp(layer, inputs, density=0.02, variant=variant, generator=torch.Generator().manual_seed(0))
    assert 0 < result.masks.count


@pytest.mark.parametrize("density", [0.025, 0.05, 0.3])
def test_rand_keeps_as_many_as_asked_for_although_draws_meet(density: float) -> None:
    """Costs differ by orders, so some half-rows are lifted to one draw, at the others' expense.

    The count is settled on a pilot draw, to .002 of itself; the variance of the number of different
    weights among independent draws is at most the number of draws (Efron–Stein), and two draws
    differ by six standard deviations with a probability below 2e-9.
    """
    torch.manual_seed(0)
    layer, inputs = nn.Linear(100, 100, bias=False), torch.rand(40, 100)
    layer.weight.data *= torch.logspace(-6, 0, 100)[:, None]
    result = sipp(layer, inputs, density=density, variant="rand", generator=torch.Generator().manual_seed(0))
    draws = float(result.bounds["weight"].budget.sum())
    assert draws >= density * 10_000
    assert abs(result.masks.count - density * 10_000) <= 0.002 * density * 10_000 + 6 * (2 * draws) ** 0.5


def test_the_least_density_is_told_where_much_is_dead() -> None:
    layer, inputs = nn.Linear(10, 4, bias=False), torch.zeros(5, 10)
    layer.weight.data.fill_(1.0)
    layer.weight.data[1:, 5:] = -1.0
    inputs[:, :5] = torch.rand(5, 5)  # three dead half-rows of five weights
    with pytest.raises(PruneproofError, match=r"1 more are needed. Pass at least 0\.4000"):
        sipp(layer, inputs, density=0.37, variant="det")
    assert sipp(layer, inputs, density=0.4, variant="det").masks.count == 16
