"""Schedules end at the density asked for and never rise; progressive masks are nested and exact."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import magnitude, prune_progressively, scores
from pruneproof.prune.selection import schedules
from pruneproof.prune.selection.schedules import cubic, exponential, linear, one_shot

DENSITIES = st.floats(1e-4, 1.0)
STEPS = st.integers(1, 200)
KINDS = {"linear": linear, "exponential": exponential, "cubic": cubic}


@pytest.mark.parametrize("kind", KINDS)
@given(density=DENSITIES, steps=STEPS)
def test_they_end_exactly_and_never_rise(kind: str, density: float, steps: int) -> None:
    found = KINDS[kind](density, steps)
    assert len(found) == steps and found[-1] == density
    assert all(later <= earlier <= 1 for earlier, later in zip(found, (*found[1:], density), strict=True))


@given(density=st.floats(0.01, 0.9), steps=st.integers(2, 50))
def test_each_has_its_own_law(density: float, steps: int) -> None:
    line, power, cube = (kind(density, steps) for kind in KINDS.values())
    removed = [earlier - later for earlier, later in zip((1.0, *line), line, strict=False)]
    assert removed == pytest.approx([(1 - density) / steps] * steps, abs=1e-12)
    ratios = [later / earlier for earlier, later in zip((1.0, *power), power, strict=False)]
    assert ratios == pytest.approx([density ** (1 / steps)] * steps, rel=1e-12)
    left = [(d - density) ** (1 / 3) for d in cube[:-1]]  # a straight line to zero
    assert left == pytest.approx([(1 - density) ** (1 / 3) * (1 - k / steps) for k in range(1, steps)], abs=1e-6)
    assert one_shot(density) == (density,)


@pytest.mark.parametrize("density", [0.0, 1.5, float("nan")])
@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_misuse(density: float, steps: int) -> None:
    for kind in KINDS.values():
        with pytest.raises(PruneproofError):
            kind(density, 3)
        with pytest.raises(PruneproofError):
            kind(0.5, steps)
    with pytest.raises(PruneproofError):
        one_shot(density)


@given(seed=st.integers(0, 1000), steps=st.integers(1, 12))
def test_progressive_masks_are_nested_and_exact(seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10))
    before = [parameter.clone() for parameter in net.parameters()]
    densities = cubic(0.1, steps)
    levels = prune_progressively(net, lambda m: scores.synflow(m, (1, 10)), densities)
    assert [level.count for level in levels] == [int(400 * density + 0.5) for density in densities]
    assert all((earlier & later) == later for earlier, later in itertools.pairwise(levels))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_magnitude_does_not_depend_on_the_schedule_but_synflow_does() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10))
    assert prune_progressively(net, scores.magnitude, linear(0.1, 7))[-1] == magnitude(net, density=0.1)
    once, often = (
        prune_progressively(net, lambda m: scores.synflow(m, (1, 10)), schedule)[-1]
        for schedule in (schedules.one_shot(0.05), schedules.exponential(0.05, 20))
    )
    assert once != often


def test_survivors_that_score_minus_infinity_come_before_the_pruned() -> None:
    """Of 16 weights the 8 survivors of the first step all score −∞ in the second, as those pruned before do."""
    last = torch.arange(16).view(4, 4) >= 8
    rounds = iter([last.float(), torch.full((4, 4), -torch.inf)])
    first, second = prune_progressively(nn.Linear(4, 4), lambda m: {"weight": next(rounds)}, [0.5, 0.25])
    assert torch.equal(first["weight"], last)
    assert second.count == 4 and (first & second) == second


def test_densities_come_in_any_container() -> None:
    net, expected = nn.Linear(10, 10), [50, 25]
    containers: list[Any] = [[0.5, 0.25], np.array([0.5, 0.25]), np.array([0.5, 0.25], "f"), (2**-k for k in (1, 2))]
    for densities in containers:
        assert [level.count for level in prune_progressively(net, scores.magnitude, densities)] == expected


@pytest.mark.parametrize("densities", [(), (0.1, 0.5), (0.5, 2.0), 0.5, iter(()), "ab", ["0.5"], [True], None])
def test_schedules_that_rise_or_hold_no_number_are_refused(densities: Any) -> None:
    with pytest.raises(PruneproofError):
        prune_progressively(nn.Linear(10, 10), scores.magnitude, densities)


def test_a_score_that_changes_its_parameters_is_refused() -> None:
    rounds = iter([{"weight": torch.rand(4, 4)}, {"bias": torch.rand(4)}])
    with pytest.raises(PruneproofError, match=r"prune_progressively: .* differ in weight, bias"):
        prune_progressively(nn.Linear(4, 4), lambda m: next(rounds), [0.5, 0.25])


def test_a_density_may_stay_and_must_not_rise() -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 4)
    first, second = prune_progressively(net, scores.magnitude, (0.5, 0.5))
    assert first == second == magnitude(net, density=0.5)
    with pytest.raises(PruneproofError):
        prune_progressively(net, scores.magnitude, (0.5, 0.75))
