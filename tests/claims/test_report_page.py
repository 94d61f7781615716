"""The report is one well-formed page that loads nothing, runs nothing and shows hostile text as text."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")

from pruneproof.claims import Claim, Figure, Outcome, Paper, Scale, Store, Verdict, run
from pruneproof.claims.claim import Measured
from pruneproof.claims.estimates import Comparison, conclude, mean
from pruneproof.claims.papers import KEYS, LoadedPaper, load_papers
from pruneproof.claims.report.claim_section import WHOLE, Pictures, claim_section
from pruneproof.claims.report.document import MEANINGS, page
from pruneproof.claims.report.markup import SIGNS, badge, prose
from pruneproof.claims.report.picture import INK, picture
from pruneproof.claims.verification import judge as judge_rows

HOSTILE = """<script>alert("1")</script> & 'quotes' </style> $x<y$ ]]> <img src=x onerror=alert(1)>"""
RECORD = {"started": "2026-01-01", "command": HOSTILE, "environment": {"source": HOSTILE, "python": "3"}}


def measure(cell: dict[str, Any]) -> list[dict[str, Any]]:
    if cell.get("fails"):
        raise ValueError(HOSTILE)
    return [{"x": x, "y": x * x, "note": HOSTILE} for x in range(4)]


def judge(rows: list[dict[str, Any]]) -> Outcome:
    measured = {HOSTILE: HOSTILE, "slope": mean([1.0, 0.5, 1.5]), "one": mean([1.0]), "none": None}
    return Outcome(
        Verdict.HOLDS, measured, (0, 1), HOSTILE, [{HOSTILE: HOSTILE, "y": 1.5, "ci": mean([1.0, 0.0, 2.0])}]
    )


def figures(rows: list[dict[str, Any]]) -> list[Figure]:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([row["x"] for row in rows], [row["y"] for row in rows], label="values")
        axes.fill_between([0, 1], [0, 1], alpha=0.3)
        axes.set_title("a $b^2$ & <c>")
        axes.legend()

    return [Figure(HOSTILE, HOSTILE, draw), Figure("second", "caption", draw)]


def undrawable(rows: list[dict[str, Any]]) -> list[Figure]:
    raise KeyError("no column of that name")


def claim(name: str, **others: Any) -> Claim:
    given: dict[str, Any] = {"grid": lambda scale, seeds: [{}], "judge": judge, "says_not": HOSTILE, **others}
    return Claim(name, HOSTILE, HOSTILE, HOSTILE, measure, paper="p", **given)


@pytest.fixture(scope="module")
def html() -> Iterator[str]:
    claims = (
        claim("ONE", figures=figures, theorem=True),
        claim("TWO", figures=figures),
        claim("THREE", grid=lambda scale, seeds: [{"fails": True}]),
        claim("FOUR", figures=undrawable),
    )
    chapter = LoadedPaper(Paper("p", HOSTILE, HOSTILE, 2026, "1234.5678"), claims)
    with Store(":memory:") as store, ThreadPoolExecutor(1) as pool:
        yield page((chapter,), run(claims, Scale.QUICK, store, pool), store, RECORD)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Tags()
    reader.feed(html)
    return reader.seen


def test_the_page_is_well_formed(html: str) -> None:
    ElementTree.fromstring(html.partition("\n")[2])  # every element closed, every ampersand escaped
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(html.partition("\n")[2].replace("</article>", "", 1))


def test_the_page_loads_and_runs_nothing(html: str) -> None:
    found = tags(html)
    assert {tag for tag, _ in found} & {"script", "link", "iframe", "object", "embed", "img", "base", "form"} == set()
    for _, attributes in found:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        target = attributes.get("href")
        assert target is None or target.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"@import|url\((?!#)", html)
    assert "http:" not in html and "https:" not in html


def test_hostile_text_is_shown_as_text(html: str) -> None:
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in html
    assert html.count("</style>") == 1


def test_every_id_is_unique_and_every_reference_has_one(html: str) -> None:
    found = tags(html)
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {str(attributes["href"])[1:] for _, attributes in found if str(attributes.get("href")).startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", html))
    assert wanted <= set(ids)


def test_a_picture_has_a_name_and_follows_the_colour_scheme(html: str) -> None:
    pictures = [attributes for tag, attributes in tags(html) if tag == "svg"]
    assert len([one for one in pictures if one.get("class") == "picture"]) == 4
    assert all(one.get("role") == "img" and one.get("aria-label") for one in pictures)
    drawn = picture(figures([{"x": 0, "y": 0}, {"x": 1, "y": 2}])[1], "name")
    assert INK not in drawn and "#000000" not in drawn and "currentColor" in drawn and "var(--c0)" in drawn
    assert "prefers-color-scheme: dark" in html


def test_headings_go_down_one_step_at_a_time(html: str) -> None:
    levels = [int(tag[1]) for tag, _ in tags(html) if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_what_failed_is_on_the_page(html: str) -> None:
    assert "1 of 1 cells failed" in html
    assert "The pictures could not be drawn" in html and "no column of that name" in html


def section_of(outcome: Outcome, **others: Any) -> str:
    asked = claim("ASKED", judge=lambda rows: outcome, **others)
    with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        return claim_section(run([asked], Scale.QUICK, store, executor)[0], [], Pictures([], ""))


@pytest.mark.parametrize(
    ("rows", "folded", "shown"), [(6, False, 6), (7, True, 7), (WHOLE, True, WHOLE), (WHOLE + 1, True, 6)]
)
def test_only_a_long_table_waits_to_be_asked_and_a_longer_one_is_cut(rows: int, folded: bool, shown: int) -> None:
    section = section_of(Outcome(Verdict.HOLDS, {}, (0,), "scope", [{"x": x} for x in range(rows)]))
    assert ("<summary>Figures in detail" in section) is folded
    table = section[section.index("<thead>") :]
    assert table.count("<tr>") == 1 + shown
    assert (f"{rows - shown} more rows follow from those in results.sqlite" in section) is (shown < rows)


def test_what_is_judged_has_a_bar_from_limit_to_limit_on_the_range_that_is_asked_for() -> None:
    judged = Comparison("judged", mean([1.0, 2.0, 3.0]), above=0.0)
    measured: Measured = {"judged": judged.estimate, "printed": mean([1.0, 2.0, 3.0]), "one": mean([1.0])}
    section = section_of(conclude([judged, Comparison("one", mean([1.0]), above=0.0)], (0, 1, 2), "scope", measured))
    (style,) = re.findall(r'<td style="([^"]*)">', section)
    places = {name: float(value) for name, value in re.findall(r"--(\w):(\S+?)(?:;|$)", style)}
    assert set(places) == {"a", "v", "b", "l"} and places["a"] < places["l"] < places["v"] < places["b"]
    low, high = judged.estimate.low, judged.estimate.high
    assert abs((places["l"] - places["a"]) / (places["b"] - places["a"]) - (0 - low) / (high - low)) < 0.02
    assert "a bar is judged" in section
    assert "a bar is judged" not in section_of(Outcome(Verdict.HOLDS, measured, (0,), "scope"))


def test_symbols_are_explained_below_the_statement() -> None:
    section = section_of(Outcome(Verdict.HOLDS, {}, (0,), "scope"), symbols="$k$ is a number.")
    assert section.index("Here <math") < section.index("is a number.") < section.index("Source")
    assert 'class="where"' not in section_of(Outcome(Verdict.HOLDS, {}, (0,), "scope"))


def test_every_verdict_has_a_badge_and_a_meaning() -> None:
    assert set(SIGNS) == set(MEANINGS) == set(Verdict)
    assert len({sign for sign, _ in SIGNS.values()}) == len(Verdict)
    assert all(str(verdict) in badge(verdict) for verdict in Verdict)


@pytest.mark.parametrize(
    "formula",
    [r"\ell(u_k) \le \frac{2V}{k}", r"\lVert x\rVert_2", r"\hat\varepsilon(\rho) \ge \tfrac12", r"A \implies B", "x<y"],
)
def test_a_formula_is_drawn_and_keeps_its_tex(formula: str) -> None:
    drawn = prose(f"so ${formula}$.")
    element = ElementTree.fromstring(f"<p>{drawn}</p>").find("math")
    assert element is not None and element.get("alttext") == formula
    assert "".join(element.itertext()).strip()


def test_what_cannot_be_drawn_is_shown_as_tex() -> None:
    assert prose(r"so $\nosuch<$.") == 'so <code class="tex">\\nosuch&lt;</code>.'
    assert prose("a $ alone") == "a $ alone"


@pytest.mark.parametrize("key", KEYS)
def test_every_formula_of_the_shipped_claims_is_drawn(key: str) -> None:
    for one in load_papers((key,))[0].claims:
        for text in (one.statement, one.criterion, one.source, one.says_not, one.symbols):
            assert '<code class="tex">' not in prose(text), f"{one.id}: {text}"


@pytest.fixture(scope="module")
def interrupted() -> str:
    """One claim whose three cells were computed, one of which none of five was."""
    done, untouched = (
        claim(
            name,
            grid=lambda *_, n=n: [{"n": i} for i in range(n)],
            judge=lambda rows: Outcome(Verdict.HOLDS, {}, (0,), ""),
        )
        for name, n in (("X1", 3), ("X2", 5))
    )
    with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        results = run([done], Scale.QUICK, store, executor)
        record = {"paper": "p", "statement": HOSTILE, "source": HOSTILE, "criterion": HOSTILE}
        store.register("X2", record | {"scale": "quick", "cells": 5}, [f"{number:032x}" for number in range(5)])
        results.append(judge_rows(untouched, store))
        return page((LoadedPaper(Paper("p", "t", "a", 2026), (done, untouched)),), results, store, {})


def row_of(html: str, name: str) -> str:
    found = re.search(rf"<tr>(?:(?!</tr>).)*#{name}.*?</tr>", html, re.DOTALL)
    assert found is not None
    return found.group()


def test_an_interrupted_run_has_a_headline_that_says_so(interrupted: str) -> None:
    text = re.sub(r"<[^>]+>", " ", interrupted[interrupted.index("<body>") :])
    assert "INCOMPLETE: 3 of 8 cells" in text[: text.index("Verdicts")]


def test_a_claim_without_cells_has_no_verdict(interrupted: str) -> None:
    row = row_of(interrupted, "X2")
    assert "not run (0 of 5 cells)" in row and "inconclusive" not in row


def test_a_verdict_says_its_scale(interrupted: str) -> None:
    assert "holds at scale quick" in row_of(interrupted, "X1")


def test_every_verdict_that_occurs_can_be_shown_alone(interrupted: str) -> None:
    shown = {str(attributes["id"]) for tag, attributes in tags(interrupted) if tag == "input"}
    assert shown == {"show-all", "show-holds", "show-unrun"}
    assert all(f"#{name}:checked" in interrupted for name in shown - {"show-all"})


@pytest.mark.parametrize("key", KEYS)
def test_every_paper_advises_for_every_verdict_that_its_claim_can_reach(key: str) -> None:
    (loaded,) = load_papers((key,))
    claims = {one.id: one for one in loaded.claims}
    assert loaded.paper.advice and loaded.paper.deviations
    for name, sentences in loaded.paper.advice.items():
        theorem = {Verdict.HOLDS, Verdict.VIOLATED}
        observed = {Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE}
        assert set(sentences) == (theorem if claims[name].theorem else observed)
        assert len(set(sentences.values())) == len(sentences)


def advised(verdict: Verdict) -> str:
    """The first screen of a paper with a sentence for each verdict on a claim, and on one that was not run."""
    sentences = {each: f"sentence {each.name}" for each in Verdict}
    paper = Paper("p", "t", "a", 2026, advice={"X1": sentences, "X2": sentences}, deviations=("smaller networks",))
    done = claim("X1", theorem=True, judge=lambda rows: Outcome(verdict, {}, (0,), "scope"))
    failing = claim("X2", grid=lambda *_: [{"fails": True}])
    with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        results = run([done, failing], Scale.QUICK, store, executor)
        return page((LoadedPaper(paper, (done, failing)),), results, store, {})


@pytest.mark.parametrize("verdict", Verdict)
def test_the_advice_is_that_of_the_verdict_and_of_no_other(verdict: Verdict) -> None:
    html = advised(verdict)
    assert re.findall("sentence ([A-Z_]+)", html) == [verdict.name]  # nothing is advised for what was not run
    assert html.index(f"sentence {verdict.name}") < html.index("<h2>Verdicts")
    assert "smaller networks" in html


def on_images(name: str, n: int, data: str | None) -> Claim:
    cells = [{"n": i} | ({"data": data} if data else {}) for i in range(n)]
    return claim(name, grid=lambda *_: cells, judge=lambda rows: Outcome(Verdict.HOLDS, {}, (0,), ""))


def measured_on_two_sets() -> tuple[list[Claim], str]:
    digits, other = "digits (1437 + 360 images, SHA-256 aa11)", "MNIST (60000 + 10000 images, SHA-256 bb22)"
    claims = [
        on_images("X1", 2, digits),
        on_images("X2", 3, digits),
        on_images("X3", 1, other),
        on_images("X4", 1, None),
    ]
    seconds: dict[str, float] = {}
    with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        results = run(claims, Scale.QUICK, store, executor, timed=seconds.__setitem__)
        assert len(seconds) == 5  # X1's two cells are among X2's
        record = {"cpu_seconds": {key: 60.0 for key in seconds}, "started": "2026-01-01", "environment": {}}
        return claims, page((LoadedPaper(Paper("p", "t", "a", 2026), tuple(claims)),), results, store, record)


def test_data_sets_are_printed_by_claim_and_in_the_environment() -> None:
    _, html = measured_on_two_sets()
    digits, other = "digits (1437 + 360 images, SHA-256 aa11)", "MNIST (60000 + 10000 images, SHA-256 bb22)"
    section = {
        name: html[html.index(f'<article class="claim" id="{name}"') :].partition("</article>")[0]
        for name in ("X1", "X3", "X4")
    }
    assert digits in section["X1"] and other in section["X3"] and "images, SHA-256" not in section["X4"]
    environment = html[html.index('id="data"') :]
    assert re.search(rf"{re.escape(digits)}.*?X1, X2.*?{re.escape(other)}.*?X3", environment, re.DOTALL)


def test_the_cpu_time_of_shared_cells_is_counted_once() -> None:
    _, html = measured_on_two_sets()
    table = html[html.index('id="cpu"') :].partition("</table>")[0]
    times = re.findall(r"<td[^>]*>([^<]*)</td>(?=</tr>)", table)
    assert times == ["2.0 min", "1.0 min", "1.0 min", "1.0 min", "5.0 min"]


def test_the_page_begins_with_what_the_whole_run_cost() -> None:
    _, html = measured_on_two_sets()
    assert "5.0 min of processor time" in html[: html.index("<h2>Verdicts")]


def test_the_page_says_how_to_cite_as_the_citation_file_does(html: str) -> None:
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8")
    (author,) = re.findall(r"- name: (.*)", citation)
    assert f"author = {{{{{author}}}}}" in html and 'id="cite"' in html


def test_one_seed_is_shown_without_an_interval(html: str) -> None:
    assert "no interval (one seed)" in html and "nan" not in re.sub(r"<[^>]+>", " ", html)
