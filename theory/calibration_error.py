"""Expected calibration error, Σ_b (n_b/n) abs(accuracy_b − confidence_b) over bins b, with its bias and interval.

Equal-width bins: Naeini, Cooper, Hauskrecht (AAAI 2015), Guo, Pleiss, Sun, Weinberger (ICML 2017); equal-mass bins:
Nguyen & O'Connor (EMNLP 2015), Roelofs et al. (AISTATS 2022). The plug-in value is biased upwards: even a calibrated
model shows E abs(accuracy_b − confidence_b) > 0 in every finite bin. The correction subtracts, per bin, the excess of
E abs(N(gap, s²)) over abs(gap), s² the variance of the bin's mean residual; the result is clipped at zero. The interval
resamples examples and is centred by that same correction.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from ..errors import PruneproofError
from .calibration import Floats, checked, confidences

Binning = Literal["equal-width", "equal-mass"]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: one entry per non-empty bin.

    Arguments:
        confidence, accuracy: (bins,) means within the bin.
        count: (bins,) examples.
        error: (bins,) standard error of accuracy − confidence.
    """

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]
    error: Floats


@dataclass(frozen=True)
class CalibrationError:
    """An estimate of the ECE.

    Arguments:
        plug_in: the usual value.
        corrected: less its estimated upward bias, at least 0.
        interval: bootstrap interval of the corrected value.
    """

    plug_in: float
    corrected: float
    interval: tuple[float, float]


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: Binning = "equal-width"
) -> Reliability:
    """The points of a reliability diagram of the most probable class.

    Arguments:
        probabilities: (n, C).
        labels: (n,).
        bins: at most this many; empty bins are left out.
        binning: "equal-width" cuts [0, 1] evenly, "equal-mass" puts as many examples in each bin.

    Raises:
        PruneproofError: for bad probabilities or labels, fewer than one bin, an unknown binning.

    Example:
        >>> diagram = reliability([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], [0, 1, 0], bins=10)
        >>> diagram.accuracy.tolist(), diagram.count.tolist()
        ([1.0, 0.5], [1, 2])
    """
    confidence, right = confidences(*checked(probabilities, labels))
    return _reliability(confidence, right, _checked_bins(bins, binning), binning)


def calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    generator: np.random.Generator,
    *,
    bins: int = 15,
    binning: Binning = "equal-width",
    level: float = 0.95,
    repeats: int = 200,
) -> CalibrationError:
    """The expected calibration error of the most probable class, its bias-corrected value and an interval.

    Arguments:
        probabilities, labels, bins, binning: as for `reliability`.
        generator: draws the resamples.
        level: confidence of the interval.
        repeats: resamples of the examples.

    Raises:
        PruneproofError: as `reliability`.

    Example:
        >>> p = np.tile([0.9, 0.1], (1000, 1))
        >>> y = np.arange(1000) % 2
        >>> round(calibration_error(p, y, np.random.default_rng(0)).plug_in, 6)
        0.4
    """
    confidence, right = confidences(*checked(probabilities, labels))
    count = _checked_bins(bins, binning)
    diagram = _reliability(confidence, right, count, binning)
    plug_in, bias = _plug_in(diagram), _bias(diagram)
    samples = np.empty(repeats)
    for repeat in range(repeats):
        chosen = generator.integers(len(right), size=len(right))
        samples[repeat] = _plug_in(_reliability(confidence[chosen], right[chosen], count, binning))
    # a resample carries the bias twice: once from the data, once from resampling them
    centred = samples - (samples.mean() - plug_in) - bias
    low, high = np.quantile(centred, [(1 - level) / 2, (1 + level) / 2])
    return CalibrationError(plug_in, max(0.0, plug_in - bias), (max(0.0, float(low)), max(0.0, float(high))))


def _reliability(confidence: Floats, right: Floats, bins: int, binning: Binning) -> Reliability:
    if binning == "equal-width":
        place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    else:
        rank = np.empty(len(confidence), np.int64)
        rank[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
        place = rank * bins // len(confidence)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    size = count[used]
    means = [np.bincount(place, weights=values, minlength=bins)[used] / size for values in (confidence, right)]
    residual = right - confidence
    first = np.bincount(place, weights=residual, minlength=bins)[used] / size
    second = np.bincount(place, weights=residual**2, minlength=bins)[used] / size
    variance = np.maximum(second - first**2, 0) / np.maximum(size - 1, 1)
    return Reliability(means[0], means[1], size, np.sqrt(variance))


def _plug_in(diagram: Reliability) -> float:
    share = diagram.count / diagram.count.sum()
    return float((share * np.abs(diagram.accuracy - diagram.confidence)).sum())


def _bias(diagram: Reliability) -> float:
    """Σ_b (n_b/n) · (E abs(N(g, s²)) − abs(g)) with g shrunk towards 0 by its own noise, g² → max(0, g² − s²)."""
    gap, s = np.abs(diagram.accuracy - diagram.confidence), np.maximum(diagram.error, 1e-12)
    centre = np.sqrt(np.maximum(gap**2 - s**2, 0))
    folded = s * np.sqrt(2 / np.pi) * np.exp(-(centre**2) / (2 * s**2)) + centre * erf(centre / (s * np.sqrt(2)))
    share = diagram.count / diagram.count.sum()
    return float((share * (folded - centre)).sum())


def _checked_bins(bins: int, binning: str) -> int:
    if bins < 1 or binning not in get_args(Binning):
        required = f"at least one bin, cut as one of {get_args(Binning)}"
        raise PruneproofError(
            "reliability", required=required, received=(bins, binning), remedy="use 15 equal-width bins"
        )
    return bins
