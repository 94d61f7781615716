"""Every picture of the pre-training claims draws without a warning from the rows of a small run, with labelled axes."""

from typing import Any

import pytest

from pruneproof.claims.pretraining import CLAIMS

CELLS: dict[str, list[dict[str, Any]]] = {
    "PT1": [{"scaling": "mean", "images": i, "iterations": 2, "seed": 0} for i in ("few", "many")],
    "PT2": [{"m": 4, "d": 6, "width": 50, "seed": 0}],
    "PT3": [{"m": 8, "width": 64, "labels": "random", "scaling": s, "seed": 0} for s in ("ntk", "mean")],
    "PT4": [
        {"family": f, "labels": x, "scaling": s, "m": m, "seed": 0, "iterations": 8}
        for f in ("generic", "conditioned")
        for x in ("random", "teacher")
        for s in ("ntk", "mean")
        for m in (16, 24)
    ],
    "PT5": [{"kind": k, "m": m, "seed": 0, "iterations": 3} for k in ("binarised", "ten classes") for m in (50, 88)],
    "PT6": [
        {"subject": s, "seed": 0, "iterations": 3}
        for s in ("selected", "direct", "direct, full gradient, 200 examples")
    ],
}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_pictures_draw_and_label_their_axes(claim: Any) -> None:
    from matplotlib.figure import Figure

    rows = [{**cell, **row} for cell in CELLS[claim.id] for row in claim.measure(cell)]
    pictures = claim.figures(rows)
    assert pictures
    for picture in pictures:
        canvas = Figure(layout="constrained")
        picture.draw(canvas)
        canvas.draw_without_rendering()
        assert picture.caption and any(axes.get_xlabel() for axes in canvas.axes)
        assert any(axes.get_ylabel() for axes in canvas.axes)
        assert all(axes.lines or axes.collections for axes in canvas.axes)
