"""Is it the right curve? Every model fitted to the same points: AICc, points held out, larger networks held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pruneproof.errors import InvalidValueError

from .fitting import FittedLaw, fit
from .models import MODELS, Model, carries
from .points import Floats, Points

FOLDS = 5


@dataclass(frozen=True)
class Comparison:
    """One model's fit.

    Args:
        name: The model.
        fitted: Fit to all points.
        held_out: Root mean square relative deviation on points left out of the fit, five folds.
    """

    name: str
    fitted: FittedLaw
    held_out: float


def compare(points: Points, *, generator: np.random.Generator, models: Sequence[Model] = MODELS) -> list[Comparison]:
    """Fit every model that the points can carry, best AICc first.

    Args:
        points: Measured errors; seeds of one network and density stay in one fold.
        generator: Shuffles the folds, the same for all models.
        models: The candidates.

    Returns:
        One entry per model that could be fitted, the lowest AICc first.

    Raises:
        PruneproofError: If no model can be fitted.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [
        ...     {"network": "a", "width": 1, "depth": 1, "density": d, "error": e}
        ...     for d, e in ((1, 0.1), (0.5, 0.11), (0.1, 0.3))
        ... ]
        >>> [each.name for each in compare(points_from_rows(rows), generator=np.random.default_rng(0))]
        ['constant']
    """
    possible = [model for model in models if carries(points, model)]
    if not possible:
        raise InvalidValueError(f"compare: it needs at least 3 points, got {points.places!r}. Measure more.")
    folds = _folds(points, generator)
    found = [Comparison(model.name, fit(points, model), held_out(points, model, folds)) for model in possible]
    return sorted(found, key=lambda each: each.fitted.criterion)


def held_out(points: Points, model: Model, folds: np.ndarray) -> float:
    """Root mean square relative deviation of points predicted by fits to the other folds.

    Args:
        points: Measured errors.
        model: What is fitted.
        folds: (n,) the fold of each point. NaN if the rest is too small to fit.

    Returns:
        The deviation; NaN if the other folds are too few to fit.
    """
    deviations: list[Floats] = []
    for fold in np.unique(folds):
        rest = points.where(folds != fold)
        if not carries(rest, model):
            return float("nan")
        tested = points.where(folds == fold)
        deviations.append(fit(rest, model).predict(tested, extrapolate=True) / tested.error - 1)
    return float(np.sqrt(np.mean(np.concatenate(deviations) ** 2)))


def leave_large_out(
    points: Points, largest: float, model: Model, *, by: Literal["width", "depth"] = "width"
) -> tuple[FittedLaw, Floats]:
    """Fit to networks of at most a width (or depth), predict the larger ones: the fit and their relative deviations.

    Args:
        points: Measured errors.
        largest: The greatest width (or depth) that is fitted.
        model: What is fitted.
        by: `"width"` or `"depth"`.

    Returns:
        The fit, and (n,) ε̂/ε − 1 at the points of the larger networks.

    Raises:
        PruneproofError: If the width does not split the points, or the smaller networks do not
            carry the model.

    Example:
        >>> from pruneproof.theory.scaling.models import CONSTANT
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [
        ...     {"network": w, "width": w, "depth": 1, "density": d, "error": w * 0.01, "dense_error": 0.01}
        ...     for w in (8, 16) for d in (1, 0.5, 0.1)
        ... ]
        >>> leave_large_out(points_from_rows(rows), 8, CONSTANT)[1].round(6).tolist()
        [-0.5, -0.5, -0.5]
    """
    column = points.width if by == "width" else points.depth
    small = column <= largest
    if small.all() or not small.any():
        raise InvalidValueError(
            f"leave_large_out: it needs a {by} with smaller and larger networks on either side, got "
            f"{largest!r}. Points have {by}s {column.min():g} … {column.max():g}."
        )
    fitted = fit(points.where(small), model)
    rest = points.where(~small)
    return fitted, fitted.predict(rest, extrapolate=True) / rest.error - 1


def simplest(points: Points, models: Sequence[Model] = MODELS) -> Model:
    """The first model that the points can carry: enough places (network, density) and enough different densities.

    Args:
        points: Measured errors.
        models: The candidates, the richest first.

    Returns:
        A model of at most as many constants as the points determine.

    Raises:
        PruneproofError: For fewer than three places.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [
        ...     {"network": "a", "width": 1, "depth": 1, "density": d, "error": e}
        ...     for d, e in ((1, 0.1), (0.5, 0.11), (0.2, 0.15), (0.1, 0.3))
        ... ]
        >>> simplest(points_from_rows(rows)).name
        'limit γ → ∞'
    """
    for model in models:
        if carries(points, model):
            return model
    raise InvalidValueError(f"simplest: it needs at least 3 points, got {points.places!r}. Measure more.")


def _folds(points: Points, generator: np.random.Generator) -> np.ndarray:
    settings = list(zip(points.network.tolist(), points.density.tolist(), strict=True))
    unique = sorted(set(settings))
    order = generator.permutation(len(unique))
    fold = {setting: int(rank) % FOLDS for setting, rank in zip(unique, order, strict=True)}
    return np.array([fold[setting] for setting in settings])
