"""Fit a curve of `models` to measured errors: bounded multi-start least squares on the relative deviation.

Widths and depths are taken relative to their geometric means, so that p is the density at which a network of the
reference size enters the power law, and p, φ, ψ are nearly uncorrelated. Every row counts once, so a density measured
with three seeds weighs three times a density measured once. Cost: about 5 ms per start for 250 points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from pruneproof.errors import InvalidValueError

from .models import LAW, Model, at_limits, bounds, carries, from_search, joint, to_search
from .points import Floats, Points

STARTS = 8
WIDER = 5.0  # in search coordinates: a factor of 150, or 5 in an exponent


@dataclass(frozen=True)
class FittedLaw:
    """A fitted curve.

    Args:
        model: The family of curves, with the exponents that were fitted.
        parameters: Name → value.
        reference: Depth and width that the invariant is relative to.
        points: The points it was fitted to.
        deviation: (n,) relative deviation ε̂/ε − 1 at the points.
        at_bound: Parameters that ended at a limit of the search.
    """

    model: Model
    parameters: Mapping[str, float]
    reference: tuple[float, float]
    points: Points
    deviation: Floats
    at_bound: tuple[str, ...]

    @property
    def mean(self) -> float:
        """μ, the mean relative deviation."""
        return float(self.deviation.mean())

    @property
    def spread(self) -> float:
        """σ, the standard deviation of the relative deviation."""
        return float(self.deviation.std())

    @property
    def criterion(self) -> float:
        """AICc of a Gaussian relative deviation; lower is better."""
        count, free = len(self.points), len(self.model.parameters) + 1
        if count <= free + 1:
            return float("inf")
        squares = max(float(np.mean(self.deviation**2)), 1e-300)
        return count * np.log(squares) + 2 * free + 2 * free * (free + 1) / (count - free - 1)

    def predict(self, points: Points, *, extrapolate: bool = False) -> Floats:
        """Predict the errors of other networks with known dense errors.

        Args:
            points: Networks and densities; their errors are not read.
            extrapolate: Whether to answer outside the fitted range.

        Returns:
            Errors (n,).

        Raises:
            PruneproofError: If a density, width or depth leaves the range of the fit and
                `extrapolate` is not set.
        """
        outside = self.outside(points)
        if outside.any() and not extrapolate:
            raise InvalidValueError(
                f"predict: it needs points within the fitted {self._range()}, got {int(outside.sum())}"
                f" of {len(points)} points outside. Pass extrapolate=True and check the held-out "
                "deviation first."
            )
        return np.exp(self.model.log_error(dict(self.parameters), relative_to(points, self.reference)))

    def outside(self, points: Points) -> np.ndarray:
        """Mark the points that would be extrapolation in density, width or depth.

        Args:
            points: Networks and densities.

        Returns:
            (n,) bool.
        """
        flags = np.zeros(len(points), bool)
        for name in ("density", "width", "depth"):
            known, asked = getattr(self.points, name), getattr(points, name)
            slack = 1e-9 * known.max()
            flags |= (asked < known.min() - slack) | (asked > known.max() + slack)
        return flags

    def invariant(self, points: Points) -> Floats:
        """The law's invariant, m = (l/l₀)^φ (w/w₀)^ψ d.

        Args:
            points: Networks and densities.

        Returns:
            (n,).
        """
        scaled = relative_to(points, self.reference)
        depth, width = self.parameters.get("phi", 0.0), self.parameters.get("psi", 0.0)
        return scaled.depth**depth * scaled.width**width * scaled.density

    def _range(self) -> str:
        columns = ((name, getattr(self.points, name)) for name in ("density", "width", "depth"))
        return ", ".join(f"{name} {values.min():.4g} … {values.max():.4g}" for name, values in columns)


class ScalingLaw:
    """The scaling law as something to fit: `ScalingLaw.fit(points)`.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [
        ...     {"network": "a", "width": 1, "depth": 1, "density": d, "dense_error": 0.05,
        ...      "error": 0.05 * ((d**2 + 0.01 * 16) / (d**2 + 0.01)) ** 0.5}
        ...     for d in np.geomspace(1, 0.005, 20)
        ... ]
        >>> fitted = ScalingLaw.fit(points_from_rows(rows))
        >>> {name: round(value, 4) for name, value in fitted.parameters.items()}
        {'p': 0.1, 'gamma': 1.0, 'upper_error': 0.2}
    """

    @staticmethod
    def fit(points: Points, model: Model = LAW) -> FittedLaw:
        """Fit one network, or a family jointly with the exponents φ and ψ that its depths and widths determine.

        Args:
            points: Measured errors.
            model: The family of curves.

        Returns:
            The fit.
        """
        return fit(points, model)


def fit(points: Points, model: Model = LAW) -> FittedLaw:
    """Fit a model; exponents of depth and width are added when they vary over the points.

    Args:
        points: Measured errors.
        model: The family of curves.

    Returns:
        The best of several local fits from starts that are the same every time.

    Raises:
        PruneproofError: If there are fewer than two places (network, density) more than parameters,
            or fewer different densities than the curve has constants of its own.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> fit(points_from_rows([{"network": "a", "width": 1, "depth": 1, "density": 1, "error": 0.1}]))
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: fit: it needs at least 5 points for scaling law with 3 parameters...
    """
    full = joint(model, points)
    if not carries(points, model):
        needed, own = len(full.parameters) + 2, len(model.parameters)
        raise InvalidValueError(
            f"fit: it needs at least {needed} points for {full.name} with {len(full.parameters)} "
            f"parameters, {own} densities, got {points.places} with {points.densities}. Measure more "
            "densities, or use simplest(points)."
        )
    reference = float(np.exp(np.log(points.depth).mean())), float(np.exp(np.log(points.width).mean()))
    scaled = relative_to(points, reference)
    best = min((descend(full, scaled, start) for start in _starts(full, scaled)), key=lambda found: found[1])
    return fitted_at(full, from_search(full, best[0]), reference, points)


def fitted_at(model: Model, values: dict[str, float], reference: tuple[float, float], points: Points) -> FittedLaw:
    """The record of a model at given parameter values."""
    scaled = relative_to(points, reference)
    stuck = at_limits(model, to_search(model, values), bounds(model, scaled))
    deviation = np.exp(model.log_error(values, scaled)) / points.error - 1
    return FittedLaw(model, values, reference, points, deviation, stuck)


def relative_to(points: Points, reference: tuple[float, float]) -> Points:
    """The points with depth and width divided by the reference."""
    return points.replaced(depth=points.depth / reference[0], width=points.width / reference[1])


def _starts(model: Model, points: Points) -> Floats:
    """Halton points in the box; the same ones every time."""
    low, high = bounds(model, points)
    unit = qmc.Halton(len(low), scramble=False).random(STARTS + 1)[1:]  # the first point is the corner
    starts = low + unit * (high - low)
    for name, centre, reach in (("phi", 0.0, 0.5), ("psi", 1.0, 0.5)):  # exponents are of order one
        if name in model.parameters:
            column = model.parameters.index(name)
            starts[:, column] = centre + reach * (starts[:, column] - starts[:, column].mean())
    return np.clip(starts, low + 1e-3, high - 1e-3)


def descend(
    model: Model, points: Points, start: Floats, held: Mapping[int, float] | None = None, *, wider: Sequence[int] = ()
) -> tuple[Floats, float]:
    """One local fit in search coordinates, some of them held: the coordinates and their sum of squares.

    Args:
        model: The family of curves.
        points: What it is fitted to.
        start: Search coordinates (parameters,).
        held: Index → the value at which a coordinate stays.
        wider: Indices of coordinates that may go `WIDER` beyond their limits.
    """
    fixed = dict(held or {})
    free = [i for i in range(len(start)) if i not in fixed]
    coordinates = np.array(start, float)
    coordinates[list(fixed)] = list(fixed.values())
    low, high = bounds(model, points)
    low[list(wider)] -= WIDER
    high[list(wider)] += WIDER

    def residual(moved: Floats) -> Floats:
        coordinates[free] = moved
        return np.expm1(np.clip(model.log_error(from_search(model, coordinates), points) - logged, -50, 50))

    logged = np.log(points.error)
    if not free:
        return coordinates, float((residual(np.empty(0)) ** 2).sum())
    inside = np.clip(coordinates[free], low[free] + 1e-9, high[free] - 1e-9)
    found = least_squares(residual, inside, bounds=(low[free], high[free]), x_scale="jac", max_nfev=200)
    coordinates[free] = found.x
    return coordinates.copy(), 2 * float(found.cost)
