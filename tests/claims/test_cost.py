"""How long a run will take: by what cells of the same kind took, in proportion to their sizes."""

from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims import Claim, Outcome, Scale, Store, Verdict
from pruneproof.claims.engine.cell import task
from pruneproof.claims.report import cost as module
from pruneproof.claims.report.cost import Cost, cost, rates
from pruneproof.cli import main

EPOCHS = {Scale.QUICK: 1, Scale.STANDARD: 10, Scale.FULL: 1000}


def measure(cell: dict[str, Any]) -> list[dict[str, Any]]:
    raise AssertionError("an estimate computes nothing")


def grid(scale: Scale, seeds: int | None) -> list[dict[str, Any]]:
    return [{"epochs": EPOCHS[scale], "seeds": [0, 1], "width": width} for width in (8, 32)]


def claim(name: str, network: str = "") -> Claim:
    def own(scale: Scale, seeds: int | None) -> list[dict[str, Any]]:
        return [cell | ({"network": network} if network else {}) for cell in grid(scale, seeds)]

    judged = Outcome(Verdict.HOLDS, {}, (), "")
    return Claim(name, "s", "n", "c", measure, paper="p", grid=own, judge=lambda rows: judged)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published run in which the cells of one claim took 16 and 64 seconds."""
    with Store(":memory:") as store:
        cells = [task(measure, cell) for cell in grid(Scale.STANDARD, None)]
        store.add((each, "[]") for each in cells)
        found = rates(store.answers(), {each.key: 2.0 * width for each, width in zip(cells, (8, 32), strict=True)})
    monkeypatch.setattr(module, "published", lambda: {"rates": found})


@pytest.mark.usefixtures("timed")
def test_the_estimate_is_in_proportion_to_the_sizes_and_counts_shared_cells_once() -> None:
    assert cost([claim("A")], Scale.STANDARD, None).hours == pytest.approx(80 / 3600)
    once, twice = cost([claim("A")], Scale.FULL, None), cost([claim("A"), claim("B")], Scale.FULL, None)
    assert once.hours == pytest.approx(8000 / 3600) and once == twice
    assert cost([claim("A"), claim("C", "vgg16")], Scale.FULL, None) == Cost(4, once.hours, unknown=2)


PAPER = """
from pruneproof.claims import Claim, Outcome, Paper, Verdict
from pathlib import Path

PAPER = Paper("own", "t", "a", 2026)
def measure(cell):
    return [{"value": 1.0}]
CLAIMS = (Claim("OK", "s", "n", "c", measure, paper="own", grid=lambda *_: [{"seed": 0}],
                judge=lambda rows: Outcome(Verdict.HOLDS, {}, (), "")),)
"""


def test_full_says_its_cost_first_and_asks_for_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "costly_paper.py").write_text(PAPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments = ["verify", "--paper", "costly_paper", "--workers", "2", "--scale", "full"]
    assert main(arguments) == 2
    assert "Pass --long" in capsys.readouterr().err and not (tmp_path / "report").exists()
    for hours, told, status in ((19.0, "9.5", 0), (21.0, "10.5", 2)):  # of processor time, on two processes
        monkeypatch.setattr("pruneproof.commands.verify.cost", lambda *_, h=hours: Cost(1, h, 0))
        assert main(arguments) == status
        assert f"scale full: 1 cells, about {told} hours on 2 processes" in capsys.readouterr().err
    assert main([*arguments, "--long"]) == 0
