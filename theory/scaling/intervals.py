"""How well the data determine a fitted parameter: profile-likelihood intervals and a residual bootstrap.

A value belongs to the profile interval at a level if refitting all other parameters raises the sum of squares by no
more than the factor 1 + F/(n − k), F the quantile of F(1, n − k) (Bates & Watts, Nonlinear Regression Analysis, 1988,
section 6.1). A side on which that still holds at the limit of the search has no end: not identified. Nor has a side
that ends where another parameter sits at a limit of the search, if a wider search would move that end; only the limit
ε↑ ≤ 1 is one of the law itself. Cost: about twenty warm refits per side.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from .fitting import FittedLaw, descend, relative_to
from .models import at_limits, bounds, from_search, to_search
from .points import Floats, Points

Flags = NDArray[np.bool_]
_FIRST_STEP = 0.02
_HALVINGS = 8


@dataclass(frozen=True)
class ConfidenceInterval:
    """A profile interval of one parameter; an open side is infinite (zero below, for positive parameters).

    Args:
        low, high: The ends.
        identified: Whether both ends lie inside the search limits.

    Example:
        >>> str(ConfidenceInterval(0.5, float("inf"), identified=False))
        'not identified (≥ 0.5)'
    """

    low: float
    high: float
    identified: bool

    def __str__(self) -> str:
        if self.identified:
            return f"{self.low:.4g} … {self.high:.4g}"
        if np.isinf(self.high) and self.low > 0:
            return f"not identified (≥ {self.low:.3g})"
        return f"not identified (≤ {self.high:.3g})" if np.isfinite(self.high) else "not identified"


def profile_intervals(fitted: FittedLaw, level: float = 0.95) -> dict[str, ConfidenceInterval]:
    """The interval of every parameter at a confidence level.

    Args:
        fitted: A fit; its points give the likelihood.
        level: Confidence, e.g. 0.95.

    Returns:
        Parameter → interval.

    Example:
        >>> from pruneproof.theory.scaling.fitting import fit
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> errors = zip([1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01], [0.05, 0.051, 0.056, 0.07, 0.1, 0.15, 0.17])
        >>> rows = [{"network": "a", "width": 1, "depth": 1, "density": d, "error": e} for d, e in errors]
        >>> sorted(profile_intervals(fit(points_from_rows(rows))))
        ['gamma', 'p', 'upper_error']
    """
    names = fitted.model.parameters
    freedom = max(1, len(fitted.points) - len(names))
    factor = 1 + float(f_distribution.ppf(level, 1, freedom)) / freedom
    limit = max(float((fitted.deviation**2).sum()), 1e-24) * factor
    return {name: _interval(fitted, index, limit) for index, name in enumerate(names)}


def _interval(fitted: FittedLaw, index: int, limit: float) -> ConfidenceInterval:
    ends = [_end(fitted, index, limit, side) for side in (-1, +1)]
    additive = fitted.model.parameters[index] in ("phi", "psi")
    missing = (-np.inf if additive else 0.0, np.inf)
    values = [
        none if end is None else (end if additive else np.exp(end)) for end, none in zip(ends, missing, strict=True)
    ]
    return ConfidenceInterval(float(values[0]), float(values[1]), identified=None not in ends)


def _end(fitted: FittedLaw, index: int, limit: float, side: int) -> float | None:
    """Where the profile crosses the limit on one side, in search coordinates; None if it does not."""
    scaled = relative_to(fitted.points, fitted.reference)
    coordinates = to_search(fitted.model, dict(fitted.parameters))
    stop = bounds(fitted.model, scaled)[0 if side < 0 else 1][index]
    inside, step = float(coordinates[index]), _FIRST_STEP
    while True:
        tried = stop if side * (inside + side * step - stop) >= 0 else inside + side * step
        candidate, squares = descend(fitted.model, scaled, coordinates, {index: tried})
        if squares > limit:
            break
        if tried == stop:
            return None
        inside, coordinates, step = tried, candidate, 2 * step
    for _ in range(_HALVINGS):
        middle = (inside + tried) / 2
        candidate, squares = descend(fitted.model, scaled, coordinates, {index: middle})
        if squares > limit:
            tried = middle
        else:
            inside, coordinates = middle, candidate
    end = (inside + tried) / 2
    return None if _is_cut_off(fitted, coordinates, {index: end + side * _MOVED}, limit) else end


def _is_cut_off(fitted: FittedLaw, coordinates: Floats, beyond: dict[int, float], limit: float) -> bool:
    """Whether a wider search for the parameters that sit at their limits would move the end of a profile."""
    scaled = relative_to(fitted.points, fitted.reference)
    limits, names = bounds(fitted.model, scaled), fitted.model.parameters
    stuck = [names.index(name) for name in at_limits(fitted.model, coordinates, limits)]
    stuck = [
        i for i in stuck if i not in beyond and not (names[i] == "upper_error" and coordinates[i] > limits[1][i] - 1)
    ]
    return bool(stuck) and descend(fitted.model, scaled, coordinates, beyond, wider=stuck)[1] <= limit


_MOVED = 0.05  # in search coordinates: an end that a wider search moves by 5 % is none


@dataclass(frozen=True)
class Resample:
    """One refit to resampled errors.

    Args:
        parameters: Name → value.
        dense_error: (n,) ε_np of every point, redrawn where it was measured at density 1.
    """

    parameters: Mapping[str, float]
    dense_error: Floats


def bootstrap(fitted: FittedLaw, repeats: int, *, generator: np.random.Generator) -> list[Resample]:
    """Parameters refitted to the fitted curve with resampled residuals (Efron & Tibshirani 1993, ch. 9).

    Residuals are ln(ε̂/ε), centred and scaled by √(n/(n − k)), since k fitted constants have shrunk them. Where a dense
    error is the mean of its rows at density 1, it is measured as badly as every other point and drawn with them.

    Args:
        fitted: A fit.
        repeats: Number of resamples.
        generator: The source of randomness.

    Returns:
        One fit per resample.
    """
    logged = np.log1p(fitted.deviation)
    count = len(logged)
    residual = (logged - logged.mean()) * np.sqrt(count / max(1, count - len(fitted.model.parameters)))
    return [_resampled(fitted, residual[generator.integers(count, size=count)]) for _ in range(repeats)]


def _resampled(fitted: FittedLaw, drawn: Floats) -> Resample:
    points = fitted.points
    dense = points.dense_error.copy()
    for rows, measured in _measured_dense(points):
        dense[rows] *= np.mean(np.exp(-drawn[measured]))
    scaled = relative_to(points, fitted.reference)
    curve = np.exp(fitted.model.log_error(dict(fitted.parameters), scaled))
    noisy = scaled.replaced(error=np.clip(curve * np.exp(-drawn), 1e-9, 1.0), dense_error=dense)
    start = to_search(fitted.model, dict(fitted.parameters))
    return Resample(from_search(fitted.model, descend(fitted.model, noisy, start)[0]), dense)


def _measured_dense(points: Points) -> list[tuple[Flags, Flags]]:
    """Networks whose dense error is the mean of their rows at density 1: all their rows, and those at density 1."""
    networks = [points.network == name for name in points.networks()]
    pairs = [(mine, mine & (points.density == 1)) for mine in networks]
    return [
        (mine, dense)
        for mine, dense in pairs
        if dense.any() and np.isclose(points.error[dense].mean(), points.dense_error[mine][0], rtol=1e-12, atol=0)
    ]
