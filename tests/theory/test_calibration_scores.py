"""Scores of probabilities: known values, properness, the bias of the calibration error and its correction."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss

from pruneproof import PruneproofError
from pruneproof.theory.statistics.calibration import (
    Binning,
    calibration_error,
    posterior_distance,
    posterior_divergence,
    quality,
    reliability,
)

Array = NDArray[np.float64]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


def _calibrated(generator: np.random.Generator, examples: int) -> tuple[Array, NDArray[np.int64]]:
    """Predictions whose labels are drawn from them."""
    p = generator.dirichlet(np.ones(4), examples)
    y = (p.cumsum(1) < generator.random(examples)[:, None]).sum(1)
    return p, y


def _sharpened(p: Array) -> Array:
    """The same ranking, too sure of itself."""
    sharp = p**3
    return sharp / sharp.sum(1, keepdims=True)


def test_scores_agree_with_scikit_learn(generator: np.random.Generator) -> None:
    p, y = _calibrated(generator, 500)
    ours = quality(p, y)
    assert ours.negative_log_likelihood == pytest.approx(log_loss(y, p), rel=1e-12)
    assert ours.error == pytest.approx(np.mean(p.argmax(1) != y))
    q, z = p[:, :2] / p[:, :2].sum(1, keepdims=True), (y % 2).astype(np.int64)
    assert quality(q, z).brier == pytest.approx(2 * brier_score_loss(z, q[:, 1]), rel=1e-12)


def test_proper_scores_and_the_divergence_prefer_the_truth(generator: np.random.Generator) -> None:
    """20,000 examples: the gaps are more than ten standard errors wide."""
    p, y = _calibrated(generator, 20_000)
    true, false = quality(p, y), quality(_sharpened(p), y)
    assert true.negative_log_likelihood < false.negative_log_likelihood
    assert true.brier < false.brier
    assert true.error == false.error
    assert abs(true.overconfidence) < 0.02 < false.overconfidence
    assert posterior_divergence(p, p) == 0
    assert posterior_divergence(p, _sharpened(p)) > 0.01
    assert posterior_distance(p, p) == 0 < posterior_distance(p, _sharpened(p)) <= 1


def test_certain_and_wrong_is_finite() -> None:
    scores = quality([[1.0, 0.0]], [1])
    assert scores.brier == 2
    assert np.isfinite(scores.negative_log_likelihood)
    assert np.isfinite(posterior_divergence([[0.5, 0.5]], [[1.0, 0.0]]))


def test_bins_of_equal_mass_are_equal_and_of_equal_width_lie_apart(generator: np.random.Generator) -> None:
    p, y = _calibrated(generator, 1000)
    assert reliability(p, y, bins=10, binning="equal-mass").count.tolist() == [100] * 10
    wide = reliability(p, y, bins=10)
    assert wide.count.sum() == 1000
    assert (np.diff((wide.confidence * 10).astype(int)) > 0).all()


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_the_correction_removes_most_of_the_bias(generator: np.random.Generator, binning: Binning) -> None:
    """Calibrated predictions, 200 data sets of 300 examples: true value 0; standard error of each mean below 0.001."""
    found = [
        calibration_error(*_calibrated(generator, 300), generator=generator, binning=binning, repeats=2)
        for _ in range(200)
    ]
    plug_in, corrected = (np.mean([getattr(each, name) for each in found]) for name in ("plug_in", "corrected"))
    assert plug_in > 0.05
    assert corrected < 0.5 * plug_in


def test_misuse_is_refused(generator: np.random.Generator) -> None:
    p, y = _calibrated(generator, 10)
    for bad in (p * 2, p[:, 0], -p, p[:0], p.copy() * np.nan):
        with pytest.raises(PruneproofError, match="summing to 1"):
            quality(bad, y[: len(bad)])
    for labels in (y[:5], y + 4, y.astype(float)):
        with pytest.raises(PruneproofError, match="whole labels"):
            quality(p, labels)
    for bins in (0, 2.5):
        with pytest.raises(PruneproofError, match="at least one bin"):
            reliability(p, y, bins=bins)  # pyright: ignore[reportArgumentType]
    for wrong in ({"repeats": 0}, {"repeats": 2.5}, {"level": 1.0}, {"level": float("nan")}):
        with pytest.raises(PruneproofError, match="at least one draw"):
            calibration_error(p, y, generator=generator, **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(PruneproofError, match="one shape"):
        posterior_divergence(p, p[:, :2] / p[:, :2].sum(1, keepdims=True))
