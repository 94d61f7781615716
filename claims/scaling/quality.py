"""SL2 and SL3: how well the law fits single networks, a family, and networks larger than those it was fitted to."""

import numpy as np

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.theory.scaling.comparison import leave_large_out
from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.intervals import profile_intervals
from pruneproof.theory.scaling.models import CONSTANT, LAW
from pruneproof.theory.scaling.points import Points

from .figures import extrapolation_figures, fit_figures
from .path import measure_path
from .points import seeds_of, task_points
from .settings import LARGEST_FITTED, network_cells

SINGLE, JOINT, TIMES_BETTER = 0.04, 0.07, 4.0
EXTRAPOLATION = 0.10


def _fit_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return network_cells(scale, seeds, "teacher")


def _judge_fit(rows: list[Row]) -> Outcome:
    points = task_points(rows, "teacher")
    singles = {name: fit(points.where(points.network == name)) for name in points.networks()}
    single = np.concatenate([each.deviation for each in singles.values()])
    law, constant, shuffled = fit(points), fit(points, CONSTANT), fit(_shuffled(points))
    better = constant.spread / law.spread
    passed = float(single.std()) <= SINGLE and law.spread <= JOINT and better >= TIMES_BETTER
    return Outcome(
        verdict=Verdict.HOLDS if passed else Verdict.NOT_REPRODUCED,
        measured={
            "σ of single fits": float(single.std()),
            "σ of the joint fit": law.spread,
            "μ of the joint fit": law.mean,
            "constant σ / joint σ": better,
            "σ of a constant": constant.spread,
            "σ of the law on shuffled densities (control)": shuffled.spread,
            **_parameters(law),
        },
        seeds=seeds_of(rows),
        scope=f"teacher task, {len(singles)} perceptrons, {len(points)} points averaged over seeds",
        table=[_row(name, each) for name, each in singles.items()],
    )


def _shuffled(points: Points) -> Points:
    return points.replaced(density=np.random.default_rng(0).permutation(points.density))


def _parameters(law: FittedLaw) -> dict[str, object]:
    """Fitted constants with profile intervals; an open interval is said in words."""
    intervals = profile_intervals(law)
    return {
        f"fitted {name}": [value, intervals[name].low, intervals[name].high]
        if intervals[name].identified
        else f"{value:.4g}, {intervals[name]}"
        for name, value in law.parameters.items()
    }


def _row(name: str, fitted: FittedLaw) -> Row:
    return {"network": name, "σ": fitted.spread, **fitted.parameters}


def _extrapolation_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return network_cells(scale, seeds, "teacher") + network_cells(scale, seeds, "digits")


def _judge_extrapolation(rows: list[Row]) -> Outcome:
    found = {task: leave_large_out(task_points(rows, task), LARGEST_FITTED, LAW) for task in ("teacher", "digits")}
    spread = {task: float(np.sqrt(np.mean(deviation**2))) for task, (_, deviation) in found.items()}
    return Outcome(
        verdict=Verdict.HOLDS if spread["teacher"] <= EXTRAPOLATION else Verdict.NOT_REPRODUCED,
        measured={
            **{f"{task}: σ of the predicted wider networks": value for task, value in spread.items()},
            **{
                f"{task}: σ of the fit to widths ≤ {LARGEST_FITTED}": fitted.spread
                for task, (fitted, _) in found.items()
            },
            "digits within the same bar": "yes"
            if spread["digits"] <= EXTRAPOLATION
            else "no: the law does not extrapolate",
        },
        seeds=seeds_of(rows),
        scope=f"fitted to widths ≤ {LARGEST_FITTED}, all wider networks predicted from their dense error alone; "
        "root mean square relative deviation; teacher judged, digits printed",
    )


FIT = Claim(
    "SL2",
    "One formula describes the error of a network at every density, and one set of constants a whole family: "
    "$ε = ε_{np} [(m^2 + p^2 K^2)/(m^2 + p^2)]^{γ/2}$ with $m = l^φ w^ψ d$.",
    "Rosenfeld et al., ICML 2021; theory/theorems/scaling_law/proof.md",
    f"Teacher grid: σ of the relative deviation ≤ {SINGLE:.0%} for single networks, ≤ {JOINT:.0%} jointly, and the "
    f"joint σ ≥ {TIMES_BETTER:g} times smaller than that of a constant.",
    measure_path,
    paper="scaling",
    grid=_fit_grid,
    judge=_judge_fit,
    figures=fit_figures,
    says_not="That the formula is the only one, or the best: see SL5.",
)

EXTRAPOLATE = Claim(
    "SL3",
    "Constants fitted to small networks predict larger ones.",
    "Rosenfeld et al., ICML 2021",
    f"Teacher grid, fitted to width ≤ {LARGEST_FITTED}: root mean square relative deviation of all wider networks ≤ "
    f"{EXTRAPOLATION:.0%}; digits are printed beside it.",
    measure_path,
    paper="scaling",
    grid=_extrapolation_grid,
    judge=_judge_extrapolation,
    figures=extrapolation_figures,
    says_not="That any task extrapolates: digits are the counterexample.",
)
