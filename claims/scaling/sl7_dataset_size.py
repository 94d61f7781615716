"""SL7: does the size of the training set enter the law through the error of the dense network alone?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.claims.estimates import Comparison, conclude, mean
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.plots import draw_networks

from .measure import PathRow, measure_path, points_of, root, seeds_of, squares
from .setting import JUDGED, PUBLICATION, judged_task, sized_cells, task_text, tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

JOINT = 0.06  # the paper's

STATEMENT = (
    "The size of the training set enters the law through the error of the dense network alone: one set of constants "
    "describes networks that were trained on all examples and on parts of them."
)
SOURCE = PUBLICATION
CRITERION = (
    f"Judged {JUDGED}; four networks on N, N/8 and N/64 examples (N and N/4 at quick), about equally many steps, one "
    "joint fit without the number of examples, errors averaged over seeds: the root mean square relative deviation has "
    f"its 95 % interval, over pairs of network and size, below {JOINT:.0%} (the paper's joint σ). Not reproduced if it "
    "lies above; else inconclusive."
)
SAYS_NOT = "How the error of the dense network depends on the number of examples: it is measured, not predicted."
SYMBOLS = "N is the number of all training examples."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Four networks of the judged task, each on several numbers of examples."""
    return sized_cells(scale, seeds, tasks(scale)[0])


def judge(rows: Sequence[Row]) -> Outcome:
    """One joint fit to all sizes, and what a fit to the whole set leaves on the others."""
    path, judged = read_rows(PathRow, rows), judged_task(rows)
    points = points_of(path, judged)
    law = fit(points)
    together = Comparison(
        "σ of the joint fit", root(mean(squares(law.deviation, points), unit="networks")), below=JOINT
    )
    sizes = sorted({row.examples for row in path}, reverse=True)
    whole = fit(points_of([row for row in path if row.examples == sizes[0]], judged))
    left: dict[str, float] = {}
    for size in sizes[1:]:
        part = points_of([row for row in path if row.examples == size], judged)
        deviation = whole.predict(part, extrapolate=True) / part.error - 1
        left[f"fitted to {sizes[0]} examples, deviation at {size}"] = float(np.sqrt(np.mean(deviation**2)))
    numbers = " and ".join(map(str, sizes))
    scope = f"{task_text(rows, judged)}, {numbers} examples, four perceptrons, means over seeds"
    return conclude([together], seeds_of(path), scope, {together.name: together.estimate, **left})


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Errors against density for every size, with the one joint fit."""
    path, judged = read_rows(PathRow, rows), judged_task(rows)
    points = points_of(path, judged)
    law = fit(points)
    sizes = sorted({row.examples for row in path}, reverse=True)

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(3 * len(sizes), 3)
        for axes, size in zip(canvas.subplots(1, len(sizes), squeeze=False, sharey=True)[0], sizes, strict=True):
            mine = np.array([name.endswith(f"/{size}") for name in points.network])
            draw_networks(axes, law, points.where(mine))
            axes.set_title(f"{size} examples", fontsize=10)

    caption = (
        "Points are means over seeds, lines one joint fit that knows the number of examples only through the error of "
        "the dense network."
    )
    return [Figure("Training sets of several sizes", caption, draw)]


SL7 = Claim(
    "SL7",
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
