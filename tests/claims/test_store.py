"""The results file: equal contents for equal seeds, strangers and other versions refused, a full disk loses nothing."""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pruneproof.claims import Claim, Outcome, Scale, Store, Verdict, run
from pruneproof.claims.engine.cell import Task
from pruneproof.claims.engine.folder import replace_file, results_folder
from pruneproof.errors import PruneproofError


def measure(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"value": cell["seed"] / 7 + k} for k in range(3)]


def judge(rows: list[dict[str, Any]]) -> Outcome:
    return Outcome(Verdict.HOLDS, {"rows": len(rows)}, (), "")


def claim(seeds: range) -> Claim:
    return Claim(
        "A", "s", "n", "c", measure, paper="p", grid=lambda *_: [{"seed": seed} for seed in seeds], judge=judge
    )


def contents(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_contents_do_not_depend_on_the_order_of_work(tmp_path: Path, threads: Executor) -> None:
    for name, parts in (("forwards", [range(12)]), ("in parts", [range(7, 12), range(3), range(12)])):
        with Store(tmp_path / name) as store:
            for part in parts:
                run([claim(part)], Scale.QUICK, store, threads)
    assert contents(tmp_path / "forwards") == contents(tmp_path / "in parts")
    with Store(tmp_path / "others") as store:
        run([claim(range(1, 13))], Scale.QUICK, store, threads)
    assert contents(tmp_path / "forwards") != contents(tmp_path / "others")


def test_an_acknowledged_cell_is_never_replaced(tmp_path: Path) -> None:
    with Store(tmp_path / "r") as store:
        store.add([(Task("k", "m", "{}"), "[1]")])
        store.add([(Task("k", "m", "{}"), "[2]")])
        assert [rows for _, _, rows in store.cells()] == [[1]]


def test_the_rows_view_shows_every_row(tmp_path: Path, threads: Executor) -> None:
    with Store(tmp_path / "r") as store:
        run([claim(range(2))], Scale.QUICK, store, threads)
    connection = sqlite3.connect(tmp_path / "r")
    assert connection.execute("SELECT count(*), max(position) FROM rows").fetchone() == (6, 2)
    connection.close()


@pytest.mark.parametrize("schema", [0, 7])
@pytest.mark.parametrize("resume", [False, True])
def test_results_of_another_version_are_refused_and_left_alone(tmp_path: Path, schema: int, resume: bool) -> None:
    path = tmp_path / "results.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(f"CREATE TABLE cells(x); INSERT INTO cells VALUES (1); PRAGMA user_version = {schema};")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PruneproofError, match=rf"schema 2.*schema {schema}.*move it away") as caught:
        with results_folder(tmp_path, resume=resume):
            pass
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.sqlite"]


@pytest.mark.parametrize(
    "content", [b"no database, long enough for one " * 60, Random(0).randbytes(8192)], ids=("text", "noise")
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with pytest.raises(PruneproofError, match="not a database"), results_folder(tmp_path, resume=True):
        pass
    assert path.read_bytes() == content


def test_a_damaged_file_is_one_line(tmp_path: Path, threads: Executor) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        run([claim(range(400))], Scale.QUICK, store, threads)
        store.add([(Task("zz", "m", "{}"), "[{")])
        with pytest.raises(PruneproofError, match="Expecting property name"):
            list(store.cells())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PruneproofError, match="damaged: restore a copy"), Store(path) as store:
        list(store.cells())


def test_a_new_run_keeps_the_old_one_beside_it(tmp_path: Path, threads: Executor) -> None:
    for _ in range(3):
        with results_folder(tmp_path, resume=False) as store:
            assert len(store) == 0
            run([claim(range(2))], Scale.QUICK, store, threads)
    with results_folder(tmp_path, resume=True) as store:
        assert len(store) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "results-1.sqlite",
        "results-2.sqlite",
        "results.sqlite",
    ]
    assert contents(tmp_path / "results-1.sqlite") == contents(tmp_path / "results.sqlite")


def test_one_folder_has_one_writer(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="this system has no file locks")
    with results_folder(tmp_path, resume=False):
        for resume in (False, True):
            with pytest.raises(PruneproofError, match="another run"), results_folder(tmp_path, resume=resume):
                pass
    with results_folder(tmp_path, resume=True):
        pass


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PruneproofError, match="cannot be written"), results_folder(folder, resume=False):
            pass

    def denied(*_: object) -> bool:
        return False

    monkeypatch.setattr(os, "access", denied)  # root may write anywhere, so ask as somebody else
    with pytest.raises(PruneproofError, match="read-only"), results_folder(tmp_path, resume=False):
        pass


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    big = '["' + "x" * 20_000 + '"]'
    with Store(tmp_path / "r") as store:
        store._connection.execute("PRAGMA max_page_count = 30")  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(PruneproofError, match=r"full\. Free some space and run again with --resume"):
            for number in range(100):
                store.add([(Task(f"{number:03}", "m", "{}"), big)])
        kept = len(store)
    assert kept > 0
    with Store(tmp_path / "r") as store:
        assert len(store) == kept


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page"
    replace_file(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PruneproofError, match="No space left"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["page"]


def test_reading_streams(tmp_path: Path) -> None:
    with Store(tmp_path / "r") as store:
        store.add((Task(f"{number:05}", "m", f'{{"x":{number}}}'), "[{}]") for number in range(500))
        assert [cell["x"] for _, cell, _ in islice(store.cells(), 3)] == [0, 1, 2]


def test_the_rows_view_shows_what_sqlite_cannot_read(tmp_path: Path) -> None:
    with Store(tmp_path / "r") as store:
        store.add([(Task("a", "m", "{}"), '[{"y":NaN},{"y":1}]'), (Task("b", "m", "{}"), '[{"y":2},{"y":3}]')])
    connection = sqlite3.connect(tmp_path / "r")
    shown = connection.execute("SELECT key, position, row FROM rows ORDER BY key, position").fetchall()
    connection.close()
    assert shown == [("a", 0, '[{"y":NaN},{"y":1}]'), ("b", 0, '{"y":2}'), ("b", 1, '{"y":3}')]


def test_an_earlier_view_is_replaced_and_the_rows_are_kept(tmp_path: Path, threads: Executor) -> None:
    for name in ("new", "old"):
        with Store(tmp_path / name) as store:
            run([claim(range(2))], Scale.QUICK, store, threads)
    connection = sqlite3.connect(tmp_path / "old")
    connection.executescript("DROP VIEW rows; CREATE VIEW rows AS SELECT * FROM cells;")
    connection.close()
    Store(tmp_path / "old", reading=True).close()
    assert contents(tmp_path / "old") != contents(tmp_path / "new")
    Store(tmp_path / "old").close()
    assert contents(tmp_path / "old") == contents(tmp_path / "new")
