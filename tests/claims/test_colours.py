"""No colour stands for two things in a picture: every figure of every claim, from the rows of the published run.

Series of one axes that differ in their label differ in colour; or in line, marker or hatching, and then the caption
says what that means. A label has one colour in all panels of a picture.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from pyarrow import parquet

from pruneproof.claims.claim import Claim, Figure, Scale
from pruneproof.claims.data.images import brought_label
from pruneproof.claims.data.root import VARIABLE
from pruneproof.claims.engine.cell import Row, task
from pruneproof.claims.papers import load_papers
from pruneproof.claims.pretraining.pt5_digits import BROUGHT_SIZES
from pruneproof.claims.report.picture import picture
from tests.claims.idx_files import write_idx
from tests.claims.simulated.referee import SIMULATED

ROWS = Path(__file__).parents[2] / "docs" / "results" / "standard" / "rows.parquet"
STYLES = ("solid", "dashed", "dotted", "dash-dotted", "hatched", "open", "circle", "cross", "triangle", "square")
CLAIMS = [claim for paper in load_papers() for claim in paper.claims if claim.figures is not None]
Look = tuple[str, tuple[Any, ...]]  # colour, and what else a series may be told by


@cache
def published_rows() -> dict[str, list[Row]]:
    """Measure → rows, lists and mappings read from their text."""
    found: dict[str, list[Row]] = {}
    for row in parquet.read_table(ROWS).to_pylist():
        found.setdefault(row["measure"], []).append({name: read(value) for name, value in row.items()})
    return found


def read(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What cells call the images that a user brings; here they are noise, and stand for those of the published run."""
    folder = write_idx(tmp_path_factory.mktemp("images"), 0, train=max(BROUGHT_SIZES[Scale.STANDARD]), side=28)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(VARIABLE, str(folder))
        yield str(brought_label())


def rows_of(claim: Claim, brought: str) -> list[Row]:
    """The published rows of a claim's cells; simulated ones where its cells were changed or added since."""
    stored = [
        row | {"data": brought} if str(row["data"]).startswith("Fashion-MNIST") else row
        for row in published_rows().get(task(claim.measure, {}).measure, [])
    ]
    cells = claim.grid(Scale.STANDARD, None)
    wanted = {
        names: {_text(each, names) for each in cells if tuple(sorted(each)) == names}
        for names in {tuple(sorted(cell)) for cell in cells}
    }
    found = [row for row in stored if any(_text(row, names) in own for names, own in wanted.items())]
    return found or SIMULATED[claim.id].rows["true"](np.random.default_rng(0))


def _text(row: Row, names: tuple[str, ...]) -> str:
    return json.dumps([row.get(name) for name in names])


def look(handle: Any) -> Look:
    if isinstance(handle, ErrorbarContainer):
        return look(handle[0])
    if isinstance(handle, BarContainer):
        return to_hex(handle.patches[0].get_facecolor()), (handle.patches[0].get_hatch(),)
    if isinstance(handle, Line2D):
        style = handle.get_linestyle(), handle.get_marker(), str(handle.get_markerfacecolor()) == "none"
        return to_hex(handle.get_color()), style
    colours = np.atleast_2d(handle.get_facecolor() if len(handle.get_facecolor()) else handle.get_edgecolor())
    return to_hex(colours[0]), (handle.get_hatch(), type(handle).__name__)


def looks(figure: Figure) -> list[dict[str, Look]]:
    """Label → look, one mapping per axes, as the report draws the figure."""
    seen: list[dict[str, Look]] = []

    def of(axes: Axes) -> dict[str, Look]:
        return {label: look(handle) for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}

    def recording(canvas: Canvas) -> None:
        figure.draw(canvas)
        seen.extend(of(axes) for axes in canvas.axes)

    picture(Figure(figure.title, figure.caption, recording), "case")
    return seen


def clashes(panels: Sequence[dict[str, Look]], caption: str) -> list[str]:
    """Pairs of labels that a reader takes for each other, and labels with two colours."""
    explained = any(word in caption.lower() for word in STYLES)
    found: list[str] = []
    colours: dict[str, str] = {}
    for series in panels:
        for label, (colour, style) in series.items():
            if colours.setdefault(label, colour) != colour:
                found.append(f"{label} is {colours[label]} and {colour}")
            for other, (same, its) in series.items():
                if other < label and colour == same and (style == its or not explained):
                    found.append(f"{other} and {label} are {colour}")
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_no_colour_is_used_twice(claim: Claim, brought: str) -> None:
    assert claim.figures is not None
    rows = rows_of(claim, brought)
    for figure in claim.figures(rows):
        assert not clashes(looks(figure), figure.caption), figure.title


def drawn(*styles: str, colour: str = "C0", caption: str = "") -> list[str]:
    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for index, style in enumerate(styles):
            axes.plot([0, 1], [0, index], style, color=colour if index else "C0", label=f"series {index}")
        axes.legend()

    return clashes(looks(Figure("two", caption, draw)), caption)


def test_two_series_of_one_colour_are_seen() -> None:
    assert drawn("-", "-") == ["series 0 and series 1 are #0072b2"]
    assert drawn("-", "-", colour="C6")  # the palette has six colours
    assert not drawn("-", "-", colour="C1")
    assert drawn("-", "--") and not drawn("-", "--", caption="Dashed: something else.")


def test_a_label_of_two_colours_is_seen() -> None:
    assert clashes([{"a": ("#000000", ())}, {"a": ("#ffffff", ())}], "") == ["a is #000000 and #ffffff"]
