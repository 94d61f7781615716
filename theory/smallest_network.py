"""The smallest pruned network that meets a target error: a larger dense one, pruned until its error has risen to it.

For each network with a measured dense error ε_np the law is solved for the density (derivation in scaling_law.md):
m* = p √((K² − r)/(r − 1)), K = (ε↑/ε_np)^{1/γ}, r = (ε_k/ε_np)^{2/γ}; the size is l w² d in the units of the points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import PruneproofError
from .scaling_fit import FittedLaw, relative_to
from .scaling_intervals import bootstrap
from .scaling_models import LAW
from .scaling_points import Points

Feasibility = Literal["feasible", "dense error above the target", "too small even when dense", "any density will do"]


@dataclass(frozen=True)
class Candidate:
    """One network at the density that just meets the target.

    Arguments:
        network: its name.
        dense_error: its measured ε_np.
        density: the density at which the law reaches the target; NaN if infeasible.
        interval: 95 % bootstrap interval of that density.
        size: l w² d, in the units of the points; NaN if infeasible.
        feasibility: whether the target can be met, or why not.
        extrapolated: whether the density lies below everything measured on this network.
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

    Arguments:
        target: allowed error ε_k in (0, 1).
        dense_error: ε_np of the dense network.
        parameters: p, gamma, upper_error.

    Raises:
        PruneproofError: for a target outside (0, 1).

    Example:
        >>> law = {"p": 0.1, "gamma": 1.0, "upper_error": 0.8}
        >>> round(smallest_invariant(0.1, 0.05, law), 6), smallest_invariant(0.05, 0.05, law)
        (0.916515, inf)
    """
    if not 0 < target < 1:
        remedy = "give the share of examples, e.g. 0.05"
        raise PruneproofError("smallest_invariant", required="a target error in (0, 1)", received=target, remedy=remedy)
    if target <= dense_error:
        return float("inf")
    if target >= parameters["upper_error"]:
        return 0.0
    # K² − 1 and r − 1 by expm1: both vanish as γ grows, and their ratio must not
    wide = np.expm1(2 / parameters["gamma"] * np.log(parameters["upper_error"] / dense_error))
    near = np.expm1(2 / parameters["gamma"] * np.log(target / dense_error))
    return float(parameters["p"] * np.sqrt((wide - near) / near))


def recommend(
    fitted: FittedLaw, target: float, generator: np.random.Generator, *, repeats: int = 100
) -> list[Candidate]:
    """Every measured network at the density that just meets the target, smallest feasible first.

    Arguments:
        fitted: the scaling law fitted to the points (no other model).
        target: allowed error in (0, 1).
        generator: drives the bootstrap of the density.
        repeats: bootstrap resamples.

    Raises:
        PruneproofError: if another model was fitted, or for a target outside (0, 1).

    Example:
        >>> from pruneproof.theory.scaling_fit import fit
        >>> from pruneproof.theory.scaling_points import points_from_rows
        >>> rows = [
        ...     {"network": "a", "width": 1, "depth": 1, "density": d, "dense_error": 0.05,
        ...      "error": 0.05 * ((d**2 + 0.01 * 16) / (d**2 + 0.01)) ** 0.5}
        ...     for d in np.geomspace(1, 0.005, 20)
        ... ]
        >>> best = recommend(fit(points_from_rows(rows)), 0.1, np.random.default_rng(0), repeats=5)[0]
        >>> best.feasibility, round(best.density, 4)
        ('feasible', 0.2)
    """
    if fitted.model.name != LAW.name:
        remedy = "fit the scaling law; it needs more points"
        raise PruneproofError("recommend", required="a fitted scaling law", received=fitted.model.name, remedy=remedy)
    samples = bootstrap(fitted, repeats, generator)
    found = [
        _candidate(fitted, fitted.points.where(fitted.points.network == name), target, samples)
        for name in fitted.points.networks()
    ]
    return sorted(found, key=lambda each: (each.feasibility != "feasible", each.size))


def _candidate(fitted: FittedLaw, points: Points, target: float, samples: list[dict[str, float]]) -> Candidate:
    density = _density(fitted, points, target, fitted.parameters)
    spread = np.clip([_density(fitted, points, target, sample) for sample in samples], 0, 1)
    feasibility = _feasibility(density)
    usable = feasibility == "feasible"
    return Candidate(
        network=str(points.network[0]),
        dense_error=float(points.dense_error[0]),
        density=density if usable else float("nan"),
        interval=(float(np.quantile(spread, 0.025)), float(np.quantile(spread, 0.975))),
        size=float(points.depth[0] * points.width[0] ** 2 * density) if usable else float("nan"),
        feasibility=feasibility,
        extrapolated=usable and density < float(points.density.min()),
    )


def _density(fitted: FittedLaw, points: Points, target: float, parameters: Mapping[str, float]) -> float:
    scaled = relative_to(points, fitted.reference)
    scale = scaled.depth[0] ** parameters.get("phi", 0.0) * scaled.width[0] ** parameters.get("psi", 0.0)
    return smallest_invariant(target, float(points.dense_error[0]), parameters) / float(scale)


def _feasibility(density: float) -> Feasibility:
    if density == float("inf"):
        return "dense error above the target"
    if density > 1:
        return "too small even when dense"
    return "feasible" if density > 0 else "any density will do"
