"""A sweep file is data: every combination once, in order, none held; anything else is refused before any work."""

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims.engine.cell import read_rows
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.progress import Progress
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.sweep import Grid, read_grid
from pruneproof.claims.engine.worker import compute, find
from pruneproof.cli import main
from pruneproof.errors import FileFormatError, MissingFileError, PruneproofError

STUDY = "def train(cell):\n    return {'product': cell['a'] * cell['b'] * cell['c']}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)  # so that the folder leaves sys.path after the test
    (tmp_path / "grid_study.py").write_text(STUDY)
    return tmp_path


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def read(folder: Path, text: str) -> Grid:
    (folder / "sweep.toml").write_text(text)
    return read_grid(folder / "sweep.toml")


def test_every_combination_once_last_axis_fastest(folder: Path) -> None:
    grid = read(folder, 'measure = "grid_study:train"\n[axes]\na = [1, 2]\nb = [3, 4]\n[fixed]\nc = 0.5')
    cells = list(grid.cells())
    assert len(grid) == len(cells) == 4
    assert [(cell["a"], cell["b"], cell["c"]) for cell in cells] == [(1, 3, 0.5), (1, 4, 0.5), (2, 3, 0.5), (2, 4, 0.5)]
    assert len({task.key for task in grid.tasks()}) == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[axes]\na = [1]", "names no measure"),
        ('measure = "grid_study"\n[axes]\na = [1]', 'measure = "module:function"'),
        ('measure = "nowhere_at_all:train"\n[axes]\na = [1]', "No module named"),
        ('measure = "grid_study:test"\n[axes]\na = [1]', "no attribute"),
        ('measure = "grid_study:train"', "has no table [axes]"),
        ('measure = "grid_study:train"\naxes = 3', "has no table [axes]"),
        ('measure = "grid_study:train"\n[axes]\na = []', "no list of values for a but []"),
        ('measure = "grid_study:train"\n[axes]\na = 3', "no list of values for a but 3"),
        ('measure = "grid_study:train"\n[axes]\na = [1, 2, 1]', "a value of a twice"),
        ('measure = "grid_study:train"\n[axes]\na = [1]\n[fixed]\na = 1', "below [axes] and below [fixed]"),
        ('measure = "grid_study:train"\nwidth = [1]\n[axes]\na = [1]', "at its top level"),
        ('measure = "grid_study:train"\n[axes]\na = [nan]', "no JSON"),
        ('measure = "grid_study:train"\n[axes]\na = [2026-01-01]', "no JSON"),
        ('measure = "grid_study:train"\n[axes]\na = [1, nan]', "no JSON"),
        ('measure = "grid_study:train"\n[axes]\nb = [1, 2]\na = [1, 2026-01-01]', "no JSON"),
        ('measure = "grid_study:train"\nfixed = 3\n[axes]\na = [1]', "no table [fixed] but 3"),
        ('measure = "grid_study:train"\n[axes]\nmeasure = [1]', "a parameter called measure"),
        ('measure = "grid_study:train"\n[axes]\na = [1]\n[fixed]\nmeasure = 1', "a parameter called measure"),
        ("measure =", "TOML"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(folder: Path, text: str, complaint: str) -> None:
    with pytest.raises(PruneproofError) as caught:
        read(folder, text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opening", ["seed = " + "[" * 100_000, "seed = " + "{a = " * 100_000])
def test_what_is_nested_without_end_is_refused_in_one_line(folder: Path, opening: str) -> None:
    """A program garbled the file: Python's parser of TOML runs out of its stack."""
    with pytest.raises(FileFormatError) as caught:
        read(folder, f'measure = "grid_study:train"\n[axes]\n{opening}\n')
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="No such file"):
        read_grid(tmp_path / "none.toml")


def peak(grid: Grid, path: Path, executor: Executor) -> int:
    with Store(path) as store:
        tracemalloc.start()
        progress = Progress()
        progress.begin({grid.name: len(grid)})
        assert not execute(grid.tasks(), store, executor, in_flight=8, progress=progress)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(store) == len(grid)
    return most


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path: Path, threads: Executor) -> None:
    """Ten times the cells may not take more memory than a hundredth of what holding their rows would take."""
    row = "x" * 1000
    few, many = (Grid("builtins:dict", {"a": list(range(n))}, {"row": row}) for n in (200, 2000))
    peak(few, tmp_path / "warm", threads)
    assert peak(many, tmp_path / "many", threads) - peak(few, tmp_path / "few", threads) < 0.1 * 1800 * len(row)


def test_a_second_sweep_computes_only_what_is_new(tmp_path: Path, threads: Executor) -> None:
    counted: list[Any] = []

    class Counting(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            counted.append(args)
            return super().submit(fn, *args, **kwargs)

    with Store(tmp_path / "r") as store, Counting(2) as pool:
        for seeds, expected in (([0, 1, 2], 3), ([0, 1, 2, 3, 4], 5), ([4, 0], 5)):
            progress = Progress()
            progress.begin({"builtins:dict": len(seeds)})
            execute(Grid("builtins:dict", {"seed": seeds}, {}).tasks(), store, pool, in_flight=2, progress=progress)
            assert len(counted) == len(store) == expected


def test_resume_refuses_the_rows_of_another_measure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "two_studies.py").write_text("def one(cell):\n    return cell\n\ndef two(cell):\n    return cell\n")
    for name, values in (("one", "[1]"), ("two", "[1]"), ("one_more", "[1, 2]")):
        measure = name.removesuffix("_more")
        (folder / f"{name}.toml").write_text(f'measure = "two_studies:{measure}"\n[axes]\na = {values}')
    options = ["--out", str(folder / "out"), "--workers", "1"]
    assert main(["sweep", str(folder / "one.toml"), *options, "--resume"]) == 0  # a new folder
    assert main(["sweep", str(folder / "two.toml"), *options, "--resume"]) == 2
    assert "rows of two_studies:one, not of two_studies:two. Pass --out" in capsys.readouterr().err
    assert main(["sweep", str(folder / "one_more.toml"), *options, "--resume"]) == 0  # more cells of the same
    with Store(folder / "out" / "results.sqlite") as store:
        assert len(store) == 2


def test_resuming_with_another_fixed_value_says_which_cells_are_whose(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def swept(c: float, b: str) -> tuple[str, str]:
        text = f'measure = "grid_study:train"\n[axes]\na = [1, 2]\nb = {b}\n[fixed]\nc = {c}'
        (folder / "sweep.toml").write_text(text)
        options = ["--out", str(folder / "out"), "--workers", "1", "--resume"]
        assert main(["sweep", str(folder / "sweep.toml"), *options]) == 0
        streams = capsys.readouterr()
        return streams.out, streams.err

    path = folder / "out" / "results.sqlite"
    out, err = swept(0.5, "[3]")
    assert out == f"2 cells in {path}\n" and "continuing" not in err
    out, err = swept(0.5, "[3, 4]")
    assert out == f"4 cells in {path}\n" and "continuing: 2 of 4 cells are there already\n" in err
    out, err = swept(0.7, "[3]")
    assert out == f"2 cells in {path}, beside 4 others\n"
    assert f"continuing: 0 of 2 cells are there already; 4 more in {path} have other parameters" in err


@pytest.mark.parametrize("measure", ["builtins:len", "builtins:str", "builtins:list", "builtins:bool"])
def test_what_is_no_row_is_named(measure: str) -> None:
    error = compute(measure, '{"a": 1}').error
    assert error.startswith("TypeError: a measure must return a dict, a dataclass instance or a list of them, not ")


def test_a_dataclass_instance_is_a_row_and_is_read_back_as_one(folder: Path) -> None:
    (folder / "dataclass_study.py").write_text(
        "from dataclasses import dataclass\n\n"
        "@dataclass(frozen=True)\nclass Fit:\n    a: int\n    error: float\n    sizes: tuple[int, ...]\n\n"
        "def one(cell):\n    return Fit(cell['a'], 0.5, (1, 2))\n\n"
        "def two(cell):\n    return [one(cell), one(cell)]\n"
    )
    expected = {"a": 3, "error": 0.5, "sizes": [1, 2]}
    for function, rows in (("one", 1), ("two", 2)):
        answer = compute(f"dataclass_study:{function}", '{"a": 3}')
        assert json.loads(answer.rows) == [expected] * rows, answer.error
    kind: Any = find("dataclass_study:Fit")
    (fit,) = read_rows(kind, [expected | {"unknown": 1}])
    assert (fit.a, fit.error, fit.sizes) == (3, 0.5, [1, 2])
