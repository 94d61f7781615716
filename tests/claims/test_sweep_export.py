"""Exported rows are the stored rows: same values and types in CSV and Parquet, written whole or not at all."""

import csv
import json
import math
from pathlib import Path

import pytest

from pruneproof.claims.engine.cell import Task
from pruneproof.claims.engine.export import Format, export_rows
from pruneproof.claims.engine.store import Store
from pruneproof.cli import main
from pruneproof.errors import PruneproofError

ROWS = [
    ({"width": 8}, [{"error": 0.1, "note": 'a,"b"\nc', "ok": True, "curve": [1, 2.5]}]),
    ({"width": 16}, [{"error": 1, "note": None, "ok": False}, {"error": 1e-300, "note": "x", "mixed": 3}]),
    ({"width": 32}, [{"error": math.inf, "mixed": "three"}]),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add(
            (Task(str(number), "m:f", json.dumps(cell)), json.dumps(rows)) for number, (cell, rows) in enumerate(ROWS)
        )
    return path


def test_csv_holds_every_row_exactly(results: Path, tmp_path: Path) -> None:
    with Store(results) as store:
        assert export_rows(store, tmp_path / "rows.csv", Format.CSV) == 4
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["width"]) for row in rows] == [8, 16, 16, 32]
    assert [float(row["error"]) for row in rows] == [0.1, 1, 1e-300, math.inf]
    assert rows[0]["note"] == 'a,"b"\nc'
    assert json.loads(rows[0]["curve"]) == [1, 2.5]
    assert rows[1]["note"] == rows[1]["curve"] == ""


def test_parquet_holds_every_row_with_its_type(results: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Store(results) as store:
        assert export_rows(store, tmp_path / "rows.parquet", Format.PARQUET) == 4
    rows = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["width"] for row in rows] == [8, 16, 16, 32]
    assert [row["error"] for row in rows] == [0.1, 1.0, 1e-300, math.inf]
    assert [row["ok"] for row in rows] == [True, False, None, None]
    assert [row["mixed"] for row in rows] == [None, None, "3", "three"]


def test_nothing_to_export_and_nowhere_to_write_are_refused(results: Path, tmp_path: Path) -> None:
    with Store(":memory:") as empty, pytest.raises(PruneproofError, match="holds no rows"):
        export_rows(empty, tmp_path / "rows.csv", Format.CSV)
    with Store(results) as store, pytest.raises(PruneproofError, match="cannot be written"):
        export_rows(store, tmp_path / "absent" / "rows.csv", Format.CSV)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.sqlite"]


@pytest.mark.parametrize("out", ["results.sqlite", "link.sqlite", "./../{folder}/results.sqlite"])
def test_the_rows_are_never_written_over(
    results: Path, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    Path("link.sqlite").symlink_to(results)
    assert main(["export", str(results), "--out", out.format(folder=results.parent.name)]) == 2
    assert "holds the rows" in capsys.readouterr().err
    with Store(results) as store:
        assert len(store) == len(ROWS)
    assert main(["export", str(results.parent), "--out", "rows.csv"]) == 0
