"""SL2: does one formula describe single networks at every density, and one set of constants a whole family?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.claims.estimates import Comparison, conclude, mean, ratio
from pruneproof.plotting import shades
from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.intervals import profile_intervals
from pruneproof.theory.scaling.models import CONSTANT
from pruneproof.theory.scaling.plots import draw_networks, draw_one_curve, draw_residuals
from pruneproof.theory.scaling.points import Points

from .measure import PathRow, measure_path, points_of, root, seeds_of, squares
from .setting import JUDGED, PUBLICATION, judged_task, network_cells, task_text, tasks
from .smallest import measured_density, predicted_density, targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SINGLE, JOINT, TIMES_BETTER = 0.04, 0.06, 4.0  # the first two are the paper's

STATEMENT = (
    "One formula describes the error of a network at every density, and one set of constants a whole family: "
    "$ε = ε_{np} [(m^2 + p^2 K^2)/(m^2 + p^2)]^{γ/2}$ with $m = l^φ w^ψ d$."
)
SOURCE = f"{PUBLICATION}; theory/theorems/scaling_law/proof.md"
CRITERION = (
    f"Judged {JUDGED}; errors are means over seeds. σ is the root mean square relative deviation, its 95 % interval "
    f"taken over networks: the upper limit lies below {SINGLE:.0%} for fits of single networks and below {JOINT:.0%} "
    f"for the joint fit (both the paper's), and that of joint σ / σ of a constant below 1/{TIMES_BETTER:g} (ours). Not "
    "reproduced if one of the three is refuted after Holm's correction; else inconclusive. Settled after runs with "
    "other seeds (docs/pilots.md)."
)
SAYS_NOT = "That the formula is the only one, or the best: see SL5 and SL8."
SYMBOLS = (
    "$ε$ is the error at density $d$ of a network of depth $l$ and width $w$, and $ε_{np}$ that of the dense network; "
    "$K = (ε_↑/ε_{np})^{1/γ}$ with the error $ε_↑$ that pruning ends at; $p$, $γ$, $ε_↑$, $φ$ and $ψ$ are fitted."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of the images if there are any, and of the teacher task."""
    return [cell for task in tasks(scale) if task != "digits" for cell in network_cells(scale, seeds, task)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Fit each network alone, then all together; a constant and shuffled densities stand beside it."""
    path, judged = read_rows(PathRow, rows), judged_task(rows)
    points = points_of(path, judged)
    singles, law, comparisons = _compared(points)
    others = [task for task in dict.fromkeys(row.task for row in path) if task != judged]
    printed = {f"{task}: {each.name}": each.estimate for task in others for each in _compared(points_of(path, task))[2]}
    table: list[Row] = [{"network": name, "σ": each.spread, **each.parameters} for name, each in singles.items()]
    return conclude(
        comparisons,
        seeds_of(path),
        f"{task_text(rows, judged)}, {len(singles)} perceptrons, {len(points)} points averaged over seeds",
        {
            **{each.name: each.estimate for each in comparisons},
            "μ of the joint fit": law.mean,
            "σ of a constant": root(mean(squares(fit(points, CONSTANT).deviation, points), unit="networks")).value,
            "σ of the law on shuffled densities (control)": fit(_shuffled(points)).spread,
            "single fits with γ at its search limit": sum("gamma" in each.at_bound for each in singles.values()),
            **_parameters(law),
            **printed,
        },
        table,
    )


def _compared(points: Points) -> tuple[dict[str, FittedLaw], FittedLaw, list[Comparison]]:
    """The single fits, the joint fit, and their deviations with intervals over networks."""
    singles = {name: fit(points.where(points.network == name)) for name in points.networks()}
    single = [float(np.mean(each.deviation**2)) for each in singles.values()]
    law, constant = fit(points), fit(points, CONSTANT)
    together, nothing = squares(law.deviation, points), squares(constant.deviation, points)
    share = replace(ratio(together, nothing), unit="networks")
    comparisons = [
        Comparison("σ of single fits", root(mean(single, unit="networks")), below=SINGLE),
        Comparison("σ of the joint fit", root(mean(together, unit="networks")), below=JOINT),
        Comparison("joint σ / σ of a constant", root(share), below=1 / TIMES_BETTER),
    ]
    return singles, law, comparisons


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
    law = fit(points_of(read_rows(PathRow, rows), judged_task(rows)))

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
        _contours(law),
    ]


def _contours(law: FittedLaw) -> Figure:
    """Densities of equal error against depth and width, measured and as the law has them."""
    points = law.points
    shapes = {(float(w), float(d)): name for name in points.networks() for w, d in [_shape(points, name)]}
    widths, depths = (sorted(set(values)) for values in zip(*shapes, strict=True))
    middle_width, middle_depth = widths[len(widths) // 2], depths[len(depths) // 2]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8, 3.2)
        left, right = canvas.subplots(1, 2, sharey=True)
        series = (
            (left, "depth", depths, [shapes[middle_width, depth] for depth in depths], f"width {middle_width:g}"),
            (right, "width", widths, [shapes[width, middle_depth] for width in widths], f"depth {middle_depth:g}"),
        )
        for axes, what, places, names, title in series:
            for target, colour in zip(targets(points), shades(len(targets(points))), strict=True):
                found = np.array([measured_density(points, name, target) for name in names])
                measured = np.where(found > points.density.min(), found, np.nan)
                predicted = [predicted_density(points, name, law, target) for name in names]
                axes.plot(places, measured, "o", color=colour, markersize=4)
                axes.plot(places, predicted, color=colour, linewidth=1.2, label=f"error {target:.2g}")
            axes.set(xscale="log", yscale="log", xlabel=what, title=title)
            axes.set_xticks(places, [f"{place:g}" for place in places], minor=False)
            axes.minorticks_off()
        left.set_ylabel("density")
        left.legend(frameon=False, fontsize=7)

    caption = (
        "Density at which a network has a given error, against depth and against width: dots measured, lines from the "
        "joint fit and each network's dense error. A dot is missing where the dense error is larger already, or where "
        "no density that was run reaches the error."
    )
    return Figure("Contours of equal error", caption, draw)


def _shape(points: Points, name: str) -> tuple[float, float]:
    first = int(np.flatnonzero(points.network == name)[0])
    return points.width[first], points.depth[first]


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
    symbols=SYMBOLS,
)
