"""Peak, trough, phases and the selected level of an error curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneproof import PruneproofError
from pruneproof.theory.statistics.double_descent import double_descent, effective_level, effective_size_interval

CURVE = [0.30, 0.30, 0.31, 0.36, 0.38, 0.33, 0.20, 0.14, 0.15, 0.20, 0.50, 0.80]


def test_the_four_phases_in_their_order() -> None:
    found = double_descent(CURVE)
    assert (found.peak, found.trough) == (4, 7)
    assert found.phases == ("Light",) * 3 + ("Critical",) * 3 + ("Sweet",) * 4 + ("Collapsed",) * 2


@given(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=30))
def test_phases_never_go_back(curve: list[float]) -> None:
    order = ["Light", "Critical", "Sweet", "Collapsed"]
    found = double_descent(curve)
    assert 0 <= found.peak <= found.trough < len(curve)
    places = [order.index(phase) for phase in found.phases]
    assert places == sorted(places)
    assert "Critical" not in found.phases or found.peak > 0


@pytest.mark.parametrize(
    ("curve", "phases"),
    [
        ([0.1, 0.0999, 0.2, 0.5], "Light Sweet Sweet Collapsed"),  # falls, but from no peak
        ([0.3, 0.5, 0.2, 0.45, 0.1, 0.6], "Light Critical Sweet Sweet Sweet Collapsed"),  # a second ripple
        ([0.3, 0.2, 0.3, 0.1, 0.1], "Light Sweet Sweet Sweet Sweet"),
        ([0.1, 0.1, 0.1, 0.1], "Light Light Light Light"),
        ([0.1, 0.1, 0.2, 0.6], "Light Light Light Collapsed"),
    ],
)
def test_phases_of_curves_without_a_peak_or_with_ripples(curve: list[float], phases: str) -> None:
    assert double_descent(curve).phases == tuple(phases.split())


def test_the_trough_of_a_large_network_lies_after_the_peak_although_the_dense_error_is_lower() -> None:
    curve = [0.20, 0.21, 0.35, 0.28, 0.23, 0.60]
    found = double_descent(curve)
    assert (found.peak, found.trough) == (2, 4)
    assert found.fall < 0 < found.rise
    assert int(np.argmin(curve)) == 0  # the trap: the lowest error of the path is no trough


def test_a_rising_curve_has_no_peak_even_with_a_ripple_in_the_collapse() -> None:
    found = double_descent([0.03, 0.03, 0.03, 0.05, 0.20, 0.60, 0.50, 0.80])
    assert found.peak == 0
    assert found.rise == 0
    assert found.phases[-1] == "Collapsed"


def test_selection_within_one_standard_error_is_never_denser() -> None:
    generator = np.random.default_rng(3)
    curves = np.array(CURVE) + 0.02 * generator.standard_normal((5, len(CURVE)))
    lowest, sparse = effective_level(curves), effective_level(curves, rule="one standard error")
    assert lowest in (7, 8)
    assert lowest <= sparse <= 9


def test_the_interval_contains_the_estimate_and_spreads_with_the_seeds() -> None:
    generator = np.random.default_rng(4)
    sizes = 1000 * 0.8 ** np.arange(len(CURVE))
    wide = [np.roll(CURVE, shift) for shift in (0, 0, 1, 1, 2)]
    estimate, low, high = effective_size_interval(wide, sizes, generator=generator)
    assert low <= estimate <= high
    assert low < high
    assert effective_size_interval([CURVE] * 5, sizes, generator=generator) == (sizes[7],) * 3


def test_misuse_is_refused() -> None:
    with pytest.raises(PruneproofError, match="three levels"):
        double_descent([0.1, 0.2])
    with pytest.raises(PruneproofError, match="three levels"):
        double_descent([0.1, float("nan"), 0.2])
    with pytest.raises(PruneproofError, match="two seeds"):
        effective_level([CURVE], rule="one standard error")
    with pytest.raises(PruneproofError, match="matching sizes"):
        effective_size_interval([CURVE], [1, 2], generator=np.random.default_rng(0))


def test_peak_and_trough_are_the_pair_of_the_definition() -> None:
    """The pair with the trough after the peak that falls farthest, less what the trough lies above the dense error."""
    generator = np.random.default_rng(7)
    for _ in range(200):
        curve = generator.uniform(0.05, 0.95, size=7)
        pairs = [(peak, trough) for trough in range(7) for peak in range(trough + 1)]
        scores = [curve[i] - curve[j] - max(curve[j] - curve[0], 0.0) for i, j in pairs]
        found = double_descent(curve)
        assert (found.peak, found.trough) == pairs[int(np.argmax(scores))]
