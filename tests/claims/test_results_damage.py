"""Stored rows come back as they were stored or not at all; reading needs no right to write; runs can be merged."""

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from pruneproof.claims import Claim, Outcome, Verdict
from pruneproof.claims.engine.cell import Task
from pruneproof.claims.engine.merging import merge
from pruneproof.claims.engine.store import Store
from pruneproof.claims.verification import judge
from pruneproof.cli import main
from pruneproof.errors import FileAccessError, FileFormatError, PruneproofError, StateError

KEY = "{:032x}".format
CELLS = [(Task(KEY(i), "m:f", f'{{"x": {i}}}'), f'[{{"y": {i}, "note": "stored-{i:03}"}}]') for i in range(300)]
RECORD = {"paper": "p", "statement": "a statement", "source": "a source", "criterion": "no y above 300"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three hundred rows and a claim, as a run leaves them."""
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add(CELLS)
        store.register("X1", RECORD | {"scale": "quick", "cells": 300}, [task.key for task, _ in CELLS])
    return path


def export(results: Path) -> tuple[int, str]:
    out = results.with_name("rows.csv")
    out.unlink(missing_ok=True)
    status = main(["export", str(results), "--out", str(out)])
    return status, out.read_text() if out.exists() else ""


def replaced(results: Path, old: bytes, new: bytes) -> None:
    content = results.read_bytes()
    assert len(old) == len(new) and content.count(old) >= 1
    results.write_bytes(content.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"stored-123", b"stored-723"),  # a row
        (b'{"x": 123}', b'{"x": 723}'),  # a parameter
        (KEY(123).encode(), b"f" + KEY(123)[1:].encode()),  # a key, which is then out of its order
        (KEY(299).encode(), KEY(298).encode()),  # a key that is then there twice
    ],
)
def test_a_changed_cell_is_refused(results: Path, old: bytes, new: bytes) -> None:
    replaced(results, old, new)
    assert export(results) == (2, "")


def nothing(cell: dict[str, object]) -> list[dict[str, object]]:
    return []


def test_a_changed_criterion_is_refused(results: Path) -> None:
    replaced(results, b"no y above 300", b"no y above 900")
    claim = Claim("X1", "s", "n", "no y above 900", nothing, paper="p", grid=lambda *_: [], judge=lambda rows: Outcome(
        Verdict.HOLDS, {}, (), ""))  # fmt: skip
    with Store(results, reading=True) as store, pytest.raises(FileFormatError, match="claim X1"):
        judge(claim, store)


def test_a_changed_byte_anywhere_is_noticed_or_changes_nothing(results: Path) -> None:
    """Two hundred flips all over the file: refused, or exported as what was stored."""
    _, right = export(results)
    content, draw = results.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        results.write_bytes(damaged)
        status, rows = export(results)
        assert status == 2 or rows == right
        refused += status == 2
        for side in ("-wal", "-shm"):
            Path(f"{results}{side}").unlink(missing_ok=True)
    assert refused > 20  # so that the flips did hit something


def test_rows_are_read_where_nothing_can_be_written(results: Path) -> None:
    """A medium on which SQLite cannot make its side files."""
    (results.parent / "results.sqlite-shm").symlink_to("missing/file")  # as in a folder without the right to write
    status, rows = export(results)
    assert status == 0 and len(rows.splitlines()) == 301


def test_a_report_is_made_where_nothing_can_be_written(results: Path, tmp_path: Path) -> None:
    """The same medium: the page is written where the user says, and the rows stay as they are."""
    (results.parent / "results.sqlite-shm").symlink_to("missing/file")
    content, page = results.read_bytes(), tmp_path / "elsewhere" / "page.html"
    page.parent.mkdir()
    assert main(["report", "--out", str(results), "--page", str(page)]) == 0
    assert "<html" in page.read_text("utf-8") and not (results.parent / "index.html").exists()
    assert results.read_bytes() == content


ORPHANS = {
    "a key without its claim's place": "DELETE FROM asked WHERE position = 7",
    "a claim without any key": "DELETE FROM asked",
    "a key of no cell": "INSERT INTO asked VALUES ('X1', 300, 'ffff')",
    "a key of another cell": "UPDATE asked SET key = 'ffff' WHERE position = 7",
}
CLAIM = Claim("X1", "s", "n", RECORD["criterion"], nothing, paper="p", grid=lambda *_: [], judge=lambda rows: Outcome(
    Verdict.HOLDS, {}, (), f"{len(rows)} rows"))  # fmt: skip


def orphaned(results: Path, statement: str) -> Store:
    connection = sqlite3.connect(results, isolation_level=None)
    assert connection.execute(statement).rowcount > 0
    connection.close()
    return Store(results, reading=True)


@pytest.mark.parametrize("kind", ORPHANS)
def test_a_claim_whose_keys_are_others_is_refused(results: Path, kind: str) -> None:
    with orphaned(results, ORPHANS[kind]) as store, pytest.raises(FileFormatError, match="claim X1"):
        judge(CLAIM, store)


def test_keys_without_their_claim_are_no_claim(results: Path) -> None:
    with orphaned(results, "DELETE FROM claims") as store, pytest.raises(StateError, match="claim X1 was not run"):
        judge(CLAIM, store)


def test_a_lost_cell_is_counted(results: Path) -> None:
    """A claim whose cells are not all there holds of nothing; with all of them it does."""
    with Store(results, reading=True) as store:
        assert judge(CLAIM, store).outcome.verdict is Verdict.HOLDS
    with orphaned(results, f"DELETE FROM cells WHERE key = '{KEY(7)}'") as store:
        outcome = judge(CLAIM, store).outcome
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.scope.startswith("1 of 300 cells have no rows") and outcome.scope.endswith("299 rows")


def test_rows_that_only_the_log_holds_are_not_passed_over(results: Path) -> None:
    """A killed run's log on such a medium: refused with the remedy, not exported without its last rows."""
    writer = sqlite3.connect(results, isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("DELETE FROM cells WHERE measure = 'm:f'")
    killed = results.parent / "killed"
    killed.mkdir()
    for name in ("results.sqlite", "results.sqlite-wal"):
        shutil.copy(results.with_name(name), killed / name)
    writer.close()
    (killed / "results.sqlite-shm").symlink_to("missing/file")
    with pytest.raises(FileAccessError, match="Copy both files"):
        Store(killed / "results.sqlite", reading=True)


@pytest.fixture
def earlier(results: Path) -> Path:
    """The same run as a version without digests left it."""
    connection = sqlite3.connect(results, isolation_level=None)
    connection.executescript(
        """DROP VIEW rows; DROP TABLE sources;
        CREATE TABLE c(key TEXT PRIMARY KEY, measure TEXT NOT NULL, cell TEXT NOT NULL, rows TEXT NOT NULL)
            WITHOUT ROWID;
        INSERT INTO c SELECT key, measure, cell, rows FROM cells; DROP TABLE cells; ALTER TABLE c RENAME TO cells;
        CREATE TABLE d(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
        INSERT INTO d SELECT id, record FROM claims; DROP TABLE claims; ALTER TABLE d RENAME TO claims;
        CREATE VIEW rows AS SELECT * FROM cells; PRAGMA user_version = 1;"""
    )
    connection.close()
    return results


def test_a_file_of_an_earlier_version_is_read_and_gets_digests_when_it_is_written(earlier: Path) -> None:
    before = earlier.read_bytes()
    status, rows = export(earlier)
    assert status == 0 and len(rows.splitlines()) == 301
    assert earlier.read_bytes() == before
    with Store(earlier) as store:
        assert len(store) == 300 and list(store.claims()) == ["X1"] and store.missing("X1") == 0
    assert export(earlier) == (0, rows)
    replaced(earlier, b"stored-123", b"stored-723")
    assert export(earlier) == (2, "")


def test_an_error_of_the_disk_is_told_and_not_one_that_follows_from_it(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full: the message is about that, also where the draft cannot be removed."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(Path, "unlink", full)
    assert main(["export", str(results), "--out", str(results.with_name("rows.csv"))]) == 2
    assert "No space left" in capsys.readouterr().err


def test_rows_are_not_exported_to_a_folder(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    for folder in (".", "..", str(results.parent)):
        assert main(["export", str(results), "--out", folder]) == 2
        assert "is a folder, and a file is to be written" in capsys.readouterr().err


def part(path: Path, numbers: range, **changes: object) -> Path:
    with Store(path) as store:
        store.add(CELLS[number] for number in numbers)
        record = RECORD | {"scale": "quick", "cells": 300} | changes
        store.register("X1", record, [task.key for task, _ in CELLS])
    return path


def test_the_runs_of_two_machines_become_one(tmp_path: Path) -> None:
    here, there = part(tmp_path / "here.sqlite", range(200)), part(tmp_path / "there.sqlite", range(150, 300))
    assert main(["merge", str(here), str(there), "--out", str(tmp_path / "both")]) == 0
    part(tmp_path / "alone.sqlite", range(300))
    contents = []
    for path in (tmp_path / "both" / "results.sqlite", tmp_path / "alone.sqlite"):
        connection = sqlite3.connect(path)
        contents.append(list(connection.iterdump()))
        connection.close()
    assert contents[0] == contents[1]


def test_runs_that_disagree_are_not_merged(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with Store(other) as store:
        store.add([(CELLS[0][0], '[{"y": 999}]')])
    for path in (
        other,
        part(tmp_path / "scale", range(3), scale="full"),
        part(tmp_path / "b", range(3), criterion="c"),
    ):
        with Store(part(tmp_path / f"{path.name}-mine", range(3))) as mine, Store(path, reading=True) as theirs:
            with pytest.raises(StateError):
                merge(mine, theirs)
            assert mine.answer(KEY(0)) == CELLS[0][1]


def test_a_damaged_run_is_not_merged(results: Path, tmp_path: Path) -> None:
    replaced(results, b"stored-123", b"stored-723")
    with Store(tmp_path / "mine") as mine, Store(results, reading=True) as theirs, pytest.raises(FileFormatError):
        merge(mine, theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        ["results.sqlite"],
        ["results.sqlite", "other.sqlite", "--out", "."],
        *(["results.sqlite", "other.sqlite", again] for again in ("results.sqlite", ".", "soft.sqlite", "hard.sqlite")),
    ],
)
def test_a_run_is_not_merged_with_itself(
    results: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    part(Path("other.sqlite"), range(3))
    Path("soft.sqlite").symlink_to("results.sqlite")
    Path("hard.sqlite").hardlink_to("results.sqlite")
    before = results.read_bytes()
    assert main(["merge", *arguments]) == 2
    assert capsys.readouterr().err.startswith("merge: ")
    assert results.read_bytes() == before and not Path("merged").exists()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_no_text_of_an_exported_row(text: str, tmp_path: Path) -> None:
    import csv
    import json

    with Store(tmp_path / "r") as store:
        store.add([(Task("0", "m:f", json.dumps({"x": -1})), json.dumps([{"y": text, text: -0.5}]))])
    assert main(["export", str(tmp_path / "r"), "--out", str(tmp_path / "rows.csv")]) == 0
    with (tmp_path / "rows.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {"measure": "m:f", "x": "-1", "y": f"'{text}", f"'{text}": "-0.5"}


def test_an_unreadable_store_raises_the_librarys_error(tmp_path: Path) -> None:
    with pytest.raises(PruneproofError):
        Store(tmp_path)
