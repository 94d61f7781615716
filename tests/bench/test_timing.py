"""A benchmark's row survives a machine without git, and a kill while it is written."""

from pathlib import Path

import pytest

from bench import timing
from bench.session import SessionError, replace_json


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert timing.machine()["commit"] == "unknown"


def test_outside_of_a_repository_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timing, "__file__", str(tmp_path / "timing.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert timing.commit() == "unknown"


def test_rows_of_other_cases_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    times = {"ours": timing.Timing(1.0, 0.9, 1.1)}
    for size in (1, 2, 2):
        row = timing.record("op", {"size": size}, times, ratio=3)
    assert row["seconds"]["ours"]["median"] == 1.0
    (file,) = tmp_path.glob("*/op.json")
    assert file.read_text().count('"size"') == 2 and not list(tmp_path.glob("*/*.new"))


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text("{}")
    (tmp_path / "table.json.new").mkdir()  # in the way of the new content
    with pytest.raises(SessionError, match="as it was"):
        replace_json(file, {"a": 1})
    assert file.read_text() == "{}"
