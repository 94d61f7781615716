"""LN2: does pruning converge to networks of comparable size, whatever the size it starts from?"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, conclude, mean, slope
from pruneproof.plotting import shades

from .measure import PruningPath, effective_size, measure_path, mixture_text, path_of, sizes_by_seed
from .plots import draw_curve, label_axes, ring_trough
from .setting import ARORA, WIDTHS, mixture_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

POWER = 0.3  # the paper's sizes, 200–500, would be a power of 0.2 of these starts
PUBLISHED_RANGE = (200, 500)  # the paper's effective sizes of its linear task

STATEMENT = "Iterative magnitude pruning converges to networks of comparable size, whatever the size it starts from."
SOURCE = ARORA
CRITERION = (
    "Linear mixture of 20 features (100 at full), hidden widths 10 … 1000 (200 at quick): log effective size grows "
    "with log starting size by a slope, fitted seed by seed, whose mean over seeds has its 95 % interval below "
    f"{POWER} (the bar is ours). Not reproduced if it lies above; else inconclusive. Whether all effective sizes lie "
    f"in the published {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]} is printed where training is as published (full)."
)
SAYS_NOT = "That the size is a constant of the task: it moves with training length and with the pruning share."
SYMBOLS = "the effective size is the number of weights at the lowest validation error after the peak."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network per hidden width on the linear mixture."""
    small = scale is not Scale.FULL
    return [mixture_cell(scale, seeds, "linear", width, small=small) for width in WIDTHS[scale]]


def judge(rows: Sequence[Row]) -> Outcome:
    """Compare how far the effective sizes lie apart with how far the starts do."""
    widths = sorted({row["hidden"][0] for row in rows})
    paths = [path_of(rows, hidden=[width]) for width in widths]
    sizes = [effective_size(path) for path in paths]
    starts = [float(path.sizes[0]) for path in paths]
    by_seed = [sizes_by_seed(path) for path in paths]
    slopes = [slope([log(s) for s in starts], [log(each[seed]) for each in by_seed]).value for seed in paths[0].seeds]
    power = Comparison("slope of log effective size in log starting size", mean(slopes), below=POWER)
    exact = rows[0]["momentum"] == 0  # trained as published: the published range applies too
    inside = all(PUBLISHED_RANGE[0] <= size.value <= PUBLISHED_RANGE[1] for size in sizes)
    table: list[Row] = [
        {
            "start": start,
            "effective size": size.value,
            "test error, dense": _error(path, 0),
            "test error, pruned": _error(path, path.trough),
        }
        for path, start, size in zip(paths, starts, sizes, strict=True)
    ]
    return conclude(
        [power],
        paths[0].seeds,
        f"{mixture_text(rows)}, two-layer ReLU without biases, hidden widths {', '.join(map(str, widths))}",
        {
            power.name: power.estimate,
            **{f"effective size from {start:.0f} weights": size for start, size in zip(starts, sizes, strict=True)},
            f"all in the published {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]}": (
                ("yes" if inside else "no") if exact else "not trained as published"
            ),
        },
        table,
    )


def _error(path: PruningPath, level: int) -> float:
    return float(path.at("test_error", level).mean())


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error against surviving weights for every start."""
    widths = sorted({row["hidden"][0] for row in rows})

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for width, colour in zip(widths, shades(len(widths)), strict=True):
            path = path_of(rows, hidden=[width])
            draw_curve(axes, path, "test_error", colour, f"from {path.sizes[0]:.0f} weights", against=path.sizes)
            ring_trough(axes, path, colour)
        label_axes(axes, "test error (clean labels)", "surviving weights")
        axes.legend(frameon=False)

    caption = "Wherever pruning starts, the lowest error (ringed, chosen on validation labels) comes at a similar size."
    return [Figure("Effective size and starting size", caption, draw)]


LN2 = Claim(
    "LN2",
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
