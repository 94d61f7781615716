"""The default executor: one process per core, one thread per process, so that results are bit-identical.

Processes are spawned, not forked (a forked torch deadlocks). A worker ends with its parent, even when that was killed.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

# Every numerical library reads one of these when it is loaded, which in a worker happens after they are set.
SERIAL = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # the order of a set is part of the result of a careless measure
}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Executor):
    """Worker processes, all of them replaced when one dies: what they had to do then raises `BrokenExecutor`.

    Arguments:
        workers: number of processes.
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

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), initializer=_start)


@contextmanager
def processes(workers: int | None = None) -> Generator[Processes]:
    """A pool of worker processes; when the block raises, they are stopped at once instead of finishing their cells.

    Arguments:
        workers: number of processes, by default one per core.

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
            executor.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
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
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
