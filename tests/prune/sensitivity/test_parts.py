"""The parts between measuring and drawing: events, signs, whole prefixes, codes of variants, vacuity."""

import math

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import sipp
from pruneproof.prune.sensitivity import draws, errors
from pruneproof.prune.sensitivity.choices import KEPT, NAMES, Choice, pruned_rows
from pruneproof.prune.sensitivity.draws import Drawing
from pruneproof.prune.sensitivity.half_rows import Block
from pruneproof.prune.sensitivity.measuring import Measured, layers, measure, pseudo_points


def _measured(model: nn.Module, inputs: Tensor) -> list[Measured]:
    return [measure(model, inputs, layer) for layer in layers(model)[0]]


@pytest.mark.parametrize("negative", [False, True])
def test_events_are_half_rows_times_pseudo_points_of_one_item(negative: bool) -> None:
    sign = -1 if negative else 1
    signed = 2 if negative else 1
    images = torch.rand(3, 4, 5, 5) * torch.tensor([1.0, sign])[torch.randint(0, 2, (3, 4, 5, 5))]
    images[0, 0, 0, 0] = sign * 0.5
    (conv,) = _measured(nn.Conv2d(4, 6, 3, groups=2, padding=1), images)
    assert conv.events == 2 * 6 * 25 * signed
    sequences = torch.rand(3, 7, 4)
    sequences[0, 0, 0] = sign * 0.5
    (linear,) = _measured(nn.Linear(4, 5), sequences)
    assert linear.events == 2 * 5 * 7 * signed


def test_open_are_the_non_zero_weights_of_living_half_rows() -> None:
    """Row 1 has a dead W⁻, row 2 a dead W⁺: what only the first input, always 0, would wake."""
    layer, inputs = nn.Linear(4, 3, bias=False), torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    layer.weight.data.copy_(torch.tensor([[1.0, 0.0, 2.0, -1.0], [-1.0, 0.0, 2.0, 0.0], [1.0, 0.0, -2.0, 0.0]]))
    (one,) = _measured(layer, inputs)
    assert one.open().tolist() == [[True, False, True, True], [False, False, True, False], [False, False, True, False]]
    assert one.fixed() == 2


def test_delta_is_shared_by_the_events() -> None:
    model, inputs = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), torch.randn(6, 4)
    result = sipp(model, inputs, density=0.9, delta=0.2, generator=torch.Generator().manual_seed(0))
    for bound in result.bounds.values():
        assert bound.delta == pytest.approx(0.2 / (2 * 5 * 2 + 2 * 3), rel=1e-15)


def test_only_negative_numbers_make_a_second_point() -> None:
    rows = torch.tensor([[0.25, 0.5], [0.0, 0.0], [2.0, 0.0]])
    assert pseudo_points(rows).tolist() == [[0.25, 0.5], [2.0, 0.0]]
    mixed = torch.tensor([[0.25, -0.5], [0.75, 0.0]])
    assert pseudo_points(mixed).tolist() == [[0.25, 0.0], [0.75, 0.0], [0.0, 0.5]]


def _block(scores: list[float]) -> Block:
    weight = torch.tensor([[float(s > 0) for s in scores]], dtype=torch.float64)
    return Block(0, slice(0, 1), weight, torch.tensor([scores], dtype=torch.float64), torch.eye(len(scores)))


def _at(budget: float) -> Tensor:
    return torch.tensor([budget], dtype=torch.float64)


@pytest.mark.parametrize("log", [0.1, 1.0])
@pytest.mark.parametrize("budget", [1, 2, 3, 4])
@pytest.mark.parametrize("scores", [[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.3, 0.1, 0.05, 0.02]])
def test_the_prefix_is_the_best_of_all(scores: list[float], budget: int, log: float) -> None:
    """S3 for every k, with the variance maximised on a grid of r'."""
    expected: list[float] = []
    for kept in range(budget + 1):
        reach = sum(scores[kept:])
        share = min(1.0, reach)
        if kept == budget:
            expected.append(share)
            continue
        grid = [share * i / 20_000 for i in range(20_001)]
        variance = max(r * (reach - r) for r in grid)
        linear = log * reach / (3 * (budget - kept))
        expected.append(linear + math.sqrt(linear**2 + 2 * log * variance / (budget - kept)))
    epsilon, kept = errors.prefix(errors.ranking(_block(scores)), _at(budget), log, 1.0)
    assert float(epsilon) == pytest.approx(min(expected), rel=1e-8)  # the grid misses the maximum by (5e-5)²
    assert int(kept) == expected.index(min(expected))


def test_a_whole_half_row_has_no_error_and_keeps_its_weights() -> None:
    block = _block([0.9, 0.3, 0.0, 0.1])
    order = errors.ranking(block)
    for budget in (3.0, 3.5, 9.0):
        epsilon, kept = errors.prefix(order, _at(budget), 1.0, 1.0)
        assert (float(epsilon), float(kept)) == (0.0, 3.0)
        for name in NAMES:
            error = errors.ERRORS[name](block, order, _at(budget), 1.0, 1.0)
            factors = draws.FACTORS[name](block, order, _at(budget), error, Drawing(1.0, 1.0, torch.Generator()))
            assert float(error) == 0.0
            assert torch.equal(factors * block.weight, block.weight)
    assert float(errors.prefix(order, _at(2.0), 1.0, 1.0)[0]) > 0


def test_counts_are_of_the_draws_asked_for() -> None:
    mass = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    counts = draws.multinomial_counts(mass, torch.tensor([40.0, 7.0, 5.0]), torch.Generator().manual_seed(0))
    assert counts.sum(1).tolist() == [40.0, 7.0, 0.0]
    assert counts[0, 1] == 0 and counts[1].tolist() == [0.0, 7.0, 0.0]


def test_each_half_row_is_drawn_by_its_own_variant() -> None:
    """W⁺ by Det with one weight, W⁻ kept, in one layer; then the other way round."""
    layer, inputs = nn.Linear(4, 1, bias=False), torch.rand(5, 4)
    layer.weight.data.copy_(torch.tensor([[3.0, 1.0, -2.0, -1.0]]))
    (one,) = _measured(layer, inputs)
    zero, budget = torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    for codes in ((NAMES.index("det"), KEPT), (KEPT, NAMES.index("det"))):
        choice = Choice(zero, budget, torch.tensor(codes).unsqueeze(1))
        new = pruned_rows(one, choice, 1.0, 1.0, torch.Generator()).squeeze(0)
        halves = (new > 0, new < 0)
        for half, code in zip(halves, codes, strict=True):
            assert int(half.sum()) == (2 if code == KEPT else 1)


def test_vacuous_is_the_share_of_bounds_at_one_or_more() -> None:
    torch.manual_seed(0)
    result = sipp(nn.Linear(16, 8), torch.rand(20, 16), density=0.3, variant="poisson", generator=torch.Generator())
    epsilon = result.bounds["weight"].epsilon.flatten().tolist()
    assert result.vacuous == sum(e >= 1 for e in epsilon) / len(epsilon) > 0
    result.bounds["weight"].epsilon.copy_(torch.tensor([[0.5] * 8, [1.0] * 6 + [2.0, 0.0]]))
    assert result.vacuous == 7 / 16
    assert "vacuous (ε ≥ 1) on 43.8% of the half-rows" in result.summary()
