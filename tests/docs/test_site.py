"""The documentation site builds without a warning, its links lead somewhere, and its formulas are typeset.

Tutorials are not executed here: `make docs` does that.
"""

import re
import runpy
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pruneproof.theory.theorems import obligations

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("prune", "kernels", "theory", "claims", "testing", "errors")
RAW_FORMULA = re.compile(r"\$[^$\s][^$]*\$|\\(?:frac|sqrt|le|ge|sum|left|begin)(?![a-z])|\\[(\[]")
VERBATIM = {"pre", "code", "script", "style", "annotation"}
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}


class Page(HTMLParser):
    """What a page links to, loads, anchors and says outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.prose: list[str] = []
        self.formulas = 0
        self._verbatim = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._verbatim += tag in VERBATIM
        self.formulas += tag == "math"
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if (tag, name) == ("a", "href") and value:
                self.links.append(value)
            if (tag, name) in LOADED and value:
                self.loaded.append(value)

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in VERBATIM

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self.prose.append(data)


def broken_links(pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing = not target.exists()
            if missing or (parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors):
                yield f"{path.name}: {link}"


def raw_formulas(page: Page) -> list[str]:
    return [found for text in page.prose for found in RAW_FORMULA.findall(text)]


def loads_from_the_network(page: Page) -> list[str]:
    return [link for link in page.loaded if urlsplit(link).netloc]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="needs pruneproof[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs"]
    command += ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer", "-d", str(folder / "trees")]
    ran = subprocess.run([*command, ".", str(folder / "html")], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    written = [path for path in site.rglob("*.html") if "_static" not in path.parts]  # there lie templates of the theme
    return {path.resolve(): Page(path.read_text("utf-8")) for path in written}


def test_internal_links_lead_to_files_and_anchors_that_exist(pages: dict[Path, Page]) -> None:
    assert len(pages) > 50
    assert list(broken_links(pages)) == []


def test_no_page_loads_anything_from_the_network(site: Path, pages: dict[Path, Page]) -> None:
    assert {str(path): found for path, page in pages.items() if (found := loads_from_the_network(page))} == {}
    sheets = [sheet.read_text("utf-8") for sheet in site.rglob("*.css")]
    assert not [sheet for sheet in sheets if re.search(r"(@import|url\()\s*['\"]?https?:", sheet)]


def test_formulas_are_typeset(pages: dict[Path, Page]) -> None:
    assert {str(path): found for path, page in pages.items() if (found := raw_formulas(page))} == {}
    assert sum(page.formulas for page in pages.values()) > 0


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_page(package: str, site: Path) -> None:
    listed = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    documented = {line.split(" ", 1)[0] for line in listed.splitlines()}
    extension = runpy.run_path(str(ROOT / "docs" / "_extensions" / "reference_pages.py"))
    names, modules = extension["members"](f"pruneproof.{package}")
    wanted = [f"pruneproof.{package}.{name}" for name in names]
    wanted += [extension["named"](f"pruneproof.{package}.{name}").__name__ for name in modules]
    assert [name for name in wanted if name not in documented] == []


def test_every_theorem_with_checked_steps_has_its_page(site: Path) -> None:
    pages = {path.stem: Page(path.read_text("utf-8")) for path in (site / "docs/reference/theorems").glob("*.html")}
    for theorem in {step.theorem for step in obligations()}:
        prose = "".join(pages[theorem.replace("'", "-region")].prose).replace("’", "'")
        assert "negative control" in prose
        assert [step.id for step in obligations(theorem) if step.id not in prose] == []


def test_the_checks_see_a_broken_link_a_raw_formula_and_a_remote_script(tmp_path: Path) -> None:
    """The negative control."""
    page = Page('<a href="gone.html">x</a><a href="#no">y</a><p>so $x^2$ and \\frac12</p><script src="//cdn/x.js">')
    assert len(list(broken_links({(tmp_path / "page.html").resolve(): page}))) == 2
    assert len(raw_formulas(page)) == 2
    assert loads_from_the_network(page) == ["//cdn/x.js"]
