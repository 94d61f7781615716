"""A worker process that dies is replaced: only a cell that kills its process when alone fails, all others have rows."""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims import processes
from pruneproof.claims.engine.cell import Task, task
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.progress import Progress
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.worker import Failure
from pruneproof.cli import main
from pruneproof.commands import sweep
from pruneproof.errors import PruneproofError

DEADLY = """
import os
from pathlib import Path

def always(cell):
    if cell["x"] in (3, 4):
        os._exit(9)
    return {"alive": True}

def once(cell):
    marker = Path(cell["folder"]) / str(cell["x"])
    if cell["x"] == 3 and not marker.exists():
        marker.touch()
        os._exit(9)
    return {"alive": True}

def raising(cell):
    raise RuntimeError("no")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "deadly_measure.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)  # the workers inherit it
    return tmp_path


def tasks(measure: str, folder: Path) -> Iterable[Task]:
    function = getattr(import_module("deadly_measure"), measure)
    return [task(function, {"x": x, "folder": str(folder)}) for x in range(8)]


def run(work: Iterable[Task], executor: Any, in_flight: int) -> tuple[list[tuple[int, str]], set[int]]:
    progress = Progress()
    progress.begin({"m": 8})
    with Store(":memory:") as store:
        failures = execute(work, store, executor, in_flight=in_flight, progress=progress)
        stored = {cell["x"] for _, cell, _ in store.cells()}
    assert progress.done == 8
    return sorted((json.loads(failure.task.cell)["x"], failure.error) for failure in failures), stored


@pytest.mark.parametrize("in_flight", [1, 6])
def test_only_the_cells_that_kill_their_process_fail(folder: Path, in_flight: int) -> None:
    with processes(2) as pool:
        failures, stored = run(tasks("always", folder), pool, in_flight)
    assert [x for x, _ in failures] == [3, 4]
    assert all("died while it ran alone" in error for _, error in failures)
    assert stored == {0, 1, 2, 5, 6, 7}


def test_a_cell_whose_process_dies_once_has_its_row(folder: Path) -> None:
    with processes(2) as pool:
        assert run(tasks("once", folder), pool, 6) == ([], set(range(8)))


@pytest.mark.parametrize("in_flight", [1, 6])
def test_an_executor_that_cannot_replace_its_processes_ends_the_run(folder: Path, in_flight: int) -> None:
    dead = pytest.raises(PruneproofError, match=r"died .* while these cells .*Run again with --resume")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, dead:
        run(tasks("always", folder), pool, in_flight)


def test_an_interrupted_sweep_records_its_failures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Progress):
        def failed(self, task: Task, error: str, seconds: float) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "progress_for", Interrupted)
    (folder / "sweep.toml").write_text('measure = "deadly_measure:raising"\n[axes]\nx = [7]')
    assert main(["sweep", str(folder / "sweep.toml"), "--out", str(folder / "out"), "--workers", "1"]) == 130
    (failure,) = json.loads((folder / "out" / "run.json").read_text())["failed"]
    assert (failure["cell"], failure["error"]) == ('{"x":7}', "RuntimeError: no")


def test_failures_are_handed_over_as_they_happen(folder: Path) -> None:
    failures: list[Failure] = []
    progress = Progress()
    progress.begin({"m": 8})
    with Store(":memory:") as store, processes(1) as pool:
        work = tasks("raising", folder)
        assert execute(work, store, pool, in_flight=1, progress=progress, failures=failures) is failures
    assert len(failures) == 8
