"""LN4: does the best pruned network have better conditional probabilities than the dense one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Estimate
from pruneproof.plotting import BLUE, ORANGE, plain_decades

from .measure import PruningPath, measure_path, path_of, pruned_over_dense
from .plots import draw_curve, label_axes, ring
from .setting import ARORA, MIXTURES, REFERENCE_WIDTH, mixture_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

DIVERGENCE_SHARE = 0.25

STATEMENT = (
    "The best pruned network has better conditional probabilities than the dense one: closer to the true posterior of "
    "the noisy label."
)
SOURCE = f"{ARORA}; scores in theory/statistics/calibration.md"
CRITERION = (
    f"Linear and XOR mixtures: mean divergence KL(p*‖p̂) of the pruned network ≤ {DIVERGENCE_SHARE:g} of the dense "
    "one's, and mean abs(p̂ − p*) lower."
)
SAYS_NOT = "That pruning calibrates in general: both networks are held against what they were trained on."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on each mixture."""
    return [mixture_cell(scale, seeds, task, REFERENCE_WIDTH) for task in MIXTURES]


def judge(rows: Sequence[Row]) -> Outcome:
    """Divergence and distance from the true posterior, pruned over dense."""
    paths = {task: path_of(rows, task=task, hidden=[REFERENCE_WIDTH]) for task in MIXTURES}
    measured: dict[str, Estimate] = {}
    passed = True
    for task, path in paths.items():
        divergence, distance = pruned_over_dense(path, "divergence"), pruned_over_dense(path, "posterior_distance")
        measured[f"{task}: divergence, pruned / dense"] = divergence
        measured[f"{task}: mean abs(p̂ − p*), pruned / dense"] = distance
        passed &= divergence.value <= DIVERGENCE_SHARE and distance.value < 1
    return Outcome(
        verdict=Verdict.HOLDS if passed else Verdict.NOT_REPRODUCED,
        measured=dict(measured),
        seeds=paths["linear"].seeds,
        scope=f"mixtures with D = {rows[0]['features']}, posterior of the noisy label, hidden width {REFERENCE_WIDTH}; "
        "level chosen on validation error",
        table=[_table_row(task, path) for task, path in paths.items()],
    )


def _table_row(task: str, path: PruningPath) -> Row:
    columns = ("divergence", "posterior_distance", "nll_noisy", "ece_noisy")
    return {"task": task, "weights": float(path.sizes[path.trough])} | {
        f"{name}, {when}": float(path.at(name, level).mean())
        for name in columns
        for when, level in (("dense", 0), ("pruned", path.trough))
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Divergence from the true posterior for both mixtures."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for task, colour, label in (("linear", BLUE, "linear mixture"), ("xor", ORANGE, "XOR mixture")):
            path = path_of(rows, task=task)
            draw_curve(axes, path, "divergence", colour, label)
            ring(axes, path.densities[path.trough], path.column("divergence").mean(0)[path.trough], colour)
        axes.set_yscale("log")
        plain_decades(axes.yaxis)
        label_axes(axes, "KL(p*‖p̂), nats")
        axes.legend(frameon=False)

    caption = (
        "Divergence of the predictions from the true posterior of the noisy label; ringed, the lowest validation error."
    )
    return [Figure("Distance from the true posterior", caption, draw)]


LN4 = Claim(
    "LN4",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_path,
    paper="label_noise",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
