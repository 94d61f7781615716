"""The hull of the neurons around the dense output and the target: V, D, D_y, margins, as numbers for G1–G3 and T1–T3.

Margins come from the smallest positive eigenvalue of the neurons' covariance (MARGIN in proof.md), lowered by
the rounding error of the eigenvalue, so that they stay lower bounds. Cost: O(N²P) time for the diameter, O(NP·min(N,P))
for the spectrum, one block of distances in memory.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from pruneproof.errors import InvalidValueError

Floats = NDArray[np.float64]
BLOCK = 512  # neurons per block of the diameter's distances
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Geometry:
    """What G1–G3 and T1–T3 need to know about the neurons' outputs.

    Args:
        V: (1/N)Σ‖Φ_i-s̄‖².
        D: The largest distance between two neurons.
        D_y: Max‖Φ_i-y‖.
        radius: Max‖Φ_i-s̄‖.
        loss: ½‖s̄-y‖².
        spans: Whether the neurons affinely span the output space.
        gamma_s: A lower bound of the margin of the dense output (in the affine span).
        gamma_y: A lower bound of the margin of the target, or `None` when the neurons do not span the
            output space or the bound is not positive: Then G2 does not apply.
    """

    V: float
    D: float
    D_y: float
    radius: float
    loss: float
    spans: bool
    gamma_s: float
    gamma_y: float | None


def geometry(features: ArrayLike, target: ArrayLike) -> Geometry:
    """Measure the neurons' outputs against the target.

    Args:
        features: (neurons, points): row i is Φ_i, all outputs of neuron i on the data.
        target: (points,), scaled alike (both by 1/√m for the mean-scaled loss).

    Returns:
        The constants, computed in float64 (source: theory/theorems/greedy/proof.md).

    Raises:
        InvalidValueError: For other shapes, NaN or inf.

    Example:
        >>> square = geometry([[1, 1], [1, -1], [-1, 1], [-1, -1]], [0, 0])
        >>> square.V, square.loss, square.spans, round(square.gamma_s, 6)  # the true margin is 1
        (2.0, 0.0, True, 0.707107)
    """
    neurons, goal = _checked(features, target)
    dense = neurons.mean(axis=0)
    centred = neurons - dense
    radius = float(np.linalg.norm(centred, axis=1).max())
    loss = float(((dense - goal) ** 2).sum() / 2)
    rank, eigenvalue = _spectrum(centred)
    spans = rank == neurons.shape[1]
    gamma_s = eigenvalue / radius if rank else 0.0
    gamma_y = gamma_s - sqrt(2 * loss)
    return Geometry(
        V=float((centred**2).sum() / len(neurons)),
        D=_diameter(neurons),
        D_y=float(np.linalg.norm(neurons - goal, axis=1).max()),
        radius=radius,
        loss=loss,
        spans=spans,
        gamma_s=gamma_s,
        gamma_y=gamma_y if spans and gamma_y > 0 else None,
    )


def _checked(features: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    neurons, goal = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if neurons.ndim != 2 or goal.shape != neurons.shape[1:] or neurons.size == 0:
        raise InvalidValueError(
            f"geometry: features must be (neurons, points) and the target (points,), got shapes {neurons.shape} and "
            f"{goal.shape}. Flatten examples and outputs into one axis."
        )
    if not (np.isfinite(neurons).all() and np.isfinite(goal).all()):
        raise InvalidValueError("geometry: features and target must be finite, got NaN or inf. Check the forward pass.")
    return neurons, goal


def _spectrum(centred: Floats) -> tuple[int, float]:
    """Rank of the centred neurons and a lower bound of the smallest positive eigenvalue of their covariance.

    A computed singular value is within p·eps·σ_max of a true one (backward stability of the SVD with Weyl's inequality;
    p = N + P is a generous p for LAPACK): values below that count as zero, the others are lowered by it.
    """
    singular = np.linalg.svd(centred, compute_uv=False)
    error = sum(centred.shape) * EPSILON * float(singular[0])
    positive = singular[singular > error]
    if not len(positive):
        return 0, 0.0
    return len(positive), max(float(positive[-1]) - error, 0.0) ** 2 / len(centred)


def _diameter(neurons: Floats) -> float:
    blocks = range(0, len(neurons), BLOCK)
    return max(float(cdist(neurons[first : first + BLOCK], neurons).max()) for first in blocks)
