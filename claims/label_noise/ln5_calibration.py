"""LN5: is the best pruned network less overconfident than the dense one on real data with noisy labels?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import mean
from pruneproof.plotting import BLUE, ORANGE

from .measure import measure_path, path_of, pruned_over_dense
from .plots import draw_curve, label_axes
from .setting import ARORA, DIGITS_NOISE, HIDDEN, digits_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

CALIBRATION_SHARE = 0.5

STATEMENT = "On real data with noisy labels the best pruned network is less overconfident than the dense one."
SOURCE = f"{ARORA}; scores in theory/statistics/calibration.md"
CRITERION = (
    f"Digits, 40 % flipped labels: bias-corrected ECE on noisy test labels ≤ {CALIBRATION_SHARE:g} of the dense "
    "network's; ECE on clean labels is printed."
)
SAYS_NOT = (
    "That its confidence fits clean labels: it is calibrated to the distribution it was trained on, and on "
    "clean labels it can be too modest."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on digits with 40 % noise."""
    return [digits_cell(scale, seeds)]


def judge(rows: Sequence[Row]) -> Outcome:
    """Calibration error on noisy labels, pruned over dense."""
    path = path_of(rows, noise=DIGITS_NOISE, hidden=HIDDEN)
    share = pruned_over_dense(path, "ece_noisy")
    printed = {
        f"{name} on {kind} labels, {when}": mean(path.at(f"{key}_{kind}", level))
        for name, key in (("ECE", "ece"), ("overconfidence", "overconfidence"))
        for kind in ("noisy", "clean")
        for when, level in (("dense", 0), ("pruned", path.trough))
    }
    return Outcome(
        verdict=Verdict.HOLDS if share.value <= CALIBRATION_SHARE else Verdict.NOT_REPRODUCED,
        measured={"ECE on noisy labels, pruned / dense": share, **printed},
        seeds=path.seeds,
        scope="digits, 64-100-50-10, 40 % of labels flipped; ECE of 15 equal-width bins, corrected for its bias",
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
