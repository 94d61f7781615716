"""LN4: does the best pruned network have better conditional probabilities than the dense one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, decide
from pruneproof.plotting import plain_decades, shades

from .measure import PruningPath, measure_path, paths_of_mixtures, pruned_over_dense
from .plots import draw_curve, label_axes, ring
from .setting import ARORA, MIXTURES, REFERENCE_WIDTH, mixture_cell, small_mixtures

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    "The best pruned network has better conditional probabilities than the dense one: closer to the true posterior of "
    "the noisy label."
)
SOURCE = f"{ARORA}; scores in theory/statistics/calibration.md"
CRITERION = (
    "Linear mixtures at ν√D = 5, 3 and 2 (5 only at quick) and XOR, 20 features: the 95 % intervals of the ratios "
    "pruned / dense of the mean divergence KL(p*‖p̂) and of the mean abs(p̂ − p*) lie below 1. Not reproduced if a ratio "
    "lies above 1 after Holm's correction over all of them; else inconclusive. The published mixtures (100 features) "
    "are printed beyond quick. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = (
    "That pruning calibrates in general: both networks are held against what they were trained on; at 100 features the "
    "mean distance can be larger than the dense network's, see the printed rows."
)
JUDGED_FEATURES = 20
SCORES = {"divergence": "divergence", "posterior_distance": "mean abs(p̂ − p*)"}


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Small mixtures of several distances, and beyond quick the published ones."""
    published = () if scale is Scale.QUICK else MIXTURES
    printed = [mixture_cell(scale, seeds, task, REFERENCE_WIDTH) for task in published]
    return small_mixtures(scale, seeds) + printed


def judge(rows: Sequence[Row]) -> Outcome:
    """Divergence and distance from the true posterior, pruned over dense."""
    paths = paths_of_mixtures(rows)
    ratios = {
        (name, score): Comparison(f"{name}: {words}, pruned / dense", pruned_over_dense(path, score), below=1.0)
        for name, path in paths.items()
        for score, words in SCORES.items()
    }
    judged = [each for (name, _), each in ratios.items() if name.endswith(f"D = {JUDGED_FEATURES}")]
    decision = decide(judged)
    return Outcome(
        verdict=decision.verdict,
        measured={each.name: each.estimate for each in ratios.values()},
        seeds=tuple(sorted({row["seed"] for row in rows})),
        scope=f"mixtures, posterior of the noisy label, hidden width {REFERENCE_WIDTH}; level chosen on "
        "validation error" + (f"; {decision.sentence}" if decision.sentence else ""),
        table=[_table_row(name, path) for name, path in paths.items()],
    )


def _table_row(task: str, path: PruningPath) -> Row:
    columns = ("divergence", "posterior_distance", "nll_noisy", "ece_noisy")
    return {"task": task, "weights": float(path.sizes[path.trough])} | {
        f"{name}, {when}": float(path.at(name, level).mean())
        for name in columns
        for when, level in (("dense", 0), ("pruned", path.trough))
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Divergence from the true posterior for every mixture."""
    paths = paths_of_mixtures(rows)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for (name, path), colour in zip(paths.items(), shades(len(paths)), strict=True):
            draw_curve(axes, path, "divergence", colour, name)
            ring(axes, path.densities[path.trough], path.column("divergence").mean(0)[path.trough], colour)
        axes.set_yscale("log")
        plain_decades(axes.yaxis)
        label_axes(axes, "KL(p*‖p̂), nats")
        axes.legend(frameon=False, fontsize="small")

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
