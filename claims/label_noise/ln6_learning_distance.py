"""LN6: does the learning distance peak where the test error does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, conclude, mean
from pruneproof.plotting import GREEN, ORANGE

from .measure import Floats, PruningPath, measure_path, path_of, rise_and_fall
from .plots import draw_curve, label_axes
from .setting import HE, HIDDEN, WIDE, WIDE_SEEDS, digits_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LEVELS = 2

STATEMENT = "The learning distance $‖w_0 - w‖_2$, pruned weights counted as zero, peaks where the test error does."
SOURCE = HE
CRITERION = (
    "Digits, 40 % flipped labels, the narrow network: the 95 % interval of the rise of the test error to its peak lies "
    f"above 0, and that of the mean number of levels, seed by seed, from the peak of the error to that of the distance "
    f"within ± {LEVELS} levels (the margin is ours). Not reproduced if one of the two is refuted after Holm's "
    "correction; else inconclusive."
)
SAYS_NOT = "That a larger distance causes a larger error; wide networks can have one without the other."
SYMBOLS = "$w_0$ are the initial weights and $w$ those after training and pruning; levels are rounds of pruning."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """A narrow network, which is judged, and beyond quick a wide one, which is printed."""
    wide = [digits_cell(scale, seeds, hidden=WIDE[scale], usual=WIDE_SEEDS)] if scale in WIDE else []
    return [*wide, digits_cell(scale, seeds)]


def judge(rows: Sequence[Row]) -> Outcome:
    """How many levels lie between the two peaks, and whether there is a peak."""
    narrow = path_of(rows, hidden=HIDDEN)
    others = sorted({tuple(row["hidden"]) for row in rows} - {tuple(HIDDEN)})
    wide = {"-".join(map(str, hidden)): path_of(rows, hidden=list(hidden)) for hidden in others}
    rise = Comparison("rise of the error to its peak", mean(rise_and_fall(narrow)[0]), above=0.0)
    words = "levels from the peak of the error to that of the distance"
    gap = Comparison(words, mean(_gaps(narrow)), above=-LEVELS, below=LEVELS)
    return conclude(
        [rise, gap],
        narrow.seeds,
        "digits, 40 % of labels flipped, 64-100-50-10 judged; a wide network is printed, not judged",
        {
            rise.name: rise.estimate,
            gap.name: gap.estimate,
            **{f"the same gap, hidden layers {name}": mean(_gaps(path)) for name, path in wide.items()},
            **{f"rise of the error, hidden layers {name}": mean(rise_and_fall(path)[0]) for name, path in wide.items()},
        },
    )


def _gaps(path: PruningPath) -> Floats:
    """Levels from the highest test error before the trough to the largest distance, seed by seed."""
    error = path.column("test_error")[:, : path.trough + 1].argmax(1)
    return (path.column("distance").argmax(1) - error).astype(float)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error and learning distance, narrow and wide."""
    shapes = sorted({tuple(row["hidden"]) for row in rows}, key=sum)

    def draw(canvas: Canvas) -> None:
        canvas.set_size_inches(8, 3.2)
        panels = canvas.subplots(1, len(shapes), squeeze=False)[0]
        for axes, shape in zip(panels, shapes, strict=True):
            path = path_of(rows, hidden=list(shape))
            draw_curve(axes, path, "test_error", ORANGE, "test error")
            label_axes(axes, "test error")
            axes.set_title("-".join(map(str, (64, *shape, 10))), fontsize=10)
            right = axes.twinx()
            draw_curve(right, path, "distance", GREEN, "learning distance")
            right.set_ylabel("learning distance", color=GREEN)
            axes.yaxis.label.set_color(ORANGE)
            right.spines[["top"]].set_visible(False)

    caption = (
        "Test error (left axes) and distance of the weights from their initial values (right axes) along the pruning "
        "path. In the judged network (left) both peak together."
    )
    return [Figure("Learning distance and error", caption, draw)]


LN6 = Claim(
    "LN6",
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
    origin=Origin.OTHER,
)
