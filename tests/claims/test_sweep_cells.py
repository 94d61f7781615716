"""A cell that fails, whatever its way, is told in one line and takes no other cell with it."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pruneproof.claims.engine.cell import task
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.executors import processes
from pruneproof.claims.engine.progress import Progress
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.worker import compute

HERE = __name__


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def leave(cell: dict[str, Any]) -> dict[str, Any]:
    if cell["x"] == 2:
        sys.exit(0)
    return {"y": cell["x"]}


def complain(cell: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("first\n\n  second")


def run(measure: Any, executor: Executor, number: int = 4) -> tuple[list[str], int]:
    progress = Progress()
    progress.begin({HERE: number})
    with Store(":memory:") as store:
        tasks = [task(measure, {"x": x}) for x in range(number)]
        failures = execute(tasks, store, executor, in_flight=2, progress=progress)
        return [f"{failure.task.cell} {failure.error}" for failure in failures], len(store)


def test_a_cell_that_exits_does_not_end_the_sweep(threads: Executor) -> None:
    assert run(leave, threads) == (['{"x":2} SystemExit: 0'], 3)


def test_an_executor_that_hands_over_an_exit_does_not_end_the_sweep() -> None:
    class Exiting(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(SystemExit(3))
            return future

    assert run(leave, Exiting(), 1) == (['{"x":0} SystemExit: 3'], 0)


def test_an_error_of_several_lines_is_told_in_one(threads: Executor) -> None:
    answer = compute(f"{HERE}:complain", json.dumps({"x": 1}))
    assert answer.error == "RuntimeError: first second"
    assert "first\n\n  second" in answer.trace


def scalars(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"a": np.float32(0.5), "b": [np.int64(3), (np.bool_(True),)], "c": {"d": torch.tensor(2.5)}}]


def vector(cell: dict[str, Any]) -> dict[str, Any]:
    return {"a": np.zeros(1)}


def returned(cell: dict[str, Any]) -> dict[str, Any]:
    return cell["row"]


def test_scalars_of_numpy_and_torch_become_numbers() -> None:
    assert compute(f"{HERE}:scalars", "{}").rows == '[{"a":0.5,"b":[3,[true]],"c":{"d":2.5}}]'
    assert "ndarray is not JSON serializable" in compute(f"{HERE}:vector", "{}").error


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ({"row": {"x": 2}, "x": 1}, "a row gives 'x' as 2 for the parameter 1"),
        ({"row": {"measure": "mine"}}, "the name 'measure' is taken"),
        ({"row": {"y": 1}, "measure": "mine"}, "the name 'measure' is taken"),
        ({"row": {"x": 1.0, "y": [1]}, "x": 1, "y": [1]}, ""),
    ],
)
def test_a_row_that_would_hide_a_parameter_is_refused(cell: dict[str, Any], error: str) -> None:
    answer = compute(f"{HERE}:returned", json.dumps(cell))
    assert error in answer.error
    assert bool(answer.rows) is not bool(error)


def test_a_measure_that_changes_its_parameters_hides_none() -> None:
    """The parameters that a row is held to are those that were asked, not what the measure made of its dict."""
    assert "a row gives 'x' as 2 for the parameter 1" in compute(f"{HERE}:raised", '{"x": 1}').error


def raised(cell: dict[str, Any]) -> dict[str, Any]:
    cell["x"] += 1
    return cell


def in_another_encoding(cell: dict[str, Any]) -> dict[str, Any]:
    return {"file": os.fsdecode(b"caf\xe9.png")}


def interrupting(cell: dict[str, Any]) -> None:
    raise KeyboardInterrupt("of the measure's own")


@pytest.mark.parametrize(
    ("name", "error"), [("in_another_encoding", "UnicodeEncodeError"), ("interrupting", "Keyboard")]
)
def test_what_no_file_can_hold_and_what_a_measure_interrupts_fail_their_own_cells(
    name: str, error: str, tmp_path: Path
) -> None:
    """The other cells go on: in worker processes, where Ctrl-C does not arrive."""
    with Store(tmp_path / "r") as store, processes(1) as pool:
        progress = Progress()
        progress.begin({})
        cells = [task(globals()[name], {"i": 0}), *(task(dict, {"i": i}) for i in range(1, 4))]
        (failure,) = execute(cells, store, pool, in_flight=2, progress=progress)
        assert failure.error.startswith(error) and failure.task.cell == '{"i":0}'
        assert len(store) == 3
