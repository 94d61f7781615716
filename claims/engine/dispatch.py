"""Carry cells to an executor, a bounded number at a time, and store each answer as soon as it exists.

Works with any `concurrent.futures.Executor`. Memory: `in_flight` cells, whatever their number.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress

from pruneproof.errors import PruneproofError, StateError, one_line

from .cell import Task
from .executors import Cluster, Processes
from .progress import Progress
from .store import Store
from .worker import Answer, Failure, compute

KEPT = 20  # failures that are kept word by word; the rest are counted
NOTICE = 10.0  # seconds without an answer after which a cluster is asked what keeps it


def execute(
    tasks: Iterable[Task],
    store: Store,
    executor: Executor,
    *,
    in_flight: int,
    progress: Progress,
    failures: list[Failure] | None = None,
    finished: Callable[[Task, float | None], None] | None = None,
) -> list[Failure]:
    """Compute the cells that the store does not hold yet.

    Args:
        tasks: The cells; consumed as workers become free.
        store: Receives each cell's rows.
        executor: Runs them. When one of `processes()` dies, the cells that were under way are tried
            again, one at a time; one whose process dies then has failed.
        in_flight: How many cells are submitted and not yet stored, at most.
        progress: Is told of every cell.
        failures: Receives the failures as they happen, for a caller that is interrupted.
        finished: Is called with every cell whose rows the store holds, and the CPU seconds it took, or None if it was
            there before.

    Returns:
        The cells that raised, the first 20 of them.

    Raises:
        StateError: When another executor lost its workers, or a cluster its scheduler; what was
            finished is stored.
    """
    dispatch = _Dispatch(store, executor, progress, [] if failures is None else failures, finished or _ignore)
    return dispatch.run(tasks, in_flight)


def _ignore(task: Task, cpu: float | None) -> None:
    pass


class _Dispatch:
    def __init__(
        self,
        store: Store,
        executor: Executor,
        progress: Progress,
        failures: list[Failure],
        finished: Callable[[Task, float | None], None],
    ) -> None:
        self._store, self._executor, self._progress, self._finished = store, executor, progress, finished
        self._pending: dict[Future[Answer], Task] = {}
        self._failures = failures
        self._trouble = ""

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
            self._progress.known(task.kind)
            self._finished(task, None)
            return
        while len(self._pending) >= in_flight:
            self._collect()
        self._start(task)

    def _start(self, task: Task) -> None:
        try:
            self._pending[self._executor.submit(compute, task.function, task.cell)] = task
        except BrokenExecutor:
            raise self._death([*self._pending.values(), task]) from None

    def _collect(self) -> None:
        died = self._take(self._next())
        if died and not isinstance(self._executor, Processes):
            raise self._death([*died, *self._pending.values()])
        if died:  # the other processes were ended with the one that died
            died += self._take(wait(self._pending).done)
        for task in died:
            self._try_alone(task)

    def _next(self) -> set[Future[Answer]]:
        """Wait for an answer; say what keeps a cluster, once, when none comes for a while."""
        patience = NOTICE if isinstance(self._executor, Cluster) else None
        while not (done := wait(self._pending, timeout=patience, return_when=FIRST_COMPLETED).done):
            trouble = self._executor.trouble() if isinstance(self._executor, Cluster) else ""
            if trouble and trouble != self._trouble:
                self._progress.write(trouble)
            self._trouble = trouble
        return done

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
            self._progress.computed(task.kind, answer.seconds)
            self._finished(task, answer.cpu)

    def _fail(self, failure: Failure, seconds: float) -> None:
        if len(self._failures) < KEPT:
            self._failures.append(failure)
        self._progress.failed(failure.task, failure.error, seconds)

    def _harvest(self) -> None:
        """Keep what is done; dropping the rest is the executor's: a stopped pool trips over futures cancelled here."""
        answers = [(task, _answer(future)) for future, task in self._pending.items() if future.done()]
        with suppress(PruneproofError):  # the store itself may be what failed; that error is already on its way
            self._keep([(task, answer) for task, answer in answers if answer and not answer.error])

    def _death(self, suspects: list[Task]) -> StateError:
        if isinstance(self._executor, Cluster):
            return StateError(
                f"--scheduler: the scheduler at {self._executor.address} was lost while {len(suspects)} cells were "
                "under way. Start it and its workers again and repeat the command with --resume: finished cells are "
                "kept, and what the lost scheduler had must be computed again."
            )
        return StateError(
            f"run: a worker process died (killed, or out of memory) while these cells were under way: "
            f"{_named(suspects)}. Run again with --resume (finished cells are kept), with fewer --workers if memory is "
            "short."
        )


def _answer(future: Future[Answer]) -> Answer | None:
    """The answer of a future that is done; None if its worker died."""
    try:
        return future.result(timeout=0)
    except (BrokenExecutor, CancelledError, TimeoutError):
        return None
    except (Exception, SystemExit) as error:  # the executor's own trouble, e.g. a scheduler that gave the cell up
        return Answer(error=one_line(error))


def _named(suspects: list[Task]) -> str:
    cells = "; ".join(f"{task.measure} {task.cell}" for task in suspects[:4])
    return cells + (f" and {len(suspects) - 4} more" if len(suspects) > 4 else "")
