"""How well the data determine a fitted parameter: profile-likelihood intervals and a residual bootstrap.

A value belongs to the profile interval at a level if refitting all other parameters raises the sum of squares by no
more than the factor 1 + F/(n − k), F the quantile of F(1, n − k) (Bates & Watts, Nonlinear Regression Analysis, 1988,
section 6.1). A side on which that still holds at the limit of the search has no end: not identified. Cost: about twenty
warm refits per side.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

from .scaling_fit import FittedLaw, descend, relative_to
from .scaling_models import bounds, from_search, to_search
from .scaling_points import Floats, Points

_FIRST_STEP = 0.02
_HALVINGS = 8


@dataclass(frozen=True)
class Interval:
    """A profile interval of one parameter; an open side is infinite (zero below, for positive parameters).

    Arguments:
        low, high: the ends.
        identified: whether both ends lie inside the search limits.

    Example:
        >>> str(Interval(0.5, float("inf"), identified=False))
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


def profile_intervals(fitted: FittedLaw, level: float = 0.95) -> dict[str, Interval]:
    """The interval of every parameter at a confidence level.

    Arguments:
        fitted: a fit; its points give the likelihood.
        level: confidence, e.g. 0.95.

    Example:
        >>> from pruneproof.theory.scaling_fit import fit
        >>> from pruneproof.theory.scaling_points import points_from_rows
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


def _interval(fitted: FittedLaw, index: int, limit: float) -> Interval:
    ends = [_end(fitted, index, limit, side) for side in (-1, +1)]
    additive = fitted.model.parameters[index] in ("phi", "psi")
    missing = (-np.inf if additive else 0.0, np.inf)
    values = [
        none if end is None else (end if additive else np.exp(end)) for end, none in zip(ends, missing, strict=True)
    ]
    return Interval(float(values[0]), float(values[1]), identified=None not in ends)


def _end(fitted: FittedLaw, index: int, limit: float, side: int) -> float | None:
    """Where the profile crosses the limit on one side, in search coordinates; None if it does not."""
    scaled = relative_to(fitted.points, fitted.reference)
    place = to_search(fitted.model, dict(fitted.parameters))
    stop = bounds(fitted.model, scaled)[0 if side < 0 else 1][index]
    inside, step = float(place[index]), _FIRST_STEP
    while True:
        tried = stop if side * (inside + side * step - stop) >= 0 else inside + side * step
        candidate, squares = descend(fitted.model, scaled, place, {index: tried})
        if squares > limit:
            break
        if tried == stop:
            return None
        inside, place, step = tried, candidate, 2 * step
    for _ in range(_HALVINGS):
        middle = (inside + tried) / 2
        candidate, squares = descend(fitted.model, scaled, place, {index: middle})
        if squares > limit:
            tried = middle
        else:
            inside, place = middle, candidate
    return (inside + tried) / 2


def bootstrap(fitted: FittedLaw, repeats: int, generator: np.random.Generator) -> list[dict[str, float]]:
    """Parameters refitted to the fitted curve with resampled relative deviations (Efron & Tibshirani 1993, ch. 9).

    Arguments:
        fitted: a fit.
        repeats: number of resamples.
        generator: the source of randomness.
    """
    scaled = relative_to(fitted.points, fitted.reference)
    start = to_search(fitted.model, dict(fitted.parameters))
    curve = np.exp(fitted.model.log_error(dict(fitted.parameters), scaled))
    return [from_search(fitted.model, _resampled(fitted, scaled, start, curve, generator)) for _ in range(repeats)]


def _resampled(
    fitted: FittedLaw, scaled: Points, start: Floats, curve: Floats, generator: np.random.Generator
) -> Floats:
    drawn = generator.choice(fitted.deviation, len(curve))
    noisy = scaled.replaced(error=np.clip(curve / (1 + drawn), 1e-9, 1.0))
    return descend(fitted.model, noisy, start)[0]
