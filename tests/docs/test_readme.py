"""The README is true: its Python runs, its commands and options exist, its links lead somewhere."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from pruneproof.claims.report.published import published

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    lines = "\n".join(_blocks("console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    promised = re.findall(r"#> (.*)", block)  # `print(x)  #> what it prints`
    assert ran.stdout.splitlines()[: len(promised)] == promised


@pytest.mark.parametrize("command", [line for line in _commands() if line.startswith("pruneproof ")])
def test_commands_and_their_options_exist(command: str) -> None:
    _, name, *arguments = command.split()
    ran = subprocess.run([sys.executable, "-m", "pruneproof.cli", name, "--help"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    missing = [word for word in arguments if word.startswith("--") and word.split("=")[0] not in ran.stdout]
    assert missing == []


@pytest.mark.parametrize("command", [line for line in _commands() if line.startswith("pruneproof bound ")])
def test_bounds_evaluate(command: str) -> None:
    arguments = command.split()[1:]
    ran = subprocess.run([sys.executable, "-m", "pruneproof.cli", *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [word for line in _commands() if line.startswith("make ") for word in line.split()[1:2]]
    assert targets
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")) + re.findall(
        r'src="([^"]+)"', page.read_text("utf-8")
    )
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len(README.splitlines()) <= 150


PUBLISH = runpy.run_path(str(ROOT / "docs" / "results" / "publish.py"))


def test_the_picture_shows_the_committed_run() -> None:
    assert PUBLISH["draw"]() == PUBLISH["PICTURE"].read_text("utf-8")


def test_the_table_of_results_has_the_verdicts_of_the_committed_report() -> None:
    rows = PUBLISH["verdicts"]()
    page = (PUBLISH["FOLDER"] / "index.html").read_text("utf-8")
    summary = page[page.index('<table class="verdicts"') :].partition("</table>")[0]  # one row per claim
    badges = r'href="#([A-Z]+\d+)".*?class="badge[^"]*">(?:<span[^>]*>[^<]*</span>)?\s*([^<]+)<'
    reported = dict(re.findall(badges, summary, re.DOTALL))
    table = {claim.partition(" ")[0]: verdict for claim, _, verdict in rows}
    assert len(table) >= 32
    assert table == reported == {name: each["label"] for name, each in published()["verdicts"].items()}


def test_a_published_run_has_pages_and_rows_of_a_size_that_loads() -> None:
    """The run of version 0.1.0 was published without its rows, and before its page was looked at for size."""
    assert published()["started"] == "2026-11-20 14:14 UTC" or PUBLISH["too_large"]() == []
