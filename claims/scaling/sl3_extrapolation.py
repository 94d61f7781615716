"""SL3: do constants fitted to small networks predict larger ones?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.plotting import INK, plain_decades, shades
from pruneproof.theory.scaling.comparison import leave_large_out
from pruneproof.theory.scaling.models import LAW

from .measure import PathRow, measure_path, points_of, seeds_of
from .setting import LARGEST_FITTED, PUBLICATION, TASKS, network_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

EXTRAPOLATION = 0.10

STATEMENT = "Constants fitted to small networks predict larger ones."
SOURCE = PUBLICATION
CRITERION = (
    f"Teacher grid, fitted to width ≤ {LARGEST_FITTED}: root mean square relative deviation of all wider networks ≤ "
    f"{EXTRAPOLATION:.0%}; digits are printed beside it."
)
SAYS_NOT = "That any task extrapolates: digits are the counterexample."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of both tasks."""
    return [cell for task in TASKS for cell in network_cells(scale, seeds, task)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Fit the narrow networks, predict the wide ones from their dense error alone."""
    path = read_rows(PathRow, rows)
    fitted = {task: leave_large_out(points_of(path, task), LARGEST_FITTED, LAW) for task in TASKS}
    spread = {task: float(np.sqrt(np.mean(deviation**2))) for task, (_, deviation) in fitted.items()}
    return Outcome(
        verdict=Verdict.HOLDS if spread["teacher"] <= EXTRAPOLATION else Verdict.NOT_REPRODUCED,
        measured={
            **{f"{task}: σ of the predicted wider networks": value for task, value in spread.items()},
            **{f"{task}: σ of the fit to widths ≤ {LARGEST_FITTED}": law.spread for task, (law, _) in fitted.items()},
            "digits within the same bar": "yes"
            if spread["digits"] <= EXTRAPOLATION
            else "no: the law does not extrapolate",
        },
        seeds=seeds_of(path),
        scope=f"fitted to widths ≤ {LARGEST_FITTED}, all wider networks predicted from their dense error alone; "
        "root mean square relative deviation; teacher judged, digits printed",
    )


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Predicted against measured errors of the wider networks, both tasks."""
    path = read_rows(PathRow, rows)
    wider = {task: (points := points_of(path, task)).where(points.width > LARGEST_FITTED) for task in TASKS}
    deviation = {task: leave_large_out(points_of(path, task), LARGEST_FITTED, LAW)[1] for task in TASKS}

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8, 3.2)
        for axes, task in zip(canvas.subplots(1, 2), TASKS, strict=True):
            points, predicted = wider[task], (1 + deviation[task]) * wider[task].error
            names = points.networks()
            for name, colour in zip(names, shades(len(names)), strict=True):
                mine = points.network == name
                axes.plot(points.error[mine], predicted[mine], "o", color=colour, markersize=3, label=name)
            ends = [points.error.min(), points.error.max()]
            axes.plot(ends, ends, color=INK, linewidth=0.8)
            axes.set(xscale="log", yscale="log", xlabel="measured error", ylabel="predicted error", title=task)
            plain_decades(axes.xaxis)
            plain_decades(axes.yaxis)
            axes.legend(frameon=False, fontsize=7)

    caption = (
        f"Networks wider than {LARGEST_FITTED}, predicted by a fit to the others. On the line the prediction is exact."
    )
    return [Figure("Extrapolation to wider networks", caption, draw)]


SL3 = Claim(
    "SL3",
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
