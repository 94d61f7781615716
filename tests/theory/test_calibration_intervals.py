"""Intervals of the calibration error cover as often as they say, and bins do not depend on the order of examples."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pruneproof.theory.statistics.calibration import Binning, calibration_error, reliability
from pruneproof.theory.statistics.exact_tests import falsified

ALPHA = 1e-9
SETS = 400


def _data(generator: np.random.Generator, examples: int, gap: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two classes, confidences uniform in [0.5, 1], right with probability confidence − gap: the true ECE is gap."""
    confidence = generator.uniform(0.5, 1, examples)
    wrong = generator.random(examples) > confidence - gap
    return np.stack([confidence, 1 - confidence], 1), wrong.astype(np.int64)


@pytest.mark.alpha(ALPHA)
@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
@pytest.mark.parametrize(("examples", "gap"), [(50, 0.0), (300, 0.0), (100, 0.1), (300, 0.3)])
def test_the_true_error_is_missed_as_rarely_as_promised(
    examples: int, gap: float, binning: Binning, salted: Callable[..., int]
) -> None:
    generator = np.random.default_rng(salted("calibration", examples, gap, binning))
    missed = 0
    for _ in range(SETS):
        low, high = calibration_error(*_data(generator, examples, gap), generator=generator, binning=binning).interval
        missed += not low <= gap <= high
    assert not falsified(missed, SETS, 0.05, ALPHA)


@pytest.mark.parametrize("examples", [1, 2, 40])
def test_the_interval_contains_the_corrected_value_and_is_never_a_point(examples: int) -> None:
    """Also for bins of one example, which show no variance."""
    generator = np.random.default_rng(1)
    for _ in range(50):
        found = calibration_error(*_data(generator, examples, 0.1), generator=generator)
        assert found.interval[0] <= found.corrected <= found.plug_in < found.interval[1]


def test_the_order_of_examples_does_not_matter() -> None:
    """Three confidences and ten bins of equal mass: ties of one confidence straddle every edge by position."""
    generator = np.random.default_rng(2)
    confidence = generator.choice([0.6, 0.7, 0.9], 200)
    p, y = np.stack([confidence, 1 - confidence], 1), generator.integers(0, 2, 200)
    diagrams = [reliability(p[order], y[order], bins=10, binning="equal-mass") for order in _orders(generator, y)]
    assert all(np.array_equal(each.count, diagrams[0].count) for each in diagrams)
    assert diagrams[0].confidence.tolist() == pytest.approx([0.6, 0.7, 0.9])
    errors = {
        calibration_error(p[o], y[o], generator=generator, bins=10, binning="equal-mass").plug_in
        for o in _orders(generator, y)
    }
    assert max(errors) - min(errors) < 1e-12  # sums of 200 terms below 1 in another order


def _orders(generator: np.random.Generator, y: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.argsort(y, kind="stable"), np.argsort(-y, kind="stable"), generator.permutation(len(y))]


@pytest.mark.parametrize("bins", [10, 15, 100])
def test_a_confidence_on_an_edge_belongs_to_the_bin_above(bins: int) -> None:
    """0.57 × 100 is 56.99999999999999 in floating point, but 0.57 is the edge 57/100."""
    edges = np.arange((bins + 1) // 2 + 1, bins) / bins
    both = np.concatenate([edges, np.nextafter(edges, 0)])
    found = reliability(np.stack([both, 1 - both], 1), np.zeros(len(both), int), bins=bins)
    assert found.count.tolist() == [1, *[2] * (len(edges) - 1), 1]
