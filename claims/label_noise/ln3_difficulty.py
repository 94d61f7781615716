"""LN3: does the effective size reflect the difficulty of the task?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.plotting import BLUE, ORANGE

from .measure import effective_size, measure_path, mixture_text, path_of
from .plots import draw_curve, draw_dense, label_axes, ring_trough
from .setting import ARORA, MIXTURES, REFERENCE_WIDTH, mixture_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

RATIO = 1.3

STATEMENT = "The effective size reflects the difficulty of the task: XOR needs more weights than a linear task."
SOURCE = ARORA
CRITERION = f"Mixtures of equal dimension and training, one hidden width: effective size XOR / linear > {RATIO}."
SAYS_NOT = "That the effective size measures difficulty in general: two tasks are two points."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on each mixture."""
    return [mixture_cell(scale, seeds, task, REFERENCE_WIDTH) for task in MIXTURES]


def judge(rows: Sequence[Row]) -> Outcome:
    """Compare the effective sizes of the two tasks."""
    paths = {task: path_of(rows, task=task, hidden=[REFERENCE_WIDTH]) for task in MIXTURES}
    sizes = {task: effective_size(path) for task, path in paths.items()}
    ratio = sizes["xor"].value / sizes["linear"].value
    return Outcome(
        verdict=Verdict.HOLDS if ratio > RATIO else Verdict.NOT_REPRODUCED,
        measured={
            "effective size, XOR / linear": ratio,
            "effective size, linear": sizes["linear"],
            "effective size, XOR": sizes["xor"],
        },
        seeds=paths["linear"].seeds,
        scope=f"{mixture_text(rows)}, two-layer ReLU without biases, hidden width {REFERENCE_WIDTH}",
    )


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error relative to dense for both mixtures."""

    def draw(canvas: Canvas) -> None:
        canvas.set_size_inches(8, 3.2)
        panels = canvas.subplots(1, 2)
        for axes, task, colour in zip(panels, MIXTURES, (BLUE, ORANGE), strict=True):
            path = path_of(rows, task=task)
            draw_curve(axes, path, "test_error", colour, task, against=path.sizes)
            ring_trough(axes, path, colour)
            draw_dense(axes, path, "test_error", colour)
            label_axes(axes, "test error (clean labels)", "surviving weights")
            axes.set_title({"linear": "linear mixture", "xor": "XOR mixture"}[task], fontsize=10)

    caption = (
        "The lowest error (ringed) of the harder task comes at more weights. The dotted lines are the dense errors."
    )
    return [Figure("Effective size and difficulty", caption, draw)]


LN3 = Claim(
    "LN3",
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
