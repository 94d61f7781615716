"""LN5: is the best pruned network less overconfident than the dense one on real data with noisy labels?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.data.images import set_name
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean, paired_difference
from pruneproof.plotting import BLUE, INK, ORANGE

from .measure import BINS, Floats, PruningPath, measure_path, path_of, pruned_over_dense
from .plots import draw_curve, label_axes
from .setting import ARORA, digits_cell, images_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

STATEMENT = "On real data with noisy labels the best pruned network is less overconfident than the dense one."
SOURCE = f"{ARORA}; scores in theory/statistics/calibration.md"
CRITERION = (
    "Digits with 40 % flipped labels, and beyond quick the images that the user brings (MNIST or Fashion-MNIST) with "
    "20 %, noisy test labels: on each the 95 % interval of the ratio pruned / dense of the bias-corrected ECE lies "
    "below 1, and that of the paired difference in overconfidence (mean confidence − accuracy), pruned − dense, below "
    "0. Not reproduced if one of them is refuted after Holm's correction; else inconclusive. ECE on clean labels is "
    "printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = (
    "That its confidence fits clean labels: it is calibrated to the distribution it was trained on, and on "
    "clean labels it can be too modest."
)
SYMBOLS = (
    "ECE, the expected calibration error, is the mean distance between confidence and accuracy over bins of confidence."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on digits with 40 % noise, and one on images with 20 % if there are any."""
    return [*images_cells(scale, seeds), digits_cell(scale, seeds)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Calibration error and overconfidence on noisy labels, pruned against dense, on every data set."""
    paths = _paths(rows)
    comparisons: list[Comparison] = []
    printed: dict[str, Estimate] = {}
    for name, path in paths.items():
        comparisons += _compared(name, path)
        printed |= _printed(name, path)
    return conclude(
        comparisons,
        (row["seed"] for row in rows),
        f"{' and '.join(paths)} of labels flipped, perceptrons with two hidden layers; ECE of 15 equal-width bins, "
        "corrected for its bias",
        {each.name: each.estimate for each in comparisons} | printed,
    )


def _paths(rows: Sequence[Row]) -> dict[str, PruningPath]:
    """Data set and share of noise → path."""
    cells = sorted({(row["data"], row["noise"]) for row in rows}, key=lambda cell: -cell[1])
    return {f"{set_name(data)}, {noise:.0%}": path_of(rows, data=data, noise=noise) for data, noise in cells}


def _compared(name: str, path: PruningPath) -> list[Comparison]:
    change = paired_difference(path.at("overconfidence_noisy", path.trough), path.at("overconfidence_noisy", 0))
    return [
        Comparison(f"{name}: ECE on noisy labels, pruned / dense", pruned_over_dense(path, "ece_noisy"), below=1.0),
        Comparison(f"{name}: overconfidence on noisy labels, pruned − dense", change, below=0.0),
    ]


def _printed(name: str, path: PruningPath) -> dict[str, Estimate]:
    return {
        f"{name}: {words} on {kind} labels, {when}": mean(path.at(f"{key}_{kind}", level))
        for words, key in (("ECE", "ece"), ("overconfidence", "overconfidence"))
        for kind in ("noisy", "clean")
        for when, level in (("dense", 0), ("pruned", path.trough))
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Reliability diagrams, dense and pruned, and the calibration error along the path, for every data set."""
    paths = _paths(rows)

    def diagrams(canvas: Canvas) -> None:
        canvas.set_size_inches(4 * len(paths), 3.6)
        for axes, (name, path) in zip(canvas.subplots(1, len(paths), squeeze=False)[0], paths.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
            _draw_reliability(axes, path, 0, ORANGE, "dense")
            _draw_reliability(axes, path, path.trough, BLUE, f"pruned to {path.densities[path.trough]:.1%}")
            axes.set(xlabel="confidence", ylabel="accuracy on noisy labels", xlim=(0, 1), ylim=(0, 1))
            axes.set_title(name, fontsize=10)
            axes.legend(frameon=False)

    def curves(canvas: Canvas) -> None:
        canvas.set_size_inches(4 * len(paths), 3.2)
        for axes, (name, path) in zip(canvas.subplots(1, len(paths), squeeze=False)[0], paths.items(), strict=True):
            draw_curve(axes, path, "ece_noisy", ORANGE, "noisy labels, as trained on")
            draw_curve(axes, path, "ece_clean", BLUE, "clean labels")
            axes.axvline(float(path.densities[path.trough]), color=BLUE, linestyle=":", linewidth=1)
            label_axes(axes, "expected calibration error")
            axes.set_title(name, fontsize=10)
            axes.legend(frameon=False)

    return [
        Figure(
            "Reliability",
            "Accuracy on noisy test labels of predictions of each confidence, the examples of all seeds together; "
            "below the diagonal a network is overconfident. Areas of the dots show how many examples there are.",
            diagrams,
        ),
        Figure(
            "Calibration under label noise",
            "Bias-corrected ECE along the path; the vertical line is the chosen level. A network calibrated to noisy "
            "labels is too modest on clean ones.",
            curves,
        ),
    ]


def _draw_reliability(axes: Axes, path: PruningPath, level: int, colour: str, label: str) -> None:
    confidence, accuracy, share = reliability_of(path, level).T
    axes.plot(confidence, accuracy, color=colour, linewidth=1.2, label=label)
    axes.scatter(confidence, accuracy, s=200 * share, color=colour)


def reliability_of(path: PruningPath, level: int) -> Floats:
    """Confidence, accuracy and share of the examples (bins, 3) at one level, all seeds together.

    Args:
        path: Of a network with stored reliability diagrams.
        level: Round of pruning.
    """
    bins = np.array([bin for row in path.rows if row.level == level for bin in row.reliability or []])
    place = np.minimum((bins[:, 0] * BINS).astype(int), BINS - 1)
    merged = [bins[place == each] for each in np.unique(place)]
    count = bins[:, 2].sum()
    return np.array(
        [[*np.average(each[:, :2], axis=0, weights=each[:, 2]), each[:, 2].sum() / count] for each in merged]
    )


LN5 = Claim(
    "LN5",
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
