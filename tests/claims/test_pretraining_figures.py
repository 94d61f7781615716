"""Every picture of the pre-training claims draws without a warning from the rows of a small run, with labelled axes."""

from dataclasses import asdict
from typing import Any

import pytest
from matplotlib.figure import Figure as Canvas

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.pretraining import CLAIMS, pt6_direct_training

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
