"""LN1: with noisy labels, does the test error of iteratively pruned networks descend twice?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean
from pruneproof.plotting import BLUE, ORANGE, shades

from .measure import PruningPath, measure_path, path_of, rise_and_fall
from .plots import draw_curve, draw_dense, label_axes, shade_phases
from .setting import DIGITS_NOISE, HE, HIDDEN, SWEPT, SWEPT_SEEDS, digits_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PEAK, TROUGH = 0.02, 0.05

STATEMENT = (
    "With noisy labels the test error of iteratively pruned networks descends twice: it rises to a peak, falls below "
    "the dense error, then rises for good; without noise there is no peak."
)
SOURCE = f"{HE}; definitions in theory/statistics/double_descent.md"
CRITERION = (
    f"Digits, 40 % flipped labels, clean test error: the 95 % intervals of (peak − dense) and (dense − trough), paired "
    f"over seeds, lie above {PEAK:.0%} and above {TROUGH:.0%}; control with clean labels: that of (peak − dense) lies "
    f"below {PEAK:.0%} (the bars are ours). Not reproduced if one of the three is refuted after Holm's correction; "
    "else inconclusive."
)
SAYS_NOT = "That every network or kind of noise shows it; wide networks may not."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on digits, with 40 % noise and with none, and beyond quick a sweep of the noise."""
    swept = () if scale is Scale.QUICK else SWEPT
    sweep = [digits_cell(scale, seeds, noise=noise, usual=SWEPT_SEEDS) for noise in swept]
    return [digits_cell(scale, seeds), digits_cell(scale, seeds, noise=0.0), *sweep]


def judge(rows: Sequence[Row]) -> Outcome:
    """Peak and trough of the noisy network against its dense error; no peak without noise."""
    noisy, clean = (path_of(rows, noise=noise, hidden=HIDDEN) for noise in (DIGITS_NOISE, 0.0))
    rise, fall = (mean(change) for change in rise_and_fall(noisy))
    control = mean(rise_and_fall(clean)[0])
    comparisons = [
        Comparison("peak above dense", rise, above=PEAK),
        Comparison("dense above trough", fall, above=TROUGH),
        Comparison("control: peak above dense at 0 % noise", control, below=PEAK),
    ]
    return conclude(
        comparisons,
        noisy.seeds,
        "digits, 64-100-50-10, 40 % of labels flipped; peak and trough located on validation, errors on test",
        {
            **{each.name: each.estimate for each in comparisons},
            **_sweep(rows),
            "density of the peak": float(noisy.densities[noisy.descent.peak]),
            "density of the trough": float(noisy.densities[noisy.trough]),
        },
        _table(noisy, clean),
    )


def _sweep(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Rise to the peak and fall to the trough at the other shares of noise."""
    swept: dict[str, Estimate] = {}
    for noise in sorted({row["noise"] for row in rows} - {0.0, DIGITS_NOISE}):
        rise, fall = (mean(change) for change in rise_and_fall(path_of(rows, noise=noise)))
        swept |= {f"{noise:.0%} noise: peak above dense": rise, f"{noise:.0%} noise: dense above trough": fall}
    return swept


def _table(noisy: PruningPath, clean: PruningPath) -> list[Row]:
    errors = [path.column("test_error").mean(0) for path in (noisy, clean)]
    phases = noisy.descent.phases
    return [
        {
            "density": float(density),
            "error, 40 % noise": float(errors[0][level]),
            "error, no noise": float(errors[1][level]),
            "phase": phases[level],
        }
        for level, density in enumerate(noisy.densities)
    ]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Two error curves, with the phases of the noisy one shaded."""
    noisy, clean = path_of(rows, noise=DIGITS_NOISE), path_of(rows, noise=0.0)
    swept = sorted({row["noise"] for row in rows} - {0.0, DIGITS_NOISE})

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        shade_phases(axes, noisy)
        for noise, colour in zip(swept, shades(len(swept)), strict=False):
            path = path_of(rows, noise=noise)
            axes.plot(
                path.densities, path.column("test_error").mean(0), color=colour, linewidth=1, label=f"{noise:.0%}"
            )
        draw_curve(axes, noisy, "test_error", ORANGE, "40 % of training labels flipped")
        draw_curve(axes, clean, "test_error", BLUE, "clean labels (control)")
        draw_dense(axes, noisy, "test_error", ORANGE)
        label_axes(axes, "test error (clean labels)")
        axes.legend(frameon=False, loc="upper center")

    caption = (
        "Test error along the pruning path, mean and range over seeds; thin lines are other shares of flipped "
        "labels. The dotted line is the dense error. Shaded: "
        "Light, Critical, Sweet, Collapsed, found on the validation labels."
    )
    return [Figure("Sparse double descent", caption, draw)]


LN1 = Claim(
    "LN1",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_path,
    paper="label_noise",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    origin=Origin.OTHER,
)
