"""The smallest pruned network that meets a target error: a larger dense one, pruned until its error has risen to it.

For each network with a measured dense error ε_np the law is solved for the density
(derivation in theory/theorems/scaling_law/proof.md):
m* = p √((K² − r)/(r − 1)), K = (ε↑/ε_np)^{1/γ}, r = (ε_k/ε_np)^{2/γ}; the size is l w² d in the units of the points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from pruneproof.checks import require_fraction
from pruneproof.errors import InvalidValueError

from .fitting import FittedLaw, relative_to
from .intervals import Resample, bootstrap
from .models import LAW
from .points import Points

OVERFLOW = 700.0  # exp of more is beyond double precision
Feasibility = Literal["feasible", "dense only", "every density", "dense error above the target"]


@dataclass(frozen=True)
class Candidate:
    """One network at the density that just meets the target.

    Args:
        network: Its name.
        dense_error: Its measured ε_np.
        density: The density at which the law reaches the target; 1 for "dense only"; NaN for the
            last two.
        interval: 95 % bootstrap interval of that density; NaN where there is none.
        size: L w² d, in the units of the points; NaN without a density.
        feasibility: "dense only" if the dense error meets the target, but the law lies above it
            already at density 1; "every density" if the target is at or above ε↑.
        extrapolated: Whether the answer lies below every density measured on this network.
    """

    network: str
    dense_error: float
    density: float
    interval: tuple[float, float]
    size: float
    feasibility: Feasibility
    extrapolated: bool


def smallest_invariant(target: float, dense_error: float, parameters: Mapping[str, float]) -> float:
    """m* in closed form; 0 if every density meets the target, infinite if none does.

    Args:
        target: Allowed error ε_k in (0, 1).
        dense_error: ε_np of the dense network.
        parameters: The law's `p`, `gamma` and `upper_error`.

    Returns:
        m* ≥ 0.

    Raises:
        PruneproofError: For a target outside (0, 1).

    Example:
        >>> law = {"p": 0.1, "gamma": 1.0, "upper_error": 0.8}
        >>> round(smallest_invariant(0.1, 0.05, law), 6), smallest_invariant(0.05, 0.05, law)
        (0.916515, inf)
    """
    require_fraction("smallest_invariant", "the target error", target)
    if target <= dense_error:
        return float("inf")
    if target >= parameters["upper_error"]:
        return 0.0
    # K² − 1 and r − 1 by expm1: both vanish as γ grows, and their ratio must not
    wide = 2 / parameters["gamma"] * np.log(parameters["upper_error"] / dense_error)
    near = 2 / parameters["gamma"] * np.log(target / dense_error)
    if wide > OVERFLOW:  # √((e^w − e^n)/(e^n − 1)) with e^w taken out
        ratio = (wide - near + np.log(-np.expm1(near - wide)) - np.log(-np.expm1(-near))) / 2
        return float(parameters["p"] * np.exp(ratio))
    wide, near = np.expm1(wide), np.expm1(near)
    return float(parameters["p"] * np.sqrt((wide - near) / near))


def recommend(
    fitted: FittedLaw, target: float, *, generator: np.random.Generator, repeats: int = 200
) -> list[Candidate]:
    """Every measured network at the density that just meets the target, those with a density first, smallest first.

    Args:
        fitted: The scaling law fitted to the points (no other model).
        target: Allowed error in (0, 1).
        generator: Drives the bootstrap of the density.
        repeats: Bootstrap resamples.

    Returns:
        One candidate per network.

    Raises:
        PruneproofError: If another model was fitted, for a target outside (0, 1), or if the fitted
            ε↑ is not above every dense error: by such a law pruning would improve a network.

    Example:
        >>> from pruneproof.theory.scaling.fitting import fit
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [
        ...     {"network": "a", "width": 1, "depth": 1, "density": d, "dense_error": 0.05,
        ...      "error": 0.05 * ((d**2 + 0.01 * 16) / (d**2 + 0.01)) ** 0.5}
        ...     for d in np.geomspace(1, 0.005, 20)
        ... ]
        >>> best = recommend(fit(points_from_rows(rows)), 0.1, generator=np.random.default_rng(0), repeats=5)[0]
        >>> best.feasibility, round(best.density, 4)
        ('feasible', 0.2)
    """
    if fitted.model.name != LAW.name:
        raise InvalidValueError(
            f"recommend: it needs a fitted scaling law, got {fitted.model.name!r}. Fit the scaling "
            "law; it needs more points."
        )
    upper, worst = fitted.parameters["upper_error"], float(fitted.points.dense_error.max())
    if upper <= worst:
        raise InvalidValueError(
            f"recommend: it needs a fitted ε↑ above every dense error, got ε↑ = {upper:.4g}, dense "
            f"errors up to {worst:.4g}. Measure lower densities, or drop the networks that pruning "
            "does not harm."
        )
    samples = bootstrap(fitted, repeats, generator=generator)
    found = [_candidate(fitted, fitted.points.network == name, target, samples) for name in fitted.points.networks()]
    return sorted(found, key=_rank)


def _rank(candidate: Candidate) -> tuple[bool, float]:
    return np.isnan(candidate.size), candidate.size


def _candidate(fitted: FittedLaw, mine: NDArray[np.bool_], target: float, samples: list[Resample]) -> Candidate:
    points = fitted.points.where(mine)
    dense_error = float(points.dense_error[0])
    solved = _density(fitted, points, target, dense_error, fitted.parameters)
    feasibility = _feasibility(solved)
    usable = feasibility in ("feasible", "dense only")
    density = min(solved, 1.0) if usable else float("nan")
    spread = [_density(fitted, points, target, float(each.dense_error[mine][0]), each.parameters) for each in samples]
    ends = np.quantile(np.clip(spread, 0, 1), _levels(fitted)) if usable else (np.nan, np.nan)
    return Candidate(
        network=str(points.network[0]),
        dense_error=dense_error,
        density=density,
        interval=(float(ends[0]), float(ends[1])),
        size=float(points.depth[0] * points.width[0] ** 2 * density),
        feasibility=feasibility,
        extrapolated=feasibility == "every density" or (usable and density < float(points.density.min())),
    )


def _levels(fitted: FittedLaw) -> tuple[float, float]:
    """Quantiles of a 95 % interval, as far out as Student's t with n − k degrees of freedom (Hesterberg 2015)."""
    outside = norm.cdf(student.ppf(0.025, len(fitted.points) - len(fitted.model.parameters)))
    return float(outside), float(1 - outside)


def _density(
    fitted: FittedLaw, points: Points, target: float, dense_error: float, parameters: Mapping[str, float]
) -> float:
    scaled = relative_to(points, fitted.reference)
    scale = scaled.depth[0] ** parameters.get("phi", 0.0) * scaled.width[0] ** parameters.get("psi", 0.0)
    return smallest_invariant(target, dense_error, parameters) / float(scale)


def _feasibility(density: float) -> Feasibility:
    if density == float("inf"):
        return "dense error above the target"
    if density > 1:
        return "dense only"
    return "feasible" if density > 0 else "every density"
