"""Sparse double descent: the four phases of the error along a pruning path, and the effective size of the best network.

He, Xie, Zhu, Qin (ICML 2022): as the density falls the test error first stays (Light), rises to a peak (Critical),
falls below it (Sweet), rises for good (Collapsed). For large networks the dense error can beat every pruned one, so the
trough is sought after the peak: peak and trough are the pair of levels, in this order, with the largest fall, less what
the trough lies above the dense error (otherwise a ripple in the collapse would count). Light ends where half the rise
to the peak is exceeded for good, Critical where half the fall to the trough is first reached, Sweet where half the
final rise is first exceeded. A curve without a peak gives peak 0 and no Critical: Light until it first falls below the
dense error, then Sweet until half the final rise; no Sweet if it never falls.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pruneproof.errors import InvalidValueError

Floats = NDArray[np.float64]
Phase = Literal["Light", "Critical", "Sweet", "Collapsed"]


@dataclass(frozen=True)
class Descent:
    """Peak and trough of one error curve, as positions on the path (dense first).

    Args:
        peak, trough: Positions of the peak and of the lowest error after it.
        rise: Error at the peak minus the dense error.
        fall: Dense error minus the error at the trough; positive if pruning beats the dense
            network.
        phases: The phase of every level.
    """

    peak: int
    trough: int
    rise: float
    fall: float
    phases: tuple[Phase, ...]


def double_descent(error: ArrayLike) -> Descent:
    """Find the peak, the trough after it and the phases of an error curve.

    Args:
        error: (levels,) mean test error along the path, dense first, densities decreasing.

    Returns:
        Where peak and trough lie, and the phase of every level.

    Raises:
        PruneproofError: For fewer than three levels or values that are not finite.

    Example:
        >>> found = double_descent([0.30, 0.31, 0.35, 0.25, 0.14, 0.20, 0.60])
        >>> found.peak, found.trough, round(found.rise, 2), round(found.fall, 2)
        (2, 4, 0.05, 0.16)
        >>> found.phases[1:]
        ('Light', 'Critical', 'Critical', 'Sweet', 'Sweet', 'Collapsed')
    """
    curve = checked(error, dimensions=1)
    peak, trough = (int(turn) for turn in _turns(curve))
    phases: tuple[Phase, ...] = tuple(_phase(level, curve, peak, trough) for level in range(len(curve)))
    return Descent(peak, trough, float(curve[peak] - curve[0]), float(curve[0] - curve[trough]), phases)


def _turns(curves: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where peak and trough lie on curves (…, levels)."""
    levels = curves.shape[-1]
    score = curves[..., None] - curves[..., None, :] - np.maximum(curves - curves[..., :1], 0)[..., None, :]
    score[..., np.tri(levels, k=-1, dtype=bool)] = -np.inf  # the trough comes after the peak
    return np.divmod(score.reshape(*curves.shape[:-1], -1).argmax(-1), levels)


def _phase(level: int, curve: Floats, peak: int, trough: int) -> Phase:
    if level < peak:
        risen = bool((curve[level:peak] > (curve[0] + curve[peak]) / 2).all())
        return "Critical" if risen else "Light"
    if level > trough and (curve[trough : level + 1] > (curve[trough] + curve[trough:].max()) / 2).any():
        return "Collapsed"
    if peak == 0:
        return "Sweet" if (curve[: level + 1] < curve[0]).any() else "Light"
    fallen = (curve[peak : level + 1] <= (curve[peak] + curve[trough]) / 2).any()
    return "Sweet" if fallen else "Critical"


def effective_level(error: ArrayLike, *, rule: Literal["lowest", "one standard error"] = "lowest") -> int:
    """The level that pruning would stop at, selected on a validation curve: report another set's error there.

    Args:
        error: (seeds, levels) validation errors, dense first.
        rule: "lowest" takes the lowest mean after the peak; "one standard error" the sparsest level
            whose mean is within one standard error of it (Breiman et al. 1984, section 3.4.3),
            which needs at least two seeds.

    Returns:
        A position on the path.

    Raises:
        PruneproofError: For curves that are too short, not finite, or single with the
            standard-error rule.

    Example:
        >>> curves = [[0.3, 0.4, 0.20, 0.21, 0.5], [0.3, 0.4, 0.24, 0.22, 0.5]]
        >>> effective_level(curves), effective_level(curves, rule="one standard error")
        (3, 3)
    """
    curves = checked(error, dimensions=2)
    mean = curves.mean(0)
    found = int(_turns(mean)[1])
    if rule == "lowest":
        return found
    if len(curves) < 2:
        raise InvalidValueError(
            "effective_level: it needs two seeds for a standard error, got one. Run more seeds, or "
            "use the lowest error."
        )
    limit = mean[found] + curves[:, found].std(ddof=1) / np.sqrt(len(curves))
    within = np.flatnonzero(mean[found:] <= limit)
    return found + int(within.max())


def effective_size_interval(
    error: ArrayLike, sizes: ArrayLike, *, generator: np.random.Generator, repeats: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """The number of weights at the effective level with a bootstrap interval over seeds.

    Args:
        error: (seeds, levels) validation errors, dense first.
        sizes: (levels,) surviving weights.
        generator: Draws the resamples of seeds.
        repeats: Resamples.
        level: Confidence.

    Returns:
        The number at the effective level of the mean curve, and the ends of its interval.

    Raises:
        InvalidValueError: The sizes do not match the curves, or the curves are too short or not
            finite.

    Example:
        >>> effective_size_interval([[0.3, 0.4, 0.2, 0.5]] * 3, [80, 40, 20, 10], generator=np.random.default_rng(0))
        (20.0, 20.0, 20.0)
    """
    curves, counts = checked(error, dimensions=2), np.asarray(sizes, dtype=np.float64)
    if counts.shape != curves.shape[1:]:
        raise InvalidValueError(
            f"effective_size_interval: it needs matching sizes, got {counts.shape!r}. Give one size per level."
        )
    drawn = generator.integers(len(curves), size=(repeats, len(curves)))
    low, high = np.quantile(counts[_turns(curves[drawn].mean(1))[1]], [(1 - level) / 2, (1 + level) / 2])
    return float(counts[effective_level(curves)]), float(low), float(high)


def checked(error: ArrayLike, *, dimensions: int) -> Floats:
    """Error curves as an array.

    Raises:
        PruneproofError: For fewer than three levels or values that are not finite.
    """
    curve = np.asarray(error, dtype=np.float64)
    if curve.ndim != dimensions or curve.shape[-1] < 3 or not np.isfinite(curve).all():
        raise InvalidValueError(
            f"double_descent: it needs finite errors of {dimensions} dimension(s) with at least three "
            f"levels, the last axis dense first, got {curve.shape!r}. Prune further."
        )
    return curve
