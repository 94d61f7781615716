"""The default executor: one process per core, one thread per process, so that results are bit-identical.

Processes are spawned, not forked (a forked torch deadlocks). A worker ends with its parent, even when that was killed.

Where cells are computed: local processes, or the workers of a Dask scheduler, checked before any work.

Workers must run the same code: the same sources of this package and of the measures, the same Python and torch. One
that joins later is not checked; it is given the same single thread as the rest.
"""

import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Generator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pruneproof._version import __version__
from pruneproof.environment import cores, installed, require
from pruneproof.errors import PruneproofError

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

    Arguments:
        scheduler: address of a Dask scheduler, e.g. `"tcp://10.0.0.1:8786"`, or None for local processes.
        workers: number of local processes, by default one per core.
        measures: modules whose code the workers must share.

    Raises `PruneproofError` for a number of local processes beside a scheduler, or if the scheduler does not answer,
    has no workers, or its workers run other code.
    """
    if scheduler is None:
        number = workers or cores()
        with processes(number) as executor:
            yield Pool(executor, 4 * number)
        return
    if workers is not None:
        remedy = "leave out one of the two: a scheduler has the workers that were started for it"
        raise PruneproofError(
            "--workers", required="local processes", received=f"{workers} with --scheduler", remedy=remedy
        )
    require("--scheduler", "distributed")
    with _client(scheduler) as client:
        _check_workers(client, scheduler, measures)
        _prepare_workers(client)
        threads = cast("dict[str, int]", client.nthreads())  # a coroutine only on an asynchronous client
        executor = client.get_executor(pure=False)
        try:
            yield Pool(executor, 4 * sum(threads.values()))
        finally:
            executor.shutdown(wait=False)  # drops what an interrupted run has not finished


def about(modules: frozenset[str]) -> dict[str, str]:
    """The code that would compute a cell here: versions, and a digest of the sources."""
    found = {"pruneproof": __version__, "python": platform.python_version(), "torch": installed("torch")}
    sources = {"source of pruneproof": _digest(_sources())}
    for module in sorted(modules):
        try:
            file = getattr(import_module(module), "__file__", None)  # a module built into Python has none
        except ImportError as error:
            sources[module] = str(error)
        else:
            sources[module] = _digest([Path(file)] if file else [])
    return {**found, **sources}


def _sources() -> list[Path]:
    root = Path(__file__).parents[2]
    packages = [folder.resolve() for folder in sorted(root.iterdir()) if (folder / "__init__.py").is_file()]
    return [*sorted(root.glob("*.py")), *(file for folder in packages for file in sorted(folder.rglob("*.py")))]


def _digest(files: list[Path]) -> str:
    digest = blake2b(digest_size=8)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def _client(scheduler: str) -> "Generator[Client]":
    from distributed import Client

    try:
        client = Client(scheduler, timeout=PATIENCE, name="pruneproof")
    except (OSError, ValueError, TypeError) as error:
        remedy = "start one with `dask scheduler`, or leave --scheduler out to use local processes"
        received = f"{scheduler} ({str(error) or type(error).__name__})"
        raise PruneproofError(
            "--scheduler", required="a scheduler that answers", received=received, remedy=remedy
        ) from None
    with client:
        yield client


def _check_workers(client: "Client", scheduler: str, measures: frozenset[str]) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        remedy = f"start some with `dask worker {scheduler}`"
        raise PruneproofError("--scheduler", required="workers", received="none", remedy=remedy) from None
    here = about(measures)
    try:
        answers = cast("dict[str, dict[str, str]]", client.run(about, measures))
    except Exception as error:  # whatever a stranger's worker raises, e.g. for want of this package
        answers = {"a worker": {"pruneproof": f"{type(error).__name__}: {error}"}}
    for worker, there in answers.items():
        differing = [name for name in here if there.get(name) != here[name]]
        if differing:
            name = differing[0]
            raise PruneproofError(
                "--scheduler",
                required=f"workers with the same {name} as here ({here[name]})",
                received=f"{there.get(name)} on {worker}",
                remedy="install the same versions and sources on every worker and restart it",
            )


def _prepare_workers(client: "Client") -> None:
    from distributed.diagnostics.plugin import WorkerPlugin

    variables = {**SERIAL, **{name: value for name, value in os.environ.items() if name.startswith("PRUNEPROOF_")}}

    class Serial(WorkerPlugin):
        """One thread per cell on every worker, also on those that join later."""

        def setup(self, worker: object) -> None:
            os.environ.update(variables)
            torch = sys.modules.get("torch")
            if torch is not None:
                torch.set_num_threads(1)

    client.register_plugin(Serial(), name="pruneproof-serial")
