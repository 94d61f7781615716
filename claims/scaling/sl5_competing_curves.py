"""SL5: does the published formula describe the errors better than simpler or freer curves?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.plotting import BLUE, ORANGE
from pruneproof.theory.scaling.comparison import Comparison, compare
from pruneproof.theory.scaling.models import LAW

from .measure import PathRow, measure_path, points_of, seeds_of
from .setting import PUBLICATION, TASKS, network_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "The published formula describes the errors better than simpler or freer curves."
SOURCE = f"{PUBLICATION} (the form); the comparison is ours, theory/theorems/scaling_law/proof.md"
CRITERION = (
    "Teacher grid: the law has the lowest AICc and the lowest deviation on held-out points among the limit γ → ∞, "
    "log-Hill with a free exponent, clipped power law and constant; digits are printed beside it."
)
SAYS_NOT = "That the law is wrong if another curve wins: the differences can be small, and the table shows them."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of both tasks."""
    return [cell for task in TASKS for cell in network_cells(scale, seeds, task)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Rank the curves on each task by AICc and by held-out error."""
    path = read_rows(PathRow, rows)
    ranked = _ranked(path)
    winners = {task: _winners(curves) for task, curves in ranked.items()}
    table: list[Row] = [
        {
            "task": task,
            "curve": curve.name,
            "σ": curve.fitted.spread,
            "held-out deviation": curve.held_out,
            "AICc": curve.fitted.criterion,
        }
        for task in TASKS
        for curve in ranked[task]
    ]
    return Outcome(
        verdict=Verdict.HOLDS if winners["teacher"] == (LAW.name, LAW.name) else Verdict.NOT_REPRODUCED,
        measured={
            **{f"{task}: best by AICc": winner[0] for task, winner in winners.items()},
            **{f"{task}: best on held-out points": winner[1] for task, winner in winners.items()},
            **{f"{task}: σ of {curve.name}": curve.fitted.spread for task in TASKS for curve in ranked[task]},
        },
        seeds=seeds_of(path),
        scope="joint fits with exponents of depth and width; five folds of points, the same for all curves",
        table=table,
    )


def _ranked(rows: Sequence[PathRow]) -> dict[str, list[Comparison]]:
    """Task → curves, best by AICc first."""
    return {task: compare(points_of(rows, task), generator=np.random.default_rng(0)) for task in TASKS}


def _winners(ranked: list[Comparison]) -> tuple[str, str]:
    return ranked[0].name, min(ranked, key=lambda curve: curve.held_out).name


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Deviation of every curve, fitted and held out."""
    ranked = _ranked(read_rows(PathRow, rows))

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8, 2.6)
        for axes, (task, curves) in zip(canvas.subplots(1, 2), ranked.items(), strict=True):
            order = sorted(curves, key=lambda curve: -curve.held_out)
            position = np.arange(len(order))
            axes.barh(position + 0.2, [curve.fitted.spread for curve in order], 0.38, color=BLUE, label="fitted")
            axes.barh(position - 0.2, [curve.held_out for curve in order], 0.38, color=ORANGE, label="held out")
            axes.set_yticks(position, [curve.name for curve in order])
            axes.set(xlabel="relative deviation", title=task)
            axes.grid(visible=False, axis="y")
            axes.legend(frameon=False, fontsize=7)

    caption = (
        "Standard deviation of the fit and root mean square deviation on held-out points; the best curve is on top."
    )
    return [Figure("Which curve?", caption, draw)]


SL5 = Claim(
    "SL5",
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
