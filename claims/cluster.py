"""Where cells are computed: local processes, or the workers of a Dask scheduler, checked before any work."""

from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from .process_pool import cores, processes


@dataclass(frozen=True)
class Pool:
    """An executor with the number of cells to keep submitted, so that no worker waits and memory stays bounded."""

    executor: Executor
    in_flight: int


@contextmanager
def executor_for(scheduler: str | None, workers: int | None = None) -> Generator[Pool]:
    """Open an executor.

    Arguments:
        scheduler: address of a Dask scheduler, or None for local processes.
        workers: number of local processes, by default one per core.
    """
    number = workers or cores()
    with processes(number) as executor:
        yield Pool(executor, 4 * number)
