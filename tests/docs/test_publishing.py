"""One command publishes a run: page, rows, table, picture, and the verdicts that installed copies know."""

import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")
pytest.importorskip("pyarrow", reason="needs pruneproof[verify]")

from pyarrow import parquet

from pruneproof.claims import Claim, Outcome, Paper, Scale, Store, Verdict, run
from pruneproof.claims.papers import LoadedPaper
from pruneproof.claims.report import published
from pruneproof.claims.verification import Result

PUBLISH = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "results" / "publish.py"))


def measure(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"value": cell["seed"] / 3}]


def claim(name: str, verdict: Verdict, **others: Any) -> Claim:
    return Claim(
        name,
        r"the norm $\|x\| | y$ is small",
        "s",
        f"criterion of {name}",
        measure,
        paper="p",
        grid=lambda scale, seeds: [{"seed": seed, "data": "digits (3 + 1 images, SHA-256 aa)"} for seed in range(40)],
        judge=lambda rows: Outcome(verdict, {"n": len(rows)}, (0,), "scope"),
        **others,
    )


CLAIMS = (claim("X1", Verdict.HOLDS), claim("X2", Verdict.HOLDS, theorem=True), claim("X3", Verdict.NOT_REPRODUCED))


def judged(scale: Scale, store: Store, seconds: dict[str, float] | None = None) -> list[Result]:
    timed = {} if seconds is None else seconds
    with ThreadPoolExecutor(1) as executor:
        return run(CLAIMS, scale, store, executor, timed=lambda key, _: timed.update({key: 90.0}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published run of three claims."""
    (tmp_path / "run").mkdir()
    seconds: dict[str, float] = {}
    with Store(tmp_path / "run" / "results.sqlite") as store:
        judged(Scale.STANDARD, store, seconds)
    record = {"started": "today", "environment": {"source": "abc"}, "cpu_seconds": seconds}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    (tmp_path / "README.md").write_text(f"before\n{PUBLISH['BEGIN']}\nan old table\n{PUBLISH['END']}\nafter\n")
    files = {"README": "README.md", "FOLDER": "standard", "FILE": "published.json"}
    for name, file in files.items():
        monkeypatch.setitem(PUBLISH["publish"].__globals__, name, tmp_path / file)
    loaded = LoadedPaper(Paper("p", "t", "a", 2026), CLAIMS)
    monkeypatch.setitem(PUBLISH["publish"].__globals__, "load_papers", lambda: (loaded,))
    PUBLISH["publish"](tmp_path / "run")
    return tmp_path


def test_everything_that_is_published_says_the_same(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "an old table" not in text
    assert "took 1.0 h of processor time" in text  # 40 cells of 90 seconds
    table = [("X1", "holds at scale standard"), ("X2 (theorem)", "holds"), ("X3", "not reproduced at this scale")]
    assert [(name, verdict) for name, _, verdict in PUBLISH["verdicts"]()] == table
    known = json.loads((folder / "published.json").read_text("utf-8"))
    assert [(name.split()[0], verdict) for name, verdict in table] == [
        (name, each["label"]) for name, each in known["verdicts"].items()
    ]
    assert known["source"] == "abc" and known["started"] == "today"
    assert parquet.read_table(folder / "standard" / "rows.parquet").num_rows == 40  # the claims share their cells


def test_what_is_too_large_is_named(folder: Path) -> None:
    assert PUBLISH["too_large"](folder / "standard") == []
    with (folder / "standard" / "index.html").open("a") as file:
        file.write(" " * 800_000)
    assert [each.partition(":")[0] for each in PUBLISH["too_large"](folder / "standard")] == ["index.html"]


def test_a_quick_verdict_has_the_published_one_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((folder / "published.json").read_text("utf-8"))
    content["verdicts"]["X3"]["criterion"] = "of another text"
    del content["verdicts"]["X2"]
    monkeypatch.setattr(published, "published", lambda: content)
    with Store(":memory:") as store:
        beside = [published.standard_verdict(result) for result in judged(Scale.QUICK, store)]
    assert beside == [
        "published run: holds at scale standard",
        "",
        "published run by an earlier criterion: not reproduced at this scale",
    ]
    with Store(":memory:") as store:
        assert {published.standard_verdict(result) for result in judged(Scale.STANDARD, store)} == {""}
