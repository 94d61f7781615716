"""SL3: do constants fitted to small networks predict larger ones?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean
from pruneproof.plotting import INK, plain_decades, shades
from pruneproof.theory.scaling.comparison import leave_large_out
from pruneproof.theory.scaling.models import LAW

from .measure import PathRow, measure_path, points_by_seed, points_of, seeds_of
from .setting import JUDGED, LARGEST_FITTED, PUBLICATION, judged_task, network_cells, task_text, tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

EXTRAPOLATION = 0.10

STATEMENT = "Constants fitted to small networks predict larger ones."
SOURCE = PUBLICATION
CRITERION = (
    f"Judged {JUDGED}; fitted seed by seed to widths ≤ {LARGEST_FITTED}, all wider networks predicted from their dense "
    "errors alone: the 95 % interval of the mean over seeds of the root mean square relative deviation lies below "
    f"{EXTRAPOLATION:.0%} (ours). Not reproduced if it lies above; else inconclusive. The other tasks are printed. "
    "Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = "That any task extrapolates: the digits are a counterexample."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of every task."""
    return [cell for task in tasks(scale) for cell in network_cells(scale, seeds, task)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Fit the narrow networks, predict the wide ones from their dense error alone."""
    path, judged = read_rows(PathRow, rows), judged_task(rows)
    deviations = {task: _deviation(path, task) for task in _tasks_of(path)}
    predicted = Comparison("deviation of the predicted wider networks", deviations[judged], below=EXTRAPOLATION)
    others = {f"{task}: {predicted.name}": value for task, value in deviations.items() if task != judged}
    scope = f"{task_text(rows, judged)}; fitted to widths ≤ {LARGEST_FITTED}, root mean square relative deviation of "
    scope += "all wider networks"
    return conclude([predicted], seeds_of(path), scope, {predicted.name: predicted.estimate, **others})


def _tasks_of(rows: Sequence[PathRow]) -> list[str]:
    return list(dict.fromkeys(row.task for row in rows))


def _deviation(rows: Sequence[PathRow], task: str) -> Estimate:
    """Root mean square relative deviation of the predicted networks, over seeds."""
    fits = [leave_large_out(points, LARGEST_FITTED, LAW)[1] for points in points_by_seed(rows, task).values()]
    return mean([float(np.sqrt(np.mean(deviation**2))) for deviation in fits])


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Predicted against measured errors of the wider networks, task by task."""
    path = read_rows(PathRow, rows)
    points = {task: points_of(path, task) for task in _tasks_of(path)}
    wider = {task: each.where(each.width > LARGEST_FITTED) for task, each in points.items()}
    deviation = {task: leave_large_out(each, LARGEST_FITTED, LAW)[1] for task, each in points.items()}

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(4 * len(points), 3.2)
        for axes, (task, shown) in zip(canvas.subplots(1, len(points), squeeze=False)[0], wider.items(), strict=True):
            predicted = (1 + deviation[task]) * shown.error
            names = shown.networks()
            for name, colour in zip(names, shades(len(names)), strict=True):
                mine = shown.network == name
                axes.plot(shown.error[mine], predicted[mine], "o", color=colour, markersize=3, label=name)
            ends = [shown.error.min(), shown.error.max()]
            axes.plot(ends, ends, color=INK, linewidth=0.8)
            for off in (1 - EXTRAPOLATION, 1 + EXTRAPOLATION):
                axes.plot(ends, [off * end for end in ends], color=INK, linewidth=0.5, linestyle="--")
            axes.set(xscale="log", yscale="log", xlabel="measured error", ylabel="predicted error", title=task)
            plain_decades(axes.xaxis)
            plain_decades(axes.yaxis)
            axes.legend(frameon=False, fontsize=7)

    caption = (
        f"Networks wider than {LARGEST_FITTED}, predicted by a fit to the others, means over seeds. On the line the "
        f"prediction is exact, dashed it is {EXTRAPOLATION:.0%} off."
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
