"""`run.json`: when, where and how a run was made; kept apart from the rows, which depend on none of it."""

import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .dispatch import Failure
from .environment import environment
from .folder import replace_file
from .values import plain

RECORD = "run.json"


class Record:
    """Begins when it is made; `finish` writes it beside the results.

    Arguments:
        folder: the output folder.
        resume: whether the run continues an earlier one, whose time is then not in the duration.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self._folder, self._resume = folder, resume
        self._start = time.monotonic()
        self._started = datetime.now(UTC)

    def finish(self, failures: list[Failure]) -> None:
        """Write the record, whole or not at all."""
        seconds = time.monotonic() - self._start
        record = {
            "started": self._started.strftime("%Y-%m-%d %H:%M UTC"),
            "duration": f"{int(seconds // 60)} min {seconds % 60:.0f} s{' after resuming' if self._resume else ''}",
            "seconds": round(seconds, 1),
            "command": shlex.join(["pruneproof", *sys.argv[1:]]),
            "environment": environment(),
            "failed": [_failure(failure) for failure in failures],
        }
        replace_file(self._folder / RECORD, json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """What a run left in `run.json`; empty if it was interrupted before it wrote one."""
    try:
        found = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _failure(failure: Failure) -> dict[str, str]:
    return {"measure": failure.task.measure, "cell": failure.task.cell, "error": failure.error, "trace": failure.trace}
