"""What a waiting person sees: progress on a terminal, once work takes longer than two seconds.

Where there is no terminal, as in a log, things that are counted get a line a minute.
"""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_PATIENCE = 2.0  # seconds before progress is shown
_BETWEEN_LINES = 60.0  # seconds, where there is no terminal


class Meter:
    """Bytes read so far, or things done, shown on a terminal once it takes longer than two seconds.

    Args:
        what: What is being done.
        counted: Whether things are counted, not bytes.
    """

    def __init__(self, what: str, *, counted: bool = False) -> None:
        self._what, self._counted = what, counted
        self._start = self._said = time.monotonic()
        self._shown: Progress | None = None

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, done: int, total: int) -> None:
        """Report progress."""
        if self._shown is None:
            console = Console(stderr=True)
            if not console.is_terminal:
                self._line(console, done, total)
                return
            if time.monotonic() - self._start < _PATIENCE:
                return
            columns = [MofNCompleteColumn()] if self._counted else [DownloadColumn(), TransferSpeedColumn()]
            described = TextColumn("{task.description}"), BarColumn()
            self._shown = Progress(*described, *columns, TimeRemainingColumn(), console=console, transient=True)
            self._shown.add_task(self._what)
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def _line(self, console: Console, done: int, total: int) -> None:
        now = time.monotonic()
        if self._counted and now - self._said >= _BETWEEN_LINES:
            self._said = now
            console.print(f"{self._what}: {done} of {total} after {now - self._start:.0f} s", highlight=False)
