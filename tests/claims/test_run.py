"""A run of claims: shared cells once, failures told and left out, verdicts only from stored rows."""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims import Claim, Outcome, Scale, Store, Verdict, processes, run
from pruneproof.claims.engine.progress import Progress
from pruneproof.environment import cores
from pruneproof.errors import PruneproofError


def square(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"square": cell["x"] ** 2, "where": [cell["x"]]}]


def once(cell: dict[str, Any]) -> list[dict[str, Any]]:
    Path(cell["file"]).open("x").close()  # raises when the same cell is computed again
    return [{"done": True}]


def odd(cell: dict[str, Any]) -> list[dict[str, Any]]:
    if cell["x"] % 2 == 0:
        raise RuntimeError(f"{cell['x']} is even")
    return [{"odd": cell["x"]}]


def count(rows: list[dict[str, Any]]) -> Outcome:
    return Outcome(Verdict.HOLDS, {"rows": len(rows)}, (0,), "everything", rows)


def claim(name: str, measure: Any, cells: list[dict[str, Any]], **others: Any) -> Claim:
    others = {"judge": count, **others}
    return Claim(name, "s", "nobody", "c", measure, paper="p", grid=lambda scale, seeds: cells, **others)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(":memory:") as opened:
        yield opened


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_rows_come_in_grid_order_with_their_parameters(store: Store, threads: Executor) -> None:
    (result,) = run([claim("A", square, [{"x": x} for x in (5, -1, 2)])], Scale.QUICK, store, threads)
    assert [row["square"] for row in result.outcome.table] == [25, 1, 4]
    assert [row["x"] for row in result.outcome.table] == [5, -1, 2]
    assert (result.cells, result.missing, result.outcome.verdict) == (3, 0, Verdict.HOLDS)


def test_shared_cells_are_computed_once(store: Store, threads: Executor, tmp_path: Path) -> None:
    cells = [{"file": str(tmp_path / str(x))} for x in range(3)]
    first, second = run([claim("A", once, cells), claim("B", once, cells[1:])], Scale.QUICK, store, threads)
    assert (first.missing, second.missing) == (0, 0)
    again = run([claim("C", once, cells)], Scale.QUICK, store, threads)
    assert again[0].outcome.measured == {"rows": 3}


def test_another_revision_is_another_question(store: Store, threads: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    run([claim("A", square, [{"x": 2}])], Scale.QUICK, store, threads)
    monkeypatch.setattr(square, "revision", 1, raising=False)
    run([claim("A", square, [{"x": 2}])], Scale.QUICK, store, threads)
    assert len(store) == 2


def test_a_cell_that_raises_is_told_and_the_rest_goes_on(store: Store, threads: Executor) -> None:
    (result,) = run([claim("A", odd, [{"x": x} for x in range(5)])], Scale.QUICK, store, threads)
    assert {failure.task.cell for failure in result.failures} == {'{"x":0}', '{"x":2}', '{"x":4}'}
    assert {failure.error for failure in result.failures} >= {"RuntimeError: 2 is even"}
    assert result.outcome.verdict is Verdict.INCONCLUSIVE
    assert result.outcome.scope.startswith("3 of 5 cells have no rows")
    assert result.outcome.measured == {"rows": 2}


def test_a_counterexample_needs_no_completeness(store: Store, threads: Executor) -> None:
    def violated(rows: list[dict[str, Any]]) -> Outcome:
        return Outcome(Verdict.VIOLATED, {}, (), "here")

    cells = [{"x": 0}, {"x": 1}]
    theorem, observation = run(
        [claim("T", odd, cells, judge=violated, theorem=True), claim("O", odd, cells, judge=violated)],
        Scale.QUICK,
        store,
        threads,
    )
    assert theorem.outcome.verdict is Verdict.VIOLATED
    assert observation.outcome.verdict is Verdict.INCONCLUSIVE
    assert "only a theorem can be violated" in observation.broken


def test_processes_are_serial_and_leave_the_environment_alone(store: Store) -> None:
    before = dict(os.environ)
    with processes(1) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert dict(os.environ) == before
    assert cores() >= 1


@pytest.mark.parametrize("busy", [False, True])
def test_an_interrupted_pool_leaves_no_process_and_no_thread_behind(busy: bool) -> None:
    """Python's own end would meet that thread half-way, and print that its pipe is closed."""
    before = {*threading.enumerate(), *multiprocessing.active_children()}
    with pytest.raises(KeyboardInterrupt), processes(2) as pool:
        assert pool.submit(abs, -3).result() == 3
        if busy:
            for _ in range(4):
                pool.submit(time.sleep, 600)
        raise KeyboardInterrupt
    assert not {*threading.enumerate(), *multiprocessing.active_children()} - before


def test_rows_that_are_no_json_are_a_failure_of_their_cell(store: Store, threads: Executor) -> None:
    (result,) = run([claim("A", set_of, [{"x": 1}])], Scale.QUICK, store, threads)
    assert "not JSON serializable" in result.failures[0].error


def set_of(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"set": {1}}]


def test_a_lambda_cannot_be_a_measure_and_a_cell_must_be_finite(store: Store, threads: Executor) -> None:
    with pytest.raises(PruneproofError, match="top level"):
        claim("A", lambda cell: [], [])
    with pytest.raises(PruneproofError, match="finite"):
        run([claim("A", square, [{"x": float("nan")}])], Scale.QUICK, store, threads)


def test_rows_gathered_under_another_criterion_are_not_judged(store: Store, threads: Executor) -> None:
    run([claim("A", square, [{"x": 1}])], Scale.QUICK, store, threads)
    other = Claim("A", "s", "n", "softer", square, paper="p", grid=lambda scale, seeds: [{"x": 1}], judge=count)
    with pytest.raises(PruneproofError, match="fixed before the run"):
        run([other], Scale.QUICK, store, threads)


def test_networks_and_data_sets_have_a_pace_of_their_own(store: Store, threads: Executor) -> None:
    """Cells of one measure on other networks or data take other times: the time left waits for one of each."""

    kinds: list[str] = []

    class Recording(Progress):
        def begin(self, waiting: Mapping[str, int]) -> None:
            super().begin(waiting)
            assert sorted(waiting.values()) == [1, 1, 3]

        def computed(self, kind: str, seconds: float) -> None:
            super().computed(kind, seconds)
            kinds.append(kind)

    cells = [{"x": x, "network": "cnn"} for x in range(3)] + [{"x": 9, "network": "vgg"}, {"x": 9, "data": "digits"}]
    seen, asked = Recording(), list[int]()

    class Noting(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **others: Any) -> Future[Any]:
            asked.append(json.loads(arguments[2])["x"])
            return super().submit(*arguments, **others)

    with Noting(1) as executor:
        run([claim("A", square, cells)], Scale.QUICK, store, executor, progress=seen, in_flight=1)
    assert asked == [1, 9, 9, 0, 2]  # of three cells, longest first, the middle one tells the pace of their kind
    assert len(set(kinds)) == 3 == len(set(kinds[:3])) and seen.left() == "0:00 left"
