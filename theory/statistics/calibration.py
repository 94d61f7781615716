"""How good predicted probabilities are: error, proper scores, calibration error, distance to a known posterior.

For probabilities p (n, C) and labels y: error, the share of argmax p ≠ y; negative log-likelihood
−mean ln p_y (nats); Brier score mean ‖p − onehot(y)‖² (Brier 1950, all classes); overconfidence, mean
max p − accuracy; KL, mean Σ p* ln(p*/p) for a known posterior p*.

The expected calibration error is Σ_b (n_b/n) abs(accuracy_b − confidence_b) over bins b. Equal-width
bins: Naeini, Cooper, Hauskrecht (AAAI 2015), Guo, Pleiss, Sun, Weinberger (ICML 2017); equal-mass
bins: Nguyen & O'Connor (EMNLP 2015), Roelofs et al. (AISTATS 2022). The plug-in value is biased
upwards: even a calibrated model shows E abs(accuracy_b − confidence_b) > 0 in every finite bin. The
correction subtracts, per bin, the excess of E abs(N(gap, s²)) over abs(gap), s² the variance of the
bin's mean residual; the result is clipped at zero. The interval bounds what the noise of the bins can
have added to or taken from the plug-in value: see calibration.md for derivation and measured coverage.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf
from scipy.stats import norm

from pruneproof.errors import InvalidValueError

Floats = NDArray[np.float64]
_SMALLEST = 1e-300  # a floor under probabilities: of exactly zero the logarithm would be infinite


@dataclass(frozen=True)
class Quality:
    """Scores of predicted probabilities on one set of labels.

    Args:
        error: Share of examples whose most probable class is not the label.
        negative_log_likelihood: In nats; a label of probability 0 counts as one of 1e-300, 691
            nats, not infinity.
        brier: In [0, 2].
        overconfidence: Mean confidence minus accuracy; positive if too sure.
    """

    error: float
    negative_log_likelihood: float
    brier: float
    overconfidence: float


def quality(probabilities: ArrayLike, labels: ArrayLike) -> Quality:
    """All scores of predicted probabilities.

    Args:
        probabilities: (n, C), rows in the simplex.
        labels: (n,) int in 0 … C − 1.

    Returns:
        The mean of each score.

    Raises:
        PruneproofError: If the rows are no probabilities or the labels do not fit.

    Example:
        >>> found = quality([[0.75, 0.25], [0.5, 0.5]], [0, 1])
        >>> found.error, found.brier, found.overconfidence
        (0.5, 0.3125, 0.125)
    """
    p, y = checked(probabilities, labels)
    chosen = p[np.arange(len(y)), y]
    confidence, right = confidences(p, y)
    return Quality(
        error=float(1 - right.mean()),
        negative_log_likelihood=float(-np.log(np.maximum(chosen, _SMALLEST)).mean()),
        brier=float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean()),
        overconfidence=float(confidence.mean() - right.mean()),
    )


def posterior_divergence(posterior: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean Kullback–Leibler divergence Σ p* ln(p*/p) in nats, from predictions p to the true posterior p*.

    A predicted probability of 0 counts as 1e-300, so that the mean stays finite where the divergence is infinite.

    Args:
        posterior: (n, C) true conditional probabilities.
        probabilities: (n, C) predictions.

    Returns:
        The mean over examples, in nats.

    Example:
        >>> round(posterior_divergence([[0.5, 0.5]], [[0.9, 0.1]]), 4)
        0.5108
    """
    p, q = _simplex(posterior), _simplex(probabilities)
    _same_shape(p, q)
    ratio = np.log(np.maximum(p, _SMALLEST)) - np.log(np.maximum(q, _SMALLEST))
    return float((p * ratio).sum(1).mean())


def posterior_distance(posterior: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean total variation ½ Σ abs(p* − p); for two classes the mean of abs(p̂ − p*).

    Args:
        posterior: (n, C) true conditional probabilities.
        probabilities: (n, C) predictions.

    Returns:
        The mean over examples, between 0 and 1.

    Example:
        >>> posterior_distance([[0.5, 0.5]], [[0.75, 0.25]])
        0.25
    """
    p, q = _simplex(posterior), _simplex(probabilities)
    _same_shape(p, q)
    return float(np.abs(p - q).sum(1).mean() / 2)


def confidences(probabilities: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Confidence max p (n,) and whether the most probable class is right (n,), 1 or 0."""
    return probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)


def checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities and labels as arrays.

    Raises:
        PruneproofError: If the rows are no probabilities or the labels do not fit.
    """
    p, y = _simplex(probabilities), np.asarray(labels)
    whole = y.shape == (len(p),) and np.issubdtype(y.dtype, np.integer)
    if not whole or y.min() < 0 or y.max() >= p.shape[1]:
        raise InvalidValueError(
            f"calibration: it needs {len(p)} whole labels in 0 … {p.shape[1] - 1}, got {y.dtype} "
            f"labels of shape {y.shape}. Number the classes from 0."
        )
    return p, y.astype(np.int64)


def _simplex(values: ArrayLike) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    # float32 softmax sums to 1 within a few units of 1e-7 per class
    if p.ndim != 2 or not p.size or not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(1) - 1).max() > 1e-4:
        raise InvalidValueError(
            "calibration: it needs probabilities (n, classes), non-negative, rows summing to 1, got "
            f"an array of shape {p.shape}. Apply softmax to the logits."
        )
    return p


def _same_shape(p: Floats, q: Floats) -> None:
    if p.shape != q.shape:
        raise InvalidValueError(
            f"calibration: it needs posterior and predictions of one shape, got {(p.shape, q.shape)!r}. Align them."
        )


Binning = Literal["equal-width", "equal-mass"]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: one entry per non-empty bin.

    Args:
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

    Args:
        plug_in: The usual value.
        corrected: Less its estimated upward bias, at least 0.
        interval: Of the true value; contains the corrected one.
    """

    plug_in: float
    corrected: float
    interval: tuple[float, float]


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15, binning: Binning = "equal-width"
) -> Reliability:
    """The points of a reliability diagram of the most probable class.

    Args:
        probabilities: (n, C).
        labels: (n,).
        bins: At most this many; empty bins are left out.
        binning: "equal-width" cuts [0, 1] evenly, a bin contains its lower edge; "equal-mass" puts
            as many examples in each bin, but equal confidences into one, so that the order of the
            examples does not matter.

    Returns:
        Accuracy, confidence and standard error of every bin that is not empty.

    Raises:
        PruneproofError: For bad probabilities or labels, a number of bins that is not whole or
            below one, an unknown binning.

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
    *,
    generator: np.random.Generator,
    bins: int = 15,
    binning: Binning = "equal-width",
    level: float = 0.95,
    repeats: int = 1000,
) -> CalibrationError:
    """The expected calibration error of the most probable class, its bias-corrected value and an interval.

    Args:
        probabilities, labels, bins, binning: As for `reliability`.
        generator: Draws the noise of the bins for the lower end of the interval.
        level: Confidence of the interval. At 0.95 it covered the true value in 96 to 100 % of
            simulated data sets of 50 to 1000 examples (calibration.md): wide rather than wrong.
        repeats: Draws of that noise.

    Returns:
        The plug-in value, the corrected one and an interval.

    Raises:
        PruneproofError: As `reliability`, and for a level outside (0, 1) or fewer than one draw.

    Example:
        >>> p = np.tile([0.9, 0.1], (1000, 1))
        >>> y = np.arange(1000) % 2
        >>> round(calibration_error(p, y, generator=np.random.default_rng(0)).plug_in, 6)
        0.4
    """
    confidence, right = confidences(*checked(probabilities, labels))
    count = _checked_bins(bins, binning)
    diagram = _reliability(confidence, right, count, binning)
    if not 0 < level < 1 or not _whole(repeats):
        raise InvalidValueError(
            "calibration_error: it needs a level in (0, 1) and at least one draw of the noise, got "
            f"{(level, repeats)!r}. Use level=0.95, repeats=1000."
        )
    plug_in, bias = _plug_in(diagram), _bias(diagram)
    below, above = _reach(diagram, level, generator.standard_normal((repeats, len(diagram.count) + 1)))
    return CalibrationError(plug_in, max(0.0, plug_in - bias), (max(0.0, plug_in - below), plug_in + above))


def _reliability(confidence: Floats, right: Floats, bins: int, binning: Binning) -> Reliability:
    if binning == "equal-width":
        bin_of = np.searchsorted(np.arange(1, bins) / bins, confidence, side="right")
    else:
        rank = np.searchsorted(np.sort(confidence), confidence)  # equal confidences share a rank, hence a bin
        bin_of = rank * bins // len(confidence)
    count = np.bincount(bin_of, minlength=bins)
    used = count > 0
    size = count[used]
    means = [np.bincount(bin_of, weights=values, minlength=bins)[used] / size for values in (confidence, right)]
    residual = right - confidence
    first = np.bincount(bin_of, weights=residual, minlength=bins)[used] / size
    second = np.bincount(bin_of, weights=residual**2, minlength=bins)[used] / size
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


def _reach(diagram: Reliability, level: float, noise: Floats) -> tuple[float, float]:
    """How far below and above the plug-in value the true one may lie; noise (draws, bins + 1) is standard normal.

    The standard error of a bin is at least that of its accuracy by Agresti and Coull (1998): a bin of one example, or
    of right ones only, has shown no variance but is not free of it.
    """
    share, gap = diagram.count / diagram.count.sum(), np.abs(diagram.accuracy - diagram.confidence)
    far = float(norm.ppf((1 + level) / 2))
    accuracy = (diagram.count * diagram.accuracy + far**2 / 2) / (diagram.count + far**2)
    s = np.maximum(diagram.error, np.sqrt(accuracy * (1 - accuracy) / diagram.count))
    # which bins the examples fell into: the variance of a mean of gaps
    mixing = float(np.sqrt((share * (gap - (share * gap).sum()) ** 2).sum() / diagram.count.sum()))
    added = np.abs(noise[:, 1:]) @ (share * s) + mixing * noise[:, 0]
    taken = far * np.sqrt(((share * s) ** 2).sum() + mixing**2)
    return float(np.quantile(added, (1 + level) / 2)), float(taken)


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and bool(value >= 1)


def _checked_bins(bins: int, binning: str) -> int:
    if not _whole(bins) or binning not in get_args(Binning):
        raise InvalidValueError(
            f"reliability: it needs at least one bin, cut as one of {get_args(Binning)}, got {(bins, binning)!r}."
            " Use 15 equal-width bins."
        )
    return bins
