"""LN4: does the best pruned network have better conditional probabilities than the dense one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, conclude
from pruneproof.plotting import BLUE, INK, ORANGE, plain_decades, shades

from .measure import BINS, Floats, PruningPath, measure_path, paths_of_mixtures, pruned_over_dense
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
SYMBOLS = (
    "p* is the true probability of the noisy label at a point and p̂ the network's, D is the number of features, and "
    "ν√D the distance between the means of two classes in standard deviations."
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
    return conclude(
        judged,
        (row["seed"] for row in rows),
        f"mixtures, posterior of the noisy label, hidden width {REFERENCE_WIDTH}; level chosen on validation error",
        {each.name: each.estimate for each in ratios.values()},
        [_table_row(name, path) for name, path in paths.items()],
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
    return [Figure("Distance from the true posterior", caption, draw), _maps(paths)]


def _maps(paths: Mapping[str, PruningPath]) -> Figure:
    """Predicted against true posterior, dense and pruned, mixture by mixture."""

    def draw(canvas: Canvas) -> None:
        columns = min(3, len(paths))
        lines = -(-len(paths) // columns)
        canvas.set_size_inches(2.7 * columns, 2.7 * lines)
        panels = canvas.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flatten().tolist()
        for axes in panels[len(paths) :]:
            axes.remove()
        for axes, (name, path) in zip(panels, paths.items(), strict=False):
            axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
            for level, colour, label in ((0, ORANGE, "dense"), (path.trough, BLUE, "pruned")):
                true, predicted, low, high = posterior_map_of(path, level).T
                axes.fill_between(true, low, high, color=colour, alpha=0.2, linewidth=0)
                axes.plot(true, predicted, color=colour, linewidth=1.2, label=label)
            axes.set_title(name, fontsize=8)
            axes.set(xlabel="true P(1 | x)", ylabel="predicted")
            axes.legend(frameon=False, fontsize=7)

    caption = (
        "Mean predicted probability of the noisy label 1 for test examples of each true one; the bands reach from the "
        "10 % to the 90 % quantile, means over seeds. On the line the network knows the posterior."
    )
    return Figure("Posterior maps", caption, draw)


def posterior_map_of(path: PruningPath, level: int) -> Floats:
    """True probability, mean prediction and its two quantiles (bins, 4) at one level, means over seeds.

    Args:
        path: Of a network on a mixture.
        level: Round of pruning.
    """
    bins = np.array([bin for row in path.rows if row.level == level for bin in row.posterior_map or []])
    place = np.minimum((bins[:, 0] * BINS).astype(int), BINS - 1)
    return np.array([bins[place == each].mean(0) for each in np.unique(place)])


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
    symbols=SYMBOLS,
)
