"""How good predicted probabilities are: error, proper scores, calibration error, distance to a known posterior.

For probabilities p (n, C) and labels y: error, the share of argmax p ≠ y; negative log-likelihood −mean ln p_y (nats);
Brier score mean ‖p − onehot(y)‖² (Brier 1950, all classes); overconfidence, mean max p − accuracy; KL, mean
Σ p* ln(p*/p) for a known posterior p*. ECE is in calibration_error.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import PruneproofError

Floats = NDArray[np.float64]
_SMALLEST = 1e-300  # a floor under probabilities: of exactly zero the logarithm would be infinite


@dataclass(frozen=True)
class Quality:
    """Scores of predicted probabilities on one set of labels.

    Arguments:
        error: share of examples whose most probable class is not the label.
        negative_log_likelihood: in nats; a label of probability 0 counts as one of 1e-300, 691 nats, not infinity.
        brier: in [0, 2].
        overconfidence: mean confidence minus accuracy; positive if too sure.
    """

    error: float
    negative_log_likelihood: float
    brier: float
    overconfidence: float


def quality(probabilities: ArrayLike, labels: ArrayLike) -> Quality:
    """All scores of predicted probabilities.

    Arguments:
        probabilities: (n, C), rows in the simplex.
        labels: (n,) int in 0 … C − 1.

    Raises:
        PruneproofError: if the rows are no probabilities or the labels do not fit.

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

    Arguments:
        posterior: (n, C) true conditional probabilities.
        probabilities: (n, C) predictions.

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
        PruneproofError: if the rows are no probabilities or the labels do not fit.
    """
    p, y = _simplex(probabilities), np.asarray(labels)
    whole = y.shape == (len(p),) and np.issubdtype(y.dtype, np.integer)
    if not whole or y.min() < 0 or y.max() >= p.shape[1]:
        required = f"{len(p)} whole labels in 0 … {p.shape[1] - 1}"
        received = f"{y.dtype} labels of shape {y.shape}"
        raise PruneproofError("calibration", required=required, received=received, remedy="number the classes from 0")
    return p, y.astype(np.int64)


def _simplex(values: ArrayLike) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    # float32 softmax sums to 1 within a few units of 1e-7 per class
    if p.ndim != 2 or not p.size or not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(1) - 1).max() > 1e-4:
        required = "probabilities (n, classes), non-negative, rows summing to 1"
        received = f"an array of shape {p.shape}"
        raise PruneproofError("calibration", required=required, received=received, remedy="apply softmax to the logits")
    return p


def _same_shape(p: Floats, q: Floats) -> None:
    if p.shape != q.shape:
        raise PruneproofError(
            "calibration",
            required="posterior and predictions of one shape",
            received=(p.shape, q.shape),
            remedy="align them",
        )
