"""Reading a run changes nothing, sees one moment of it, and comes in the order of the parameters."""

import csv
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims.engine.cell import Task, canonical, sort_key
from pruneproof.claims.engine.export import Format, export_rows
from pruneproof.claims.engine.store import Store
from pruneproof.cli import main
from pruneproof.errors import PruneproofError


def cell(number: int, parameters: dict[str, Any], rows: str = '[{"y":1}]') -> tuple[Task, str]:
    return Task(f"{number:04}", "m:f", canonical(parameters)), rows


NUMBERS = [-1e300, -2, -1.5, 0, 0.1, 9, 10, 10.5, 2**70]
TEXTS = ["", "10", "9", "a", "a\0", "ab"]
LISTS = [[], [9], [9, 1], [10], ["9"]]


@pytest.mark.parametrize("values", [[None, *NUMBERS, *TEXTS, *LISTS, {"a": 1}, {"a": 2}, {"b": 0}], [False, True]])
def test_cells_are_in_the_order_of_their_parameters(values: list[Any]) -> None:
    texts = [canonical({"x": value}) for value in values]
    shuffled = random.Random(4).sample(texts, len(texts))
    assert sorted(shuffled, key=sort_key) == texts


def test_the_order_of_an_export_does_not_depend_on_keys_or_on_who_finished_first(tmp_path: Path) -> None:
    cells = [{"width": width, "seed": seed} for seed in (0, 1) for width in (8, 16, 128)]
    order = random.Random(1)
    for name in ("a", "b"):
        keys = order.sample(range(100), len(cells))
        with Store(tmp_path / name) as store:
            store.add(cell(key, one) for key, one in order.sample(list(zip(keys, cells, strict=True)), len(cells)))
            export_rows(store, tmp_path / f"{name}.csv", Format.CSV)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [{name: int(row[name]) for name in ("width", "seed")} for row in csv.DictReader(file)] == cells
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_an_export_sees_one_moment_of_a_running_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as writer, Store(path, reading=True) as reader:
        writer.add([cell(0, {"x": 0})])
        cells = reader.cells

        def interleaved() -> Any:
            yield from cells()
            writer.add([cell(1, {"x": 1, "more": 2}, '[{"another":3}]')])

        monkeypatch.setattr(reader, "cells", interleaved)
        assert export_rows(reader, tmp_path / "rows.csv", Format.CSV) == 1
        monkeypatch.undo()
        assert export_rows(reader, tmp_path / "rows.csv", Format.CSV) == 2


def refuses(command: list[str], path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_bytes()
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("results: ")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("script", ["CREATE TABLE cells(x)", "CREATE TABLE cells(x); DROP TABLE cells"])
def test_a_strangers_file_is_not_exported(script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(tmp_path / "stranger.db")
    connection.executescript(script)
    connection.close()
    refuses(["export", str(tmp_path / "stranger.db")], tmp_path / "stranger.db", capsys)


@pytest.mark.parametrize("command", [["export"], ["report", "--out"]])
def test_an_empty_file_stays_empty(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if command[0] == "report":
        pytest.importorskip("matplotlib")
    (tmp_path / "results.sqlite").touch()
    refuses([*command, str(tmp_path)], tmp_path / "results.sqlite", capsys)


def test_a_store_that_is_read_cannot_be_written(tmp_path: Path) -> None:
    Store(tmp_path / "r").close()
    with Store(tmp_path / "r", reading=True) as store, pytest.raises(PruneproofError, match="readonly"):
        store.add([cell(0, {"x": 0})])


@pytest.mark.parametrize("values", [[1, 2**63], [-(2**63) - 1, 1], [2**63, 0.5]])
def test_integers_beyond_64_bits_are_texts_in_parquet(values: list[Any], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Store(tmp_path / "r") as store:
        store.add(cell(number, {"x": number}, json.dumps([{"y": value}])) for number, value in enumerate(values))
        export_rows(store, tmp_path / "rows.parquet", Format.PARQUET)
    assert [row["y"] for row in parquet.read_table(tmp_path / "rows.parquet").to_pylist()] == [*map(str, values)]
