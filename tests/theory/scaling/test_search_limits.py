"""A limit of the search is not a limit that the data set: what depends on one is not identified."""

import numpy as np
import pytest

from pruneproof.theory.scaling import fitting as scaling_fit
from pruneproof.theory.scaling import intervals as scaling_intervals
from pruneproof.theory.scaling import models as scaling_models
from pruneproof.theory.scaling.fitting import ScalingLaw, fitted_at
from pruneproof.theory.scaling.intervals import profile_intervals
from pruneproof.theory.scaling.models import LAW, Model
from pruneproof.theory.scaling.points import Floats, Points, points_from_rows

DENSE, GAMMA, UPPER = 0.065, 0.276, 1.0
FAR = 2.4e-6  # p: the power law goes on far below the smallest density measured


def points(seed: int, p: float = FAR, gamma: float = GAMMA, upper: float = UPPER, noise: float = 0.025) -> Points:
    """Errors of the law itself with 2.5 % noise: three seeds, thirteen densities from 1 to 0.001."""
    generator = np.random.default_rng(seed)
    density = np.tile(10 ** -np.linspace(0, 3, 13), 3)
    ratio = (upper / DENSE) ** (1 / gamma)
    curve = DENSE * ((density**2 + (p * ratio) ** 2) / (density**2 + p**2)) ** (gamma / 2)
    noisy = curve * np.exp(noise * generator.normal(size=len(density)))
    named = {"network": "n", "width": 1, "depth": 1, "dense_error": DENSE}
    pairs = enumerate(zip(density, noisy, strict=True))
    return points_from_rows([named | {"density": d, "error": e, "seed": i // 13} for i, (d, e) in pairs])


def test_the_upper_plateau_is_not_identified_by_points_far_from_it() -> None:
    """Five tables of a law with ε↑ = 1: an interval called identified holds the truth in four of five at the least.

    The search's lower limit of p would cut the interval off near 0.8.
    """
    missed = 0
    for seed in range(5):
        interval = profile_intervals(ScalingLaw.fit(points(seed)))["upper_error"]
        missed += interval.identified and not interval.low <= UPPER <= interval.high
    assert missed <= 1


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_identified_wrongly_where_the_exponent_sits_at_its_limit(seed: int) -> None:
    """An error that rises with γ = 0.02 over three decades, below the least γ of the search, which fits it badly."""
    truth = {"p": 1e-3, "gamma": 0.02, "upper_error": 0.075}
    law = ScalingLaw.fit(points(seed, p=1e-3, gamma=0.02, upper=0.075, noise=0.001))
    assert "gamma" in law.at_bound
    for name, interval in profile_intervals(law).items():
        assert not interval.identified or interval.low <= truth[name] <= interval.high


def test_an_interval_does_not_change_with_the_reach_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for p is widened by two orders of magnitude: an identified interval of the same data stays put."""
    table, limits = points(0), scaling_models.bounds
    before = profile_intervals(ScalingLaw.fit(table))["upper_error"]

    def wider(model: Model, some: Points) -> tuple[Floats, Floats]:
        low, high = limits(model, some)
        if "p" in model.parameters:
            low = low - np.log(100) * (np.array(model.parameters) == "p")
        return low, high

    for module in (scaling_models, scaling_fit, scaling_intervals):
        monkeypatch.setattr(module, "bounds", wider)
    after = profile_intervals(ScalingLaw.fit(table))["upper_error"]
    same = np.allclose([before.low, before.high], [after.low, after.high], rtol=0.05)
    assert not before.identified or (after.identified and same)


def test_a_parameter_within_a_hair_of_its_limit_is_at_the_limit() -> None:
    """A published table ended with p two millionths above the lowest value searched, `at_bound` false, no warning."""
    table = points(0)
    lowest = float(np.exp(scaling_models.bounds(LAW, table)[0][LAW.parameters.index("p")]))
    values = {"p": lowest * (1 + 2e-6), "gamma": GAMMA, "upper_error": 0.75}
    assert "p" in fitted_at(LAW, values, (1.0, 1.0), table).at_bound


def test_a_plateau_that_was_measured_stays_identified() -> None:
    """With p = 2e-4 the densities reach the plateau, and its interval holds 1 (guards the other side)."""
    interval = profile_intervals(ScalingLaw.fit(points(1, p=2e-4)))["upper_error"]
    assert interval.identified
    assert 0.97 <= interval.high and interval.low <= 1.03
