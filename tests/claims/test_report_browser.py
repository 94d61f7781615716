"""The page in a browser: nothing to scroll sideways on a phone, a filter that filters, colours that can be read."""

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="needs pruneproof[verify]")

from pruneproof.claims import Claim, Figure, Outcome, Paper, Scale, Store, Verdict, run
from pruneproof.claims.estimates import mean
from pruneproof.claims.papers import LoadedPaper
from pruneproof.claims.report import document
from pruneproof.claims.report.document import page

STYLE = (Path(document.__file__).parent / "templates" / "style.css").read_text("utf-8")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
LONG = "averyveryverylongnamewithoutanyplacetobreakitthatisseventycharacterslong_and_more"
PHONE = 390  # pixels


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light if scheme == "light" else dark))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_page(scheme: str) -> None:
    """4.5 for text and 3 for lines of pictures: the ratios that WCAG 2.1 asks for (1.4.3, 1.4.11)."""
    of = colours(scheme)
    for ground in ("paper", "raised"):
        for text in ("ink", "soft", "link", "good", "bad", "warn", "dull"):
            assert contrast(of[text], of[ground]) >= 4.5, (text, ground)
    for index in range(6):
        assert contrast(of[f"c{index}"], of["paper"]) >= 3, index
    assert len({of[f"c{index}"] for index in range(6)}) == 6
    assert contrast(of["rule"], of["paper"]) < 4.5  # what only separates would fail as text


def measure(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"x": x, "y": x * x} for x in range(4)]


def figures(rows: list[dict[str, Any]]) -> list[Figure]:
    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        axes[0].plot([row["x"] for row in rows], [row["y"] for row in rows], "o-", label=r"$t^*(m)$")
        axes[0].legend()

    return [Figure("wide", "two pictures side by side", draw)]


def written(folder: Path) -> Path:
    """A page with long words, wide tables, wide formulas, a picture, and two kinds of verdict."""
    wide = {f"{LONG} {index}": mean([1.0, 2.0, 4.0]) for index in range(3)}
    table = [{f"column {index}": 1234.5 for index in range(14)}]

    def claim(name: str, verdict: Verdict) -> Claim:
        outcome = Outcome(verdict, {**wide, "long": LONG}, tuple(range(200, 230)), LONG, table)
        statement = r"$\ell(u_k) \le \sqrt{\ell(\bar s)} + \sqrt{V/(2k)} + \frac{a+b+c+d+e+f+g+h+i+j+k+l+m}{2k} + " + (
            r"\sum_{i=1}^{n} x_i^2 + \sum_{i=1}^{n} y_i^2 + \sum_{i=1}^{n} z_i^2$ " + LONG
        )
        return Claim(
            name, statement, LONG, statement, measure, paper="p",
            grid=lambda scale, seeds: [{"data": f"digits (1437 + 360 images, SHA-256 {'ab' * 32})"}],
            judge=lambda rows: outcome, figures=figures,
        )  # fmt: skip

    claims = (claim("X1", Verdict.HOLDS), claim("X2", Verdict.INCONCLUSIVE), claim("X3", Verdict.HOLDS))
    seconds: dict[str, float] = {}
    with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        results = run(claims, Scale.QUICK, store, executor, timed=seconds.__setitem__)
        record = {"cpu_seconds": seconds, "command": LONG, "environment": {"source": LONG}}
        text = page((LoadedPaper(Paper("p", LONG, LONG, 2026), claims),), results, store, record)
    (folder / "page.html").write_text(text, "utf-8")
    return folder / "page.html"


PROBE = """<!DOCTYPE html><html><body><iframe src="page.html" style="width:%dpx;height:900px;border:0"></iframe>
<script>
window.onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const told = {width: page.documentElement.clientWidth, needed: page.documentElement.scrollWidth, shown: {}};
  const cells = [...page.querySelectorAll(".verdicts td:last-child")];
  told.cut = cells.filter(each => each.scrollWidth > each.clientWidth + 1).length;
  for (const name of ["all", "holds", "inconclusive"]) {
    page.getElementById("show-" + name).checked = true;
    const visible = [...page.querySelectorAll("article")].filter(each => each.offsetHeight > 0);
    told.shown[name] = visible.map(each => each.id);
  }
  document.body.textContent = JSON.stringify(told);
};
</script></body></html>"""


@pytest.mark.slow
def test_a_phone_scrolls_in_one_direction_and_the_filter_filters(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("needs a Chromium on the path")
    written(tmp_path)
    (tmp_path / "probe.html").write_text(PROBE % PHONE, "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    flags += ["--allow-file-access-from-files", "--dump-dom"]
    command = [BROWSER, *flags, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "probe.html").as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\{.*\}", ran.stdout.partition("<body>")[2], re.DOTALL)
    assert found is not None, ran.stdout[:1000] + ran.stderr[-1000:]
    told = json.loads(found.group())
    assert told["width"] == PHONE and told["needed"] <= PHONE and told["cut"] == 0  # badges are whole
    assert told["shown"] == {"all": ["X1", "X2", "X3"], "holds": ["X1", "X3"], "inconclusive": ["X2"]}
