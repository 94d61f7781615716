"""SL5: does the published formula describe the errors better than simpler curves?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.claims.estimates import conclude
from pruneproof.plotting import BLUE, ORANGE
from pruneproof.theory.scaling.comparison import compare
from pruneproof.theory.scaling.models import CLIPPED, CONSTANT, STEEP_LIMIT

from .curves import better_than
from .measure import PathRow, measure_path, points_of, seeds_of
from .setting import JUDGED, judged_task, network_cells, task_text, tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SIMPLER = (STEEP_LIMIT, CLIPPED, CONSTANT)

STATEMENT = (
    "The published formula describes the errors better than simpler curves: its limit γ → ∞, a clipped power law, a "
    "constant."
)
SOURCE = "derived here: theory/theorems/scaling_law/proof.md; the paper compares its form with no other"
CRITERION = (
    f"Judged {JUDGED}; joint fits seed by seed: for each of the three curves the 95 % interval of the mean over seeds "
    "of AICc(law) − AICc(curve) lies below 0. Not reproduced if one lies above after Holm's correction; else "
    "inconclusive. Log-Hill, which has as many constants as the law, is another claim, SL8. Settled after runs with "
    "other seeds (docs/pilots.md)."
)
SAYS_NOT = "That the law is the best curve: see SL8."
SYMBOLS = (
    "γ is the exponent of the law (SL2), and AICc Akaike's information criterion with its correction for few points: "
    "lower is better."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of every task."""
    return [cell for task in tasks(scale) for cell in network_cells(scale, seeds, task)]


def judge(rows: Sequence[Row]) -> Outcome:
    """The AICc of the law less those of the simpler curves, on every task."""
    path, judged = read_rows(PathRow, rows), judged_task(rows)
    compared = {task: better_than(path, task, SIMPLER) for task in dict.fromkeys(row.task for row in path)}
    measured = {f"{task}: {each.name}": each.estimate for task, found in compared.items() for each in found}
    scope = f"{task_text(rows, judged)}; joint fits with exponents of depth and width"
    return conclude(compared[judged], seeds_of(path), scope, dict(measured))


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Deviation of every curve, fitted and held out, on the task that is judged."""
    judged = judged_task(rows)
    curves = compare(points_of(read_rows(PathRow, rows), judged), generator=np.random.default_rng(0))

    def draw(canvas: "Canvas") -> None:
        axes = canvas.subplots()
        order = sorted(curves, key=lambda curve: -curve.held_out)
        position = np.arange(len(order))
        axes.barh(position + 0.2, [curve.fitted.spread for curve in order], 0.38, color=BLUE, label="fitted")
        axes.barh(position - 0.2, [curve.held_out for curve in order], 0.38, color=ORANGE, label="held out")
        axes.set_yticks(position, [curve.name for curve in order])
        axes.set(xlabel="relative deviation")
        axes.grid(visible=False, axis="y")
        axes.legend(frameon=False, fontsize=7)

    caption = (
        f"{task_text(rows, judged)}, errors averaged over seeds: standard deviation of the joint fit and root mean "
        "square deviation on held-out points (five folds); the best curve is on top."
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
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
