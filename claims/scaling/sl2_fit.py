"""SL2: does one formula describe single networks at every density, and one set of constants a whole family?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.intervals import profile_intervals
from pruneproof.theory.scaling.models import CONSTANT
from pruneproof.theory.scaling.plots import draw_networks, draw_one_curve, draw_residuals
from pruneproof.theory.scaling.points import Points

from .measure import PathRow, measure_path, points_of, seeds_of
from .setting import PUBLICATION, network_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SINGLE, JOINT, TIMES_BETTER = 0.04, 0.07, 4.0

STATEMENT = (
    "One formula describes the error of a network at every density, and one set of constants a whole family: "
    "$ε = ε_{np} [(m^2 + p^2 K^2)/(m^2 + p^2)]^{γ/2}$ with $m = l^φ w^ψ d$."
)
SOURCE = f"{PUBLICATION}; theory/theorems/scaling_law/proof.md"
CRITERION = (
    f"Teacher grid: σ of the relative deviation ≤ {SINGLE:.0%} for single networks, ≤ {JOINT:.0%} jointly, and the "
    f"joint σ ≥ {TIMES_BETTER:g} times smaller than that of a constant."
)
SAYS_NOT = "That the formula is the only one, or the best: see SL5."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of the teacher task."""
    return network_cells(scale, seeds, "teacher")


def judge(rows: Sequence[Row]) -> Outcome:
    """Fit each network alone, then all together; a constant and shuffled densities stand beside it."""
    path = read_rows(PathRow, rows)
    points = points_of(path, "teacher")
    singles = {name: fit(points.where(points.network == name)) for name in points.networks()}
    single = np.concatenate([each.deviation for each in singles.values()])
    law, constant, shuffled = fit(points), fit(points, CONSTANT), fit(_shuffled(points))
    better = constant.spread / law.spread
    passed = float(single.std()) <= SINGLE and law.spread <= JOINT and better >= TIMES_BETTER
    table: list[Row] = [{"network": name, "σ": each.spread, **each.parameters} for name, each in singles.items()]
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
        seeds=seeds_of(path),
        scope=f"teacher task, {len(singles)} perceptrons, {len(points)} points averaged over seeds",
        table=table,
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


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The joint fit seen three ways."""
    law = fit(points_of(read_rows(PathRow, rows), "teacher"))

    def networks(canvas: "Canvas") -> None:
        draw_networks(canvas.subplots(), law)

    def one_curve(canvas: "Canvas") -> None:
        canvas.set_size_inches(8, 3.2)
        left, right = canvas.subplots(1, 2)
        draw_one_curve(left, law)
        draw_residuals(right, law)

    return [
        Figure(
            "Error against density",
            "Each colour is a network (width × depth), each point a mean over seeds; the lines are one joint fit.",
            networks,
        ),
        Figure(
            "All networks on one curve",
            "Left: the share of the logarithmic rise that is made, against the invariant. Right: what the fit leaves.",
            one_curve,
        ),
    ]


SL2 = Claim(
    "SL2",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_path,
    paper="scaling",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
