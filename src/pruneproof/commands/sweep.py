"""Compute every cell of a grid of parameters, on this machine or a cluster."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.checks import require_integer
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.executors import executor_for
from pruneproof.claims.engine.folder import RESULTS, Record, results_folder
from pruneproof.claims.engine.progress import Progress, progress_for
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.sweep import Grid, read_grid
from pruneproof.claims.engine.worker import Failure, find
from pruneproof.claims.verification import say_changed_sources
from pruneproof.errors import PruneproofError, StateError

from . import INTERRUPTED

INCOMPLETE = 3


def main(
    file: tyro.conf.Positional[Path],
    out: Path = Path("sweep"),
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
    workers: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None,
) -> int:
    """Compute the cells of a TOML file and store their rows in OUT/results.sqlite as soon as they exist.

    The file names the function to call, measure = "module:function"; the module may lie beside the file. [axes] has
    the values of each parameter; every combination of them is a cell. [fixed] has the parameters that are the same in
    all cells. The function takes a dict and returns a dict or a list of dicts, the rows. An earlier results.sqlite is
    kept under the next free number, or continued with --resume.

    Exit status: 0 all cells have rows; 2 misuse; 3 some cells raised (they are named); 130 interrupted.

    Example: pruneproof sweep study.toml --out study --scheduler tcp://10.0.0.1:8786

    Args:
        file: The sweep as TOML: measure = "my_study:train", [axes] width = [16, 32], [fixed] epochs = 20.
        out: Folder for the rows, made if absent.
        resume: Continue the sweep of the same measure in the folder: finished cells are not computed again.
        workers: Worker processes; default one per core; not with --scheduler.
        scheduler: Address of a Dask scheduler (tcp://host:port) to run on instead of local processes.
    """
    if workers is not None:
        require_integer("sweep", "--workers", workers)
    grid = read_grid(file)
    measures = frozenset((grid.name.partition(":")[0],))  # the module that workers import
    record = Record(out, resume=resume)
    try:
        with (
            executor_for(scheduler, workers, measures) as pool,
            results_folder(out, resume=resume) as store,
            progress_for() as seen,
        ):
            _check_measure(store, grid.name)
            seen.begin({grid.name: len(grid)})
            others = _say_found(store, grid, seen)
            say_changed_sources(store, [find(grid.measure)], seen)
            failures: list[Failure] = []
            try:
                work = grid.tasks()
                execute(work, store, pool.executor, in_flight=pool.in_flight, progress=seen, failures=failures)
            except BaseException:  # also when interrupted: the failures are stored nowhere else
                with suppress(PruneproofError):  # a full disk, say: what went wrong first is reported
                    record.finish(failures)
                raise
            record.finish(failures)
    except KeyboardInterrupt:
        print(f"interrupted: finished cells are kept in {out}; repeat the command with --resume", file=sys.stderr)
        return INTERRUPTED
    failed = f", {seen.failures} failed (the first ones are in {out / 'run.json'})" if seen.failures else ""
    beside = f", beside {others} others" if others else ""
    print(f"{len(grid) - seen.failures} cells in {out / RESULTS}{beside}{failed}")
    return INCOMPLETE if failures else 0


def _say_found(store: Store, grid: Grid, progress: Progress) -> int:
    """Say, before any work, what is continued; returns how many stored cells are none of this grid."""
    if not len(store):
        return 0
    found = sum(task.key in store for task in grid.tasks())
    others = len(store) - found
    stay = f"; {others} more in {store.path} have other parameters or an earlier revision, and stay" if others else ""
    progress.write(f"continuing: {found} of {len(grid)} cells are there already{stay}")
    return others


def _check_measure(store: Store, measure: str) -> None:
    """Refuse to mix measures: `export` would put their rows into one table."""
    others = sorted(store.measures() - {measure})
    if others:
        raise StateError(
            f"--resume: {store.path} has rows of {', '.join(others)}, not of {measure}. "
            "Pass --out with another folder, or leave --resume out."
        )
