"""LN3: does the effective size reflect the difficulty of the task?"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, conclude, paired_difference
from pruneproof.plotting import BLUE, ORANGE

from .measure import (
    PruningPath,
    effective_size,
    measure_path,
    mixture_text,
    path_of,
    paths_of_mixtures,
    sizes_by_seed,
)
from .plots import draw_curve, draw_dense, label_axes, ring_trough
from .setting import ARORA, MIXTURES, REFERENCE_WIDTH, SEPARATION, mixture_cell, small_mixtures

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "The effective size reflects the difficulty of the task: XOR needs more weights than a linear task."
SOURCE = ARORA
CRITERION = (
    "Mixtures of equal dimension, training and distance, one hidden width: the 95 % interval of the paired mean of "
    "log(effective size, XOR / linear) over seeds lies above 0. Not reproduced if it lies below 0; else inconclusive. "
    "Beyond quick the same two mixtures with 20 features are printed, and linear ones that are closer, hence harder."
)
SAYS_NOT = "That the effective size measures difficulty in general: two tasks are two points."
SYMBOLS = (
    "the effective size is the number of weights at the lowest validation error after the peak, D the number of "
    "features, and ν√D the distance between the means of two classes in standard deviations."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One network on each mixture, and beyond quick on smaller ones of several distances."""
    judged = [mixture_cell(scale, seeds, task, REFERENCE_WIDTH) for task in MIXTURES]
    return judged if scale is Scale.QUICK else judged + small_mixtures(scale, seeds)


def judge(rows: Sequence[Row]) -> Outcome:
    """Compare the effective sizes of the two tasks, seed by seed."""
    judged, printed = _judged(rows), paths_of_mixtures(rows)
    logs = [{seed: log(size) for seed, size in sizes_by_seed(judged[task]).items()} for task in ("xor", "linear")]
    larger = Comparison("log(effective size, XOR / linear)", paired_difference(*logs), above=0.0)
    sizes = {f"effective size, {name}": effective_size(path) for name, path in printed.items()}
    scope = f"{mixture_text(rows)}, two-layer ReLU without biases, hidden width {REFERENCE_WIDTH}"
    return conclude([larger], judged["linear"].seeds, scope, {larger.name: larger.estimate, **sizes})


def _judged(rows: Sequence[Row]) -> dict[str, PruningPath]:
    """Task → path of the mixture with the most features, at the published distance."""
    features = max(row["features"] for row in rows)
    nu = SEPARATION / features**0.5
    return {task: path_of(rows, task=task, nu=nu, features=features) for task in MIXTURES}


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error relative to dense for both mixtures."""
    paths = _judged(rows)

    def draw(canvas: Canvas) -> None:
        canvas.set_size_inches(8, 3.2)
        panels = canvas.subplots(1, 2)
        for axes, task, colour in zip(panels, MIXTURES, (BLUE, ORANGE), strict=True):
            path = paths[task]
            draw_curve(axes, path, "test_error", colour, task, against=path.sizes)
            ring_trough(axes, path, colour)
            draw_dense(axes, path, "test_error", colour)
            label_axes(axes, "test error (clean labels)", "surviving weights")
            axes.set_title({"linear": "linear mixture", "xor": "XOR mixture"}[task], fontsize=10)

    caption = (
        "The lowest error (ringed) of the harder task comes at more weights. The dotted lines are the dense errors."
    )
    return [Figure("Effective size and difficulty", caption, draw), *_sizes(rows)]


def _sizes(rows: Sequence[Row]) -> list[Figure]:
    """Effective sizes of all mixtures, easy ones first; nothing where only the judged two were run."""
    paths = paths_of_mixtures(rows)
    if len(paths) == len(MIXTURES):
        return []

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for place, path in enumerate(paths.values()):
            size = effective_size(path)
            axes.plot([size.low, size.high], [place, place], color=BLUE, linewidth=1.5)
            axes.plot(size.value, place, "o", color=BLUE)
        axes.set_yticks(range(len(paths)), list(paths))
        axes.set(xscale="log", xlabel="effective size, weights")
        axes.grid(visible=False, axis="y")

    caption = (
        "Weights at the lowest validation error after the peak, with bootstrap intervals over seeds. Linear mixtures "
        "are the harder the smaller ν√D is."
    )
    return [Figure("Effective size of every mixture", caption, draw)]


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
    symbols=SYMBOLS,
)
