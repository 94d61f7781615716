"""The output folder of a run: one writer at a time, an older run kept beside the new one, files replaced whole.

`results.sqlite` is the run; `index.html` is made from it, and `run.json` says when, where and how it was
made, which the rows do not depend on. A new run moves an existing `results.sqlite` to the next free
`results-1.sqlite`, `results-2.sqlite`, …; `resume` continues it instead. Nothing is ever deleted.
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pruneproof.environment import environment
from pruneproof.errors import FileAccessError, MissingFileError, StateError

from .cell import plain
from .store import Store
from .worker import Failure

RESULTS = "results.sqlite"


@contextmanager
def results_folder(folder: Path, *, resume: bool) -> Generator[Store]:
    """Open the results of a folder for writing.

    Args:
        folder: Made if absent.
        resume: Continue `results.sqlite` if there is one, instead of moving it aside.

    Raises:
        FileAccessError: If the folder cannot be written.
        FileFormatError: If it holds results of another version.
        StateError: If it is in use by another run.
    """
    with _refusing(folder):
        _make(folder)
        lock = os.open(folder, os.O_RDONLY)
    try:
        _lock(lock, folder)
        if not resume:
            _set_aside(folder / RESULTS)
        with Store(folder / RESULTS) as store:
            yield store
    finally:
        os.close(lock)


def check_folder(folder: Path) -> None:
    """Check that a folder can be made and written; what was not there is not there afterwards.

    Raises:
        FileAccessError: If it cannot.
    """
    with _refusing(folder):
        absent = [path for path in (folder, *folder.parents) if not path.exists()]
        _make(folder)
        for path in absent:
            with suppress(OSError):  # somebody else has begun to use it
                path.rmdir()


def existing_results(path: Path) -> Path:
    """The results file of a folder, or the file itself.

    Raises:
        MissingFileError: If there is none, or if it is empty.
    """
    path = path / RESULTS if path.is_dir() else path
    if not path.is_file() or not path.stat().st_size:
        raise MissingFileError(
            f"results: {path} {'is empty' if path.is_file() else 'does not exist'}. "
            "Run pruneproof verify or sweep first, or name the folder of a run."
        )
    return path


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader, even after a crash, sees the old text or the new one and nothing in between.

    Raises:
        FileAccessError: If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with _refusing(path):
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            with suppress(OSError):  # what went wrong first is what is told
                draft.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError("the folder is read-only")


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    Store(path).close()  # refuses what is not ours, and folds the log of a killed run into the file
    free = next(name for n in count(1) if not (name := path.with_stem(f"{path.stem}-{n}")).exists())
    with _refusing(path):
        path.rename(free)
    print(f"kept the earlier results as {free} (--resume continues a run instead)", file=sys.stderr)


def _lock(descriptor: int, folder: Path) -> None:
    """Refuse a folder that another run is writing to; the lock ends with the process that holds it."""
    with suppress(ImportError):  # no such locks on this system
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                f"results: another run is writing to {folder}. Wait for it, or pass --out with another folder."
            ) from None
        except OSError:  # a network file system without locks: SQLite's own still guard the rows
            pass


@contextmanager
def _refusing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileAccessError):
            raise
        raise FileAccessError(
            f"results: {path} cannot be written: {error.strerror or error}. "
            "Check permissions and free space, or pass --out with another folder."
        ) from None


RECORD = "run.json"
INTERVAL = 10.0  # seconds between two writings of a run that goes on


class Record:
    """Begins when it is made; `finish` writes it beside the results.

    Args:
        folder: The output folder.
        resume: Whether the run continues an earlier one, whose time is then not in the duration.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self._folder, self._resume = folder, resume
        self._start = time.monotonic()
        self._started = datetime.now(UTC)
        self._criteria: dict[str, Any] = {}
        self._cpu: dict[str, float] = {}
        self._environment = environment()
        self._written = 0.0

    def begin(self, criteria: dict[str, str]) -> dict[str, dict[str, str]]:
        """Write down, before the first cell is computed, by which criteria the run will be judged.

        Args:
            criteria: Claim id → SHA-256 of its criterion's text.

        Returns:
            Claim id → its hash, and the date at which this text was first written down in the folder.
        """
        earlier = read_record(self._folder) if self._resume else {}
        known, self._cpu = earlier.get("criteria", {}), earlier.get("cpu_seconds", {})
        today = self._started.strftime("%Y-%m-%d %H:%M UTC")
        for claim, digest in criteria.items():
            entry = known.get(claim)
            fixed = entry["fixed"] if isinstance(entry, dict) and entry.get("sha256") == digest else today
            known[claim] = {"sha256": digest, "fixed": fixed}
        self._criteria = known
        self.save()
        return known

    def timed(self, key: str, cpu: float) -> None:
        """Note the CPU seconds of a cell; the file follows every ten seconds."""
        self._cpu[key] = round(cpu, 3)
        if time.monotonic() - self._written >= INTERVAL:
            self.save()

    def save(self) -> None:
        """Write what is known of a run that goes on, or was interrupted."""
        self._write({"state": "running, or interrupted"})

    def finish(self, failures: list[Failure]) -> None:
        """Write the record, whole or not at all."""
        seconds = time.monotonic() - self._start
        self._write(
            {
                "duration": f"{int(seconds // 60)} min {seconds % 60:.0f} s{' after resuming' if self._resume else ''}",
                "seconds": round(seconds, 1),
                "failed": [_failure(failure) for failure in failures],
            }
        )

    def _write(self, more: dict[str, Any]) -> None:
        record = {
            "started": self._started.strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(["pruneproof", *sys.argv[1:]]),
            "environment": self._environment,
            "criteria": self._criteria,
            **more,
            "cpu_seconds": self._cpu,
        }
        replace_file(self._folder / RECORD, json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n")
        self._written = time.monotonic()


def read_record(folder: Path) -> dict[str, Any]:
    """What a run left in `run.json`; empty if there is none, or if it cannot be read."""
    try:
        found = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _failure(failure: Failure) -> dict[str, str]:
    return {"measure": failure.task.measure, "cell": failure.task.cell, "error": failure.error, "trace": failure.trace}
