"""Carry cells to an executor, a bounded number at a time, and store each answer as soon as it exists.

Works with any `concurrent.futures.Executor`. Memory: `in_flight` cells, whatever their number.
"""

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress

from pruneproof.errors import PruneproofError

from .cell import Task
from .executors import Processes
from .progress import Progress
from .store import Store
from .worker import Answer, Failure, compute, one_line

KEPT = 20  # failures that are kept word by word; the rest are counted


def execute(
    tasks: Iterable[Task],
    store: Store,
    executor: Executor,
    *,
    in_flight: int,
    progress: Progress,
    failures: list[Failure] | None = None,
) -> list[Failure]:
    """Compute the cells that the store does not hold yet.

    Arguments:
        tasks: the cells; consumed as workers become free.
        store: receives each cell's rows.
        executor: runs them. When one of `processes()` dies, the cells that were under way are tried again, one at a
            time; one whose process dies then has failed.
        in_flight: how many cells are submitted and not yet stored, at most.
        progress: is told of every cell.
        failures: receives the failures as they happen, for a caller that is interrupted.

    Returns the cells that raised, the first 20 of them.
    Raises `PruneproofError` when another executor lost its workers; what was finished is stored.
    """
    return _Dispatch(store, executor, progress, [] if failures is None else failures).run(tasks, in_flight)


class _Dispatch:
    def __init__(self, store: Store, executor: Executor, progress: Progress, failures: list[Failure]) -> None:
        self._store, self._executor, self._progress = store, executor, progress
        self._pending: dict[Future[Answer], Task] = {}
        self._failures = failures

    def run(self, tasks: Iterable[Task], in_flight: int) -> list[Failure]:
        try:
            for task in tasks:
                self._submit(task, in_flight)
            while self._pending:
                self._collect()
        except BaseException:  # Ctrl-C too: keep what is finished, drop what is not
            self._harvest()
            raise
        return self._failures

    def _submit(self, task: Task, in_flight: int) -> None:
        if task.key in self._store:
            self._progress.known(task.measure)
            return
        while len(self._pending) >= in_flight:
            self._collect()
        self._start(task)

    def _start(self, task: Task) -> None:
        try:
            self._pending[self._executor.submit(compute, task.function, task.cell)] = task
        except BrokenExecutor:
            raise _death([*self._pending.values(), task]) from None

    def _collect(self) -> None:
        died = self._take(wait(self._pending, return_when=FIRST_COMPLETED).done)
        if died and not isinstance(self._executor, Processes):
            raise _death([*died, *self._pending.values()])
        if died:  # the other processes were ended with the one that died
            died += self._take(wait(self._pending).done)
        for task in died:
            self._try_alone(task)

    def _try_alone(self, task: Task) -> None:
        """Run a cell with nothing beside it, so that it takes no other with it and has all the memory there is."""
        self._start(task)
        if self._take(wait(self._pending).done):
            self._fail(Failure(task, "its worker process died while it ran alone (killed, or out of memory)", ""), 0.0)

    def _take(self, done: Iterable[Future[Answer]]) -> list[Task]:
        """Store the answers of futures that are done; returns the cells that have none because a worker died."""
        finished: list[tuple[Task, Answer]] = []
        died: list[Task] = []
        for future in done:
            task = self._pending.pop(future)
            answer = _answer(future)
            if answer is None:
                died.append(task)
            elif answer.error:
                self._fail(Failure(task, answer.error, answer.trace), answer.seconds)
            else:
                finished.append((task, answer))
        self._keep(finished)
        return died

    def _keep(self, finished: list[tuple[Task, Answer]]) -> None:
        if finished:
            self._store.add((task, answer.rows) for task, answer in finished)
        for task, answer in finished:
            self._progress.computed(task.measure, answer.seconds)

    def _fail(self, failure: Failure, seconds: float) -> None:
        if len(self._failures) < KEPT:
            self._failures.append(failure)
        self._progress.failed(failure.task, failure.error, seconds)

    def _harvest(self) -> None:
        """Keep what is done; dropping the rest is the executor's: a stopped pool trips over futures cancelled here."""
        answers = [(task, _answer(future)) for future, task in self._pending.items() if future.done()]
        with suppress(PruneproofError):  # the store itself may be what failed; that error is already on its way
            self._keep([(task, answer) for task, answer in answers if answer and not answer.error])


def _answer(future: Future[Answer]) -> Answer | None:
    """The answer of a future that is done; None if its worker died."""
    try:
        return future.result(timeout=0)
    except (BrokenExecutor, CancelledError, TimeoutError):
        return None
    except (Exception, SystemExit) as error:  # the executor's own trouble, e.g. a scheduler that gave the cell up
        return Answer(error=one_line(error))


def _death(suspects: list[Task]) -> PruneproofError:
    cells = "; ".join(f"{task.measure} {task.cell}" for task in suspects[:4])
    more = f" and {len(suspects) - 4} more" if len(suspects) > 4 else ""
    return PruneproofError(
        "worker",
        required="processes that live (one was killed or ran out of memory)",
        received=f"a death while these cells were under way: {cells}{more}",
        remedy="run again with --resume (finished cells are kept), with fewer --workers if memory is short",
    )
