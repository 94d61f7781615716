"""Pictures of the report are small and draw what matplotlib drew."""

import io
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")

import matplotlib
from matplotlib.figure import Figure as Canvas

from pruneproof.claims import Figure
from pruneproof.claims.report.drawing import short
from pruneproof.claims.report.picture import picture

POINTS, SERIES = 100, 4
NAMES = ["first $t^*(m) = a + b \\log m$", "second < & >", "third $x_0^2$", "fourth"]


def draw(figure: Any) -> None:
    axes = figure.subplots()
    places = range(1, POINTS + 1)
    for index in range(SERIES):
        heights = [place ** (index / 2) for place in places]
        axes.errorbar(places, heights, yerr=0.3, marker="o", label=NAMES[index])
    axes.set(xscale="log", yscale="log", xlabel=r"dataset size $m$", title="a $b^2$")
    axes.legend()


def as_drawn() -> str:
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "test"}):
        canvas, text = Canvas(figsize=(4.8, 3.2), layout="constrained"), io.StringIO()
        draw(canvas)
        canvas.savefig(text, format="svg")
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return re.sub(r"\s(?:xmlns(?::\w+)?|version)=\"[^\"]*\"", "", svg).replace("xlink:href", "href")


def moves(d: str) -> Iterator[tuple[float, float]]:
    """From mark to mark, the first from the origin: steps in any direction (l), to the side (h), up or down (v)."""
    for letter, text in re.findall(r"([Mlhv])([^A-Za-z]*)", d):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+(?:\.\d+)?|\.\d+)", text)]
        if letter in "Ml":
            yield from zip(numbers[::2], numbers[1::2], strict=True)
        else:
            yield from ((number, 0.0) if letter == "h" else (0.0, number) for number in numbers)


def marks(svg: str) -> list[tuple[float, float]]:
    """Where marks stand, wherever they stand more than once: `use` of a shape, or a corner with a marker."""
    found: list[tuple[float, float]] = []
    root = ElementTree.fromstring(svg)
    for each in root.iter("use"):
        found.append((float(each.get("x", "0")), float(each.get("y", "0"))))
    for each in root.iter("path"):
        if "marker:" in each.get("style", ""):
            steps = list(moves(each.get("d", "")))
            found += zip(accumulate(x for x, _ in steps), accumulate(y for _, y in steps), strict=True)
    for each in (*root.iter("path"), *root.iter("circle")):
        if place := re.fullmatch(r"translate\((\S+) (\S+)\)", each.get("transform", "")):
            found.append((float(place[1]), float(place[2])))
    return sorted(found)


def test_every_mark_stays_within_a_twentieth_of_a_point() -> None:
    before, after = marks(as_drawn()), marks(short(as_drawn()))
    assert len(before) == len(after) >= POINTS * SERIES
    assert all(near(mark, after) for mark in before)
    assert not all(near((x + 1.0, y), after) for x, y in before)


def near(mark: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    return any(abs(mark[0] - x) <= 0.051 and abs(mark[1] - y) <= 0.051 for x, y in others)


def test_every_reference_has_a_definition_and_texts_stay() -> None:
    drawn = short(as_drawn())
    ids = {each.get("id") for each in ElementTree.fromstring(drawn).iter() if each.get("id")}
    assert set(re.findall(r"url\(#([^)]*)\)", drawn)) <= ids
    assert "second &lt; &amp; &gt;" in drawn and "fourth" in drawn
    assert re.search(r'style="font(-style)?:oblique[^"]*">tmabm<', drawn)  # matplotlib 3.9 writes the shorthand
    assert ">10²</text>" in drawn and "<circle r=" in drawn


def test_a_picture_of_hundreds_of_marks_is_small() -> None:
    """A page of a standard run has some sixty pictures and may have 800 kB."""
    drawn = picture(Figure("title", "caption", draw), "X1-0")
    assert len(drawn) <= 30_000 and 3 * len(drawn) < len(as_drawn())
