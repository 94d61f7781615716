"""Where cells are computed: processes of this machine, or workers of a Dask scheduler with the same code.

Either way a cell runs in a process of its own with one thread, the same hash seed and nothing beside
it, so that equal cells have bit-identical rows wherever they run. Local processes are spawned, not
forked (a forked torch deadlocks), and end with their parent, even when that was killed. A Dask worker
hands its cells to one such process per thread, whatever its own settings are.

A Dask worker must have the same sources of this package and of the measures, the same Python and torch.
Those that are there are checked before any work; one that joins later with other code is sent away.
"""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from pruneproof.environment import cores, require
from pruneproof.errors import InvalidValueError, StateError

from .sources import about
from .worker import Answer, compute

if TYPE_CHECKING:
    from distributed import Client


# Every numerical library reads one of these when it is loaded, which in a worker happens after they are set.
SERIAL = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # the order of a set is part of the result of a careless measure
}


_PATIENCE = 5.0  # seconds that a stopped pool's thread is waited for


class Processes(Executor):
    """Worker processes, all of them replaced when one dies: what they had to do then raises `BrokenExecutor`.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._open()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit to the living processes."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown()  # the memory of the old workers is free before there are new ones
            self._pool = self._open()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def stop(self, children: Iterable[BaseProcess]) -> None:
        """End the processes at once, whatever they compute.

        The pool's thread then closes what it shares with Python's end, which fails when both do so at once.
        """
        pool: Any = self._pool
        thread = pool._executor_manager_thread  # None before the first task; not to be had after `shutdown`
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.terminate()
        if thread is not None:
            thread.join(_PATIENCE)

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), initializer=_start)


@contextmanager
def processes(workers: int | None = None) -> Generator[Processes]:
    """A pool of worker processes; when the block raises, they are stopped at once instead of finishing their cells.

    Args:
        workers: Number of processes, by default one per core.

    Example:
        >>> with processes(1) as executor:
        ...     executor.submit(abs, -3).result()
        3
    """
    others = set(multiprocessing.active_children())
    with _environment(SERIAL):
        executor = Processes(workers or cores())
        try:
            yield executor
            executor.shutdown()
        except BaseException:
            executor.stop(set(multiprocessing.active_children()) - others)
            raise


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


PATIENCE = 10  # seconds to find a scheduler and its first worker


@dataclass(frozen=True)
class Pool:
    """An executor with the number of cells to keep submitted, so that no worker waits and memory stays bounded."""

    executor: Executor
    in_flight: int


@contextmanager
def executor_for(
    scheduler: str | None, workers: int | None = None, measures: frozenset[str] = frozenset()
) -> Generator[Pool]:
    """Open an executor.

    Args:
        scheduler: Address of a Dask scheduler, e.g. `"tcp://10.0.0.1:8786"`, or None for local processes.
        workers: Number of local processes, by default one per core.
        measures: Modules whose code the workers must share.

    Raises:
        InvalidValueError: For a number of local processes beside a scheduler.
        StateError: If the scheduler does not answer, has no workers, or its workers run other code.
        MissingPackageError: If Dask is not installed.
    """
    if scheduler is None:
        number = workers or cores()
        with processes(number) as executor:
            yield Pool(executor, 4 * number)
        return
    if workers is not None:
        raise InvalidValueError(
            f"--workers: {workers} local processes cannot be combined with --scheduler. "
            "Leave out one of the two: a scheduler has the workers that were started for it."
        )
    require("--scheduler", "distributed")
    with _client(scheduler) as client:
        _check_workers(client, scheduler, measures)
        _watch_joins(client, measures)
        threads = cast("dict[str, int]", client.nthreads())  # a coroutine only on an asynchronous client
        executor = Cluster(client, scheduler)
        try:
            yield Pool(executor, 4 * sum(threads.values()))
        finally:
            with suppress(Exception):  # the scheduler may be what was lost
                executor.shutdown(wait=False)


class Cluster(Executor):
    """Computes cells on the workers of a Dask scheduler, each in a clean process.

    Args:
        client: Connected to the scheduler.
        address: Of the scheduler, for messages.
    """

    def __init__(self, client: "Client", address: str) -> None:
        self._client, self.address = client, address
        self._executor: Executor = client.get_executor(pure=False)
        own = {name: value for name, value in os.environ.items() if name.startswith("PRUNEPROOF_")}
        self._variables = {**SERIAL, **own}
        self._run = uuid4().hex

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a cell; `fn` is `compute`, the only function that these processes run."""
        if fn is not compute or kwargs:
            raise InvalidValueError("Cluster.submit: only compute(measure, cell) runs on a cluster's workers.")
        return self._executor.submit(compute_apart, self._run, self._variables, *args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Drop what is not finished, and end the processes that computed the cells of this run."""
        self._executor.shutdown(wait=wait)
        if self._client.status == "running":
            self._client.run(_end_processes, self._run)

    def trouble(self) -> str:
        """What keeps all cells waiting, in one line with its remedy; empty if nothing does."""
        try:
            if self._client.status == "running" and self._client.nthreads():
                return ""
        except (OSError, RuntimeError, TimeoutError):  # the connection broke this moment
            pass
        if self._client.status == "running":
            return f"waiting: the scheduler at {self.address} has no worker; {_start_workers(self.address)}"
        return f"waiting: the scheduler at {self.address} does not answer; start it again"


def _start_workers(address: str) -> str:
    return f"start some with `dask worker {address}`"


_PROCESSES: dict[tuple[str, int], "subprocess.Popen[str]"] = {}  # of a Dask worker: (run, thread) → its process


def compute_apart(run: str, variables: dict[str, str], measure: str, cell: str) -> Answer:
    """Compute a cell in a process that serves this thread of a Dask worker during one run.

    Args:
        run: Name of the run: another run has other processes, so that edited sources are read again.
        variables: Environment of the process.
        measure: `"module:function"`.
        cell: The parameters as JSON.
    """
    for _ in range(2):  # a process that dies is replaced once: it may have died of what ran beside it
        process = _process(run, variables)
        try:
            return Answer(**json.loads(_ask(process, json.dumps([measure, cell]))))
        except (OSError, ValueError):  # it was killed, or ran out of memory
            process.kill()
            process.wait()
    return Answer(error="its process died twice on the worker (killed, or out of memory)")


def _ask(process: "subprocess.Popen[str]", question: str) -> str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(question + "\n")
    process.stdin.flush()
    return process.stdout.readline()


def _process(run: str, variables: dict[str, str]) -> "subprocess.Popen[str]":
    place = (run, threading.get_ident())
    process = _PROCESSES.get(place)
    if process is None or process.poll() is not None:
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-P", "-m", compute.__module__]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, encoding="utf-8")
        _PROCESSES[place] = process
    return process


def _end_processes(run: str) -> None:
    for place in [place for place in _PROCESSES if place[0] == run]:
        process = _PROCESSES.pop(place)
        process.kill()
        process.wait()


@contextmanager
def _client(scheduler: str) -> "Generator[Client]":
    from distributed import Client

    for name in [name for name in logging.root.manager.loggerDict if name.startswith(("distributed", "tornado"))]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is said by us, in one line
    try:
        client = Client(scheduler, timeout=PATIENCE, name="pruneproof")
    except (OSError, ValueError, TypeError) as error:
        raise StateError(
            f"--scheduler: no scheduler answers at {scheduler} ({str(error) or type(error).__name__}). "
            "Start one with `dask scheduler`, or leave --scheduler out to use local processes."
        ) from None
    try:
        yield client
    finally:
        with suppress(Exception):  # the scheduler may be what was lost
            client.close(timeout=1)


def _check_workers(client: "Client", scheduler: str, measures: Iterable[str]) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise StateError(
            f"--scheduler: {scheduler} has no workers. Start some with `dask worker {scheduler}`."
        ) from None
    here = about(measures)
    try:
        answers = cast("dict[str, dict[str, str]]", client.run(about, measures))
    except Exception as error:  # whatever a stranger's worker raises, e.g. for want of this package
        answers = {"a worker": {"pruneproof": f"{type(error).__name__}: {error}"}}
    for worker, there in answers.items():
        if reason := differing(here, there):
            raise StateError(f"--scheduler: {worker} {reason}")


def differing(here: dict[str, str], there: dict[str, str]) -> str:
    """In what the code of a worker differs from the code here, with the remedy; empty if in nothing."""
    for name, value in here.items():
        if there.get(name) != value:
            return (
                f"has another {name} ({there.get(name)}) than this machine ({value}). "
                "Install the same versions and sources on every worker and restart it."
            )
    return ""


def _watch_joins(client: "Client", measures: Iterable[str]) -> None:
    """Send away workers with other code that join during the run; those that are there were checked."""
    from distributed.diagnostics.plugin import WorkerPlugin

    here, modules = about(measures), sorted(measures)

    class SameCode(WorkerPlugin):
        """Pickled by value, so that it runs whatever the worker has installed."""

        def setup(self, worker: Any) -> None:
            try:
                from pruneproof.claims.engine.executors import differing
                from pruneproof.claims.engine.sources import about

                reason = differing(here, about(modules))
            except Exception as error:
                reason = f"cannot say which code it has ({type(error).__name__}: {error})"
            if reason:
                print(f"this worker leaves the scheduler: it {reason}", file=sys.stderr, flush=True)
                worker.loop.add_callback(worker.close, reason="pruneproof-other-code")

    client.register_plugin(SameCode(), name="pruneproof-same-code")
