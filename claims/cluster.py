"""Where cells are computed: local processes, or the workers of a Dask scheduler, checked before any work.

Workers must run the same code: the same sources of this package and of the measures, the same Python and torch. One
that joins later is not checked; it is given the same single thread as the rest.
"""

import os
import platform
import sys
from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .. import __version__
from ..errors import PruneproofError
from .data_root import VARIABLE
from .environment import installed
from .extras import require
from .process_pool import SERIAL, cores, processes

if TYPE_CHECKING:
    from distributed import Client

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
    root = Path(__file__).parent.parent
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

    variables = {**SERIAL, **{name: os.environ[name] for name in (VARIABLE,) if name in os.environ}}

    class Serial(WorkerPlugin):
        """One thread per cell on every worker, also on those that join later."""

        def setup(self, worker: object) -> None:
            os.environ.update(variables)
            torch = sys.modules.get("torch")
            if torch is not None:
                torch.set_num_threads(1)

    client.register_plugin(Serial(), name="pruneproof-serial")
