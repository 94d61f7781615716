"""Every picture of the pre-training claims draws without a warning from the rows of a small run, with labelled axes."""

from dataclasses import asdict
from itertools import product
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas

from pruneproof.claims.claim import Figure, Scale
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.pretraining import CLAIMS, growth, pt6_direct_training
from pruneproof.claims.report.picture import picture

CELLS: dict[str, list[dict[str, Any]]] = {
    "PT1": [
        {"data": digits_label(), "scaling": "mean", "images": i, "iterations": 2, "seed": 0} for i in ("few", "many")
    ],
    "PT2": [{"m": 4, "d": 6, "width": 50, "seed": 0}],
    "PT3": [
        {"m": 8, "width": 64, "labels": "random", "scaling": s, "fraction": 1.0, "iterations": 9, "seed": 0}
        for s in ("ntk", "mean")
    ],
    "PT4": [
        {"family": "conditioned", "labels": x, "scaling": s, "m": m, "width": 64, "seed": 0, "iterations": 8}
        for x in ("random", "teacher")
        for s in ("ntk", "mean")
        for m in (16, 24)
    ],
    "PT5": [
        {"data": digits_label(), "kind": k, "m": m, "seed": 0, "iterations": 3, "width": 300, "ratio": 2.0}
        | {"rate": 0.3, "batch": 32, "tuning": 0}
        for k in ("binarised", "ten classes")
        for m in (50, 88)
    ],
    "PT6": [cell | {"seed": 0, "iterations": 3} for cell in pt6_direct_training.grid(Scale.STANDARD, 1)],
    "PT8": [
        {"m": m, "labels": x, "seed": 0, "iterations": 8, "largest": 512}
        for x in ("random", "teacher")
        for m in (8, 16)
    ],
}
CELLS["PT7"] = [cell | {"family": "generic"} for cell in CELLS["PT4"]]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_pictures_draw_and_label_their_axes(claim: Any) -> None:
    rows = [{**cell, **asdict(row)} for cell in CELLS[claim.id] for row in claim.measure(cell)]
    figures = claim.figures(rows)
    assert figures
    for figure in figures:
        canvas = Canvas(layout="constrained")
        figure.draw(canvas)
        canvas.draw_without_rendering()
        assert figure.caption and any(axes.get_xlabel() for axes in canvas.axes)
        assert any(axes.get_ylabel() for axes in canvas.axes)
        assert all(axes.lines or axes.collections for axes in canvas.axes)


def looks(figure: Figure) -> list[dict[str, tuple[str, Any, Any]]]:
    """Label → (colour, line style, marker) of every labelled line, as the report draws it, one dict per axes."""
    seen: list[dict[str, tuple[str, Any, Any]]] = []

    def of(axes: Axes) -> dict[str, tuple[str, Any, Any]]:
        lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
        return {
            str(line.get_label()): (to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in lines
        }

    def recording(canvas: Canvas) -> None:
        figure.draw(canvas)
        seen.extend(of(axes) for axes in canvas.axes)

    picture(Figure(figure.title, figure.caption, recording), "case")
    return seen


def assert_distinct(figures: list[Figure]) -> None:
    for figure in figures:
        for lines in looks(figure):
            colours = [colour for colour, _, _ in lines.values()]
            assert lines and len(set(colours)) == len(colours), lines


def test_selected_direct_and_control_differ_in_colour() -> None:
    cells = pt6_direct_training.grid(Scale.STANDARD, 1)
    subjects = {cell["subject"] for cell in cells}
    rows = [
        {"subject": subject, "n": n, "seed": seed, "loss": (1 + index + 0.1 * seed) / n, "iterations": 3}
        for index, subject in enumerate(sorted(subjects))
        for n in pt6_direct_training.SIZES
        for seed in range(2)
    ]
    assert_distinct(pt6_direct_training.figures(rows))


def test_dense_and_pruned_sizes_differ_in_colour() -> None:
    rows: list[dict[str, Any]] = [
        {"family": "generic", "labels": labels, "scaling": scaling, "target": target, "subject": subject}
        | {
            "m": m,
            "width": 256,
            "seed": 0,
            "condition": float(m),
            "eigenvalue": 1.0,
            "norm_squared": 1.0,
            "threshold": 10 * index + m,
        }
        for labels, scaling, target in product(("random", "teacher"), ("ntk", "mean"), growth.TARGETS)
        for index, subject in enumerate(growth.SUBJECTS)
        for m in (40, 56, 80, 112, 160, 224)
    ]
    assert_distinct(growth.growth_figures(rows, "worsens"))
