"""`pruneproof verify`: what it prints, what it returns, what it leaves behind; papers of one's own are run by name."""

import json
import math
from pathlib import Path

import pytest

from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import KEYS, claim_ids, load_papers, papers_of, select_claims
from pruneproof.cli import main
from pruneproof.errors import InvalidValueError

PAPER = """
from pruneproof.claims.claim import Claim, Figure, Outcome, Paper, Verdict

PAPER = Paper("own", "A paper of one's own", "somebody", 2026)

def measure(cell):
    if cell.get("fails") == cell["seed"]:
        raise RuntimeError("this cell fails")
    return [{"value": cell["seed"] * 1.5}]

def grid(scale, seeds):
    return [{"seed": seed, "scale": str(scale)} for seed in range(seeds or 3)]

def failing(scale, seeds):
    return [{"seed": seed, "fails": 1} for seed in range(seeds or 3)]

def holds(rows):
    return Outcome(Verdict.HOLDS, {"mean": [1.0, 0.5, float("inf")], "n": len(rows)}, (0, 1, 2), "three seeds")

def violated(rows):
    return Outcome(Verdict.VIOLATED, {"worst": 2.0}, (0,), "seed 0")

def broken(rows):
    raise KeyError("no such column")

def claim(name, judge=holds, grid=grid, **others):
    return Claim(name, "$x$ holds", "source", "criterion", measure, paper="own", grid=grid, judge=judge, **others)

CLAIMS = (
    claim("OK"),
    claim("THEOREM", violated, theorem=True),
    claim("OBSERVATION", violated),
    claim("FAILING", grid=failing),
    claim("BROKEN", broken),
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_paper.py").write_text(PAPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*arguments: str) -> int:
    return main(["verify", "--paper", "own_paper", "--workers", "1", *arguments])


def test_json_has_every_field(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--claim", "OK", "--json", "--seeds", "2", "--scale", "standard") == 0
    (found,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {
        "id": "OK",
        "paper": "own",
        "source": "source",
        "statement": "$x$ holds",
        "criterion": "criterion",
        "theorem": False,
        "verdict": "holds",
        "measured": {"mean": [1.0, 0.5, "inf"], "n": 2},
        "seeds": [0, 1, 2],
        "scope": "three seeds",
        "says_not": "",
        "scale": "standard",
        "cells": 2,
        "missing": 0,
    }
    assert math.isfinite(json.loads((folder / "report" / "run.json").read_text())["seconds"])
    assert sorted(path.name for path in (folder / "report").iterdir()) == ["index.html", "results.sqlite", "run.json"]


def test_the_cpu_time_of_every_cell_is_written_down_and_kept_over_a_resumed_run(folder: Path) -> None:
    """Beside the results, not in them: equal seeds give equal contents of results.sqlite."""
    assert verify("--claim", "OK") == 0
    first = json.loads((folder / "report" / "run.json").read_text())["cpu_seconds"]
    with Store(folder / "report" / "results.sqlite") as store:
        assert sorted(first) == sorted(store.needed("OK"))
    assert all(0 <= seconds < 10 for seconds in first.values())
    (folder / "report" / "run.json").write_text(
        (folder / "report" / "run.json").read_text().replace(f'"{next(iter(first))}": ', f'"{next(iter(first))}": 1')
    )
    assert verify("--claim", "OK", "FAILING", "--resume") == 3
    later = json.loads((folder / "report" / "run.json").read_text())["cpu_seconds"]
    assert len(later) == 5 and later[next(iter(first))] >= 10  # what was there is kept; a failed cell has no time


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (("OK",), 0),
        (("OK", "THEOREM"), 1),
        (("THEOREM", "FAILING"), 1),
        (("OBSERVATION",), 3),
        (("FAILING",), 3),
        (("BROKEN", "OK"), 3),
    ],
)
def test_only_a_violated_theorem_gives_status_one(folder: Path, claims: tuple[str, ...], status: int) -> None:
    assert verify("--claim", *claims) == status


def test_what_raised_is_told_with_its_parameters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--claim", "FAILING", "BROKEN") == 3
    captured = capsys.readouterr()
    assert 'failed: own_paper:measure {"fails":1,"seed":1}' in captured.err
    assert "RuntimeError: this cell fails" in captured.err
    assert "KeyError: 'no such column'" in captured.err
    (failed,) = json.loads((folder / "report" / "run.json").read_text())["failed"]
    assert failed["error"] == "RuntimeError: this cell fails"
    page = (folder / "report" / "index.html").read_text()
    assert "this cell fails" in page and "no such column" in page


def test_proofs_that_raise_end_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("the prover is broken")

    monkeypatch.setattr("pruneproof.commands.verify.proofs_section", broken)
    assert verify("--claim", "THEOREM", "--claim", "OK", "--out", "run") == 1
    with Store(folder / "run" / "results.sqlite") as store:
        assert len([*store.rows("OK")]) == 3
    assert (folder / "run" / "index.html").exists()


def test_a_second_run_keeps_the_first_and_resume_continues_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--claim", "OK") == 0
    assert verify("--claim", "OK") == 0
    assert "kept the earlier results as report/results-1.sqlite" in capsys.readouterr().err
    assert verify("--claim", "BROKEN", "--resume") == 3
    assert not (folder / "report" / "results-2.sqlite").exists()
    page = (folder / "report" / "index.html").read_text()
    assert 'id="OK"' in page and 'id="BROKEN"' in page  # the report shows all that the results hold


def test_report_is_made_again_from_the_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--claim", "OK", "THEOREM") == 1
    page = folder / "report" / "index.html"
    before = page.read_text()
    page.unlink()
    assert main(["report", "--paper", "own_paper"]) == 0
    assert page.read_text() == before
    assert main(["report"]) == 0  # without the module the rows have nobody to judge them
    assert "not in the report: OK (of own: name its module with --paper)" in capsys.readouterr().err


def test_criteria_are_written_down_before_the_first_cell_and_keep_their_date(folder: Path) -> None:
    assert verify("--claim", "FAILING") == 3
    first = json.loads((folder / "report" / "run.json").read_text())["criteria"]["FAILING"]
    assert len(first["sha256"]) == 64 and first["fixed"].endswith("UTC")
    record = json.loads((folder / "report" / "run.json").read_text())
    record["criteria"]["FAILING"]["fixed"] = "2000-01-01 00:00 UTC"
    (folder / "report" / "run.json").write_text(json.dumps(record))
    assert verify("--claim", "FAILING", "OK", "--resume") == 3
    later = json.loads((folder / "report" / "run.json").read_text())["criteria"]
    assert later["FAILING"] == first | {"fixed": "2000-01-01 00:00 UTC"} and later["OK"]["fixed"] > "2000-01-02"


def test_rows_of_another_criterion_are_refused_by_resume_and_left_out_by_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify("--claim", "OK", "THEOREM") == 1
    with Store(folder / "report" / "results.sqlite") as store:
        store.register("OK", store.claims()["OK"] | {"criterion": "harder"}, store.needed("OK"))
    assert verify("--claim", "OK", "--resume") == 2
    assert "fixed before the run" in capsys.readouterr().err
    assert main(["report", "--paper", "own_paper"]) == 0
    assert "not in the report: OK (claim OK: its rows were gathered under another criterion" in capsys.readouterr().err
    page = (folder / "report" / "index.html").read_text()
    assert 'id="OK"' not in page and 'id="THEOREM"' in page


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--claim", "NONE"], "The claims are OK, THEOREM"),
        (["--seeds", "0"], "at least 1"),
        (["--data-root", "nowhere"], "is no folder"),
        (["--out", "own_paper.py"], "cannot be written"),
        (["--out", "own_paper.py/deep/er"], "cannot be written"),
    ],
)
def test_misuse_is_one_line_and_nothing_is_run(
    folder: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(*arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (folder / "report").exists()


def test_an_unknown_paper_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--paper", "no.such.paper"]) == 2
    assert main(["verify", "--paper", "json"]) == 2
    error = capsys.readouterr().err
    assert "The papers are pretraining" in error and error.count("\n") == 2
    assert main(["report", "--out", "no-such-folder"]) == 2


@pytest.mark.parametrize("key", KEYS)
def test_every_shipped_claim_belongs_to_its_paper_and_says_what_it_must(key: str) -> None:
    (loaded,) = load_papers((key,))
    assert loaded.paper.key == key
    assert tuple(claim.id for claim in loaded.claims) == claim_ids(key)
    for claim in loaded.claims:
        assert claim.paper == key
        assert claim.statement and claim.source and claim.criterion and claim.says_not, claim.id


def test_ids_are_unique_over_all_papers() -> None:
    claims = select_claims(load_papers(), ())
    assert len({claim.id for claim in claims}) == len(claims)
    with pytest.raises(InvalidValueError, match="two claims are called"):
        select_claims((load_papers()[0], load_papers()[0]), ())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--paper", "scaling", "--claim", "PT1"), "--claim: no claim of these papers is called PT1."),
        (("--claim", "SL1", "SL9", "X"), "called SL9 or X. Did you mean "),
        (("--claim", "SL1", "--out", "file/report"), "cannot be written"),
    ],
)
def test_misuse_is_refused_before_any_paper_is_imported(
    arguments: tuple[str, ...],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    monkeypatch.setattr("pruneproof.commands.verify.load_papers", lambda _: pytest.fail("imported"))
    assert main(["verify", *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_claims_without_papers_need_only_their_own() -> None:
    assert papers_of((), ("SL1", "LN2", "SL3")) == ("scaling", "label_noise")
    assert papers_of((), ()) == ()
    assert papers_of(("scaling", "pretraining"), ()) == ("scaling", "pretraining")
    assert papers_of(("own_paper",), ("OK",)) == ("own_paper",)  # only the module itself knows


def test_list_shows_every_claim_of_a_paper_and_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--list") == 0
    listed = capsys.readouterr().out
    assert all(f" {name} " in f" {listed} " for name in ("OK", "THEOREM", "OBSERVATION", "FAILING", "BROKEN"))
    assert "A paper of one's own" in listed
    assert not (folder / "report").exists()


def test_list_as_json_says_which_claims_are_theorems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--list", "--json", "--claim", "OK", "THEOREM") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["theorem"], row["paper"]) for row in rows] == [
        ("OK", False, "own"),
        ("THEOREM", True, "own"),
    ]
    assert all(row["statement"] and row["criterion"] for row in rows)
