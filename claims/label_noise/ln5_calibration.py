"""LN5: is the best pruned network less overconfident than the dense one on real data with noisy labels?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, decide, mean, paired_difference
from pruneproof.plotting import BLUE, ORANGE

from .measure import measure_path, path_of, pruned_over_dense
from .plots import draw_curve, label_axes
from .setting import ARORA, DIGITS_NOISE, HIDDEN, digits_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "On real data with noisy labels the best pruned network is less overconfident than the dense one."
SOURCE = f"{ARORA}; scores in theory/statistics/calibration.md"
CRITERION = (
    "Digits, 40 % flipped labels, noisy test labels: the 95 % interval of the ratio pruned / dense of the bias-"
    "corrected ECE lies below 1, and that of the paired difference in overconfidence (mean confidence − accuracy), "
    "pruned − dense, lies below 0. Not reproduced if one of the two is refuted after Holm's correction; else "
    "inconclusive. ECE on clean labels is printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = (
    "That its confidence fits clean labels: it is calibrated to the distribution it was trained on, and on "
    "clean labels it can be too modest."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on digits with 40 % noise."""
    return [digits_cell(scale, seeds)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Calibration error and overconfidence on noisy labels, pruned against dense."""
    path = path_of(rows, noise=DIGITS_NOISE, hidden=HIDDEN)
    trough, name = path.trough, "overconfidence_noisy"
    share = Comparison("ECE on noisy labels, pruned / dense", pruned_over_dense(path, "ece_noisy"), below=1.0)
    change = paired_difference(path.at(name, trough), path.at(name, 0))
    less = Comparison("overconfidence on noisy labels, pruned − dense", change, below=0.0)
    decision = decide([share, less])
    printed = {
        f"{words} on {kind} labels, {when}": mean(path.at(f"{key}_{kind}", level))
        for words, key in (("ECE", "ece"), ("overconfidence", "overconfidence"))
        for kind in ("noisy", "clean")
        for when, level in (("dense", 0), ("pruned", trough))
    }
    return Outcome(
        verdict=decision.verdict,
        measured={share.name: share.estimate, less.name: less.estimate, **printed},
        seeds=path.seeds,
        scope="digits, 64-100-50-10, 40 % of labels flipped; ECE of 15 equal-width bins, corrected for its bias"
        + (f"; {decision.sentence}" if decision.sentence else ""),
    )


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Calibration error on noisy and on clean labels."""
    path = path_of(rows)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        draw_curve(axes, path, "ece_noisy", ORANGE, "noisy labels, as trained on")
        draw_curve(axes, path, "ece_clean", BLUE, "clean labels")
        axes.axvline(float(path.densities[path.trough]), color=BLUE, linestyle=":", linewidth=1)
        label_axes(axes, "expected calibration error")
        axes.legend(frameon=False)

    caption = (
        "Bias-corrected ECE along the path; the vertical line is the chosen level. A network calibrated to noisy "
        "labels is too modest on clean ones."
    )
    return [Figure("Calibration under label noise", caption, draw)]


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
)
