"""LN2: does pruning converge to networks of comparable size, whatever the size it starts from?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.plotting import BLUE, GREEN, ORANGE

from .measure import PruningPath, effective_size, measure_path, mixture_text, path_of
from .plots import draw_curve, label_axes, ring_trough
from .setting import ARORA, WIDTHS, mixture_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

POWER = 0.6
PUBLISHED_RANGE = (200, 500)  # the paper's effective sizes of its linear task

STATEMENT = "Iterative magnitude pruning converges to networks of comparable size, whatever the size it starts from."
SOURCE = ARORA
CRITERION = (
    f"Linear mixture, three hidden widths: (largest/smallest effective size) ≤ (largest/smallest start)^{POWER}; "
    f"trained as published (full), also all effective sizes in {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]}."
)
SAYS_NOT = "That the size is a constant of the task: it moves with training length and with the pruning share."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network per hidden width on the linear mixture."""
    return [mixture_cell(scale, seeds, "linear", width) for width in WIDTHS]


def judge(rows: Sequence[Row]) -> Outcome:
    """Compare how far the effective sizes lie apart with how far the starts do."""
    paths = [path_of(rows, task="linear", hidden=[width]) for width in WIDTHS]
    sizes = [effective_size(path) for path in paths]
    starts = [float(path.sizes[0]) for path in paths]
    effective = [size.value for size in sizes]
    exponent = float(np.log(max(effective) / min(effective)) / np.log(max(starts) / min(starts)))
    exact = rows[0]["momentum"] == 0  # trained as published: the published range applies too
    inside = all(PUBLISHED_RANGE[0] <= size <= PUBLISHED_RANGE[1] for size in effective)
    table: list[Row] = [
        {
            "start": start,
            "effective size": size.value,
            "test error, dense": _error(path, 0),
            "test error, pruned": _error(path, path.trough),
        }
        for path, start, size in zip(paths, starts, sizes, strict=True)
    ]
    return Outcome(
        verdict=Verdict.HOLDS if exponent <= POWER and (inside or not exact) else Verdict.NOT_REPRODUCED,
        measured={
            "log(effective ratio) / log(start ratio)": exponent,
            **{f"effective size from {start:.0f} weights": size for start, size in zip(starts, sizes, strict=True)},
            f"all in the published {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]}": (
                ("yes" if inside else "no") if exact else "not trained as published"
            ),
        },
        seeds=paths[0].seeds,
        scope=f"{mixture_text(rows)}, two-layer ReLU without biases, hidden widths {', '.join(map(str, WIDTHS))}",
        table=table,
    )


def _error(path: PruningPath, level: int) -> float:
    return float(path.at("test_error", level).mean())


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error against surviving weights for every start."""
    widths = sorted({row["hidden"][0] for row in rows})

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for width, colour in zip(widths, (BLUE, GREEN, ORANGE), strict=False):
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
)
