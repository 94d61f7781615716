"""What a waiting person sees: cells done, failures, verdicts, the time left.

A live bar on a terminal, else a line now and then. Everything goes to standard error, so that standard
output stays machine-readable. The time left is told once every kind of cell has been timed, since kinds
take very different times.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from .cell import Task


class Pace:
    """The time left of a run.

    Every cell tells the seconds it took in its worker; how many run side by side is read off the clock.

    Args:
        waiting: Kind → number of its cells.

    Example:
        >>> pace = Pace({"slow": 3, "fast": 10})
        >>> pace.computed("slow", 60.0)
        >>> pace.left(elapsed=60.5) is None  # nothing is known of the fast ones yet
        True
        >>> pace.computed("fast", 1.0)
        >>> pace.left(elapsed=30.5)  # two at a time: (2·60 + 9·1)/2
        64.5
    """

    def __init__(self, waiting: Mapping[str, int]) -> None:
        self._waiting = Counter(waiting)
        self._answers: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def known(self, kind: str) -> None:
        """One cell of a kind was found in the store: it says nothing about the pace."""
        self._waiting[kind] -= 1

    def computed(self, kind: str, seconds: float) -> None:
        """One cell of a kind took so long."""
        self.known(kind)
        self._answers[kind] += 1
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds

    def left(self, elapsed: float) -> float | None:
        """Seconds left after `elapsed` seconds; None until a cell of every kind that waits was timed."""
        spent = sum(self._seconds.values())
        waiting = {kind: number for kind, number in self._waiting.items() if number > 0}
        if not spent or waiting.keys() - self._answers.keys():
            return None
        work = sum(number * self._seconds[kind] / self._answers[kind] for kind, number in waiting.items())
        return work * elapsed / spent


INTERVAL = 10.0  # seconds between two plain lines


class Progress:
    """Counts cells and shows nothing; the base of what shows something.

    Example:
        >>> progress = Progress()
        >>> progress.begin({"module:function": 4})
        >>> progress.known("module:function")
        >>> progress.computed("module:function", 0.5)
        >>> progress.done, progress.total
        (2, 4)
    """

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def begin(self, waiting: Mapping[str, int]) -> None:
        """Start counting towards all cells (kind → number of cells)."""
        self.total, self.done, self.failures = sum(waiting.values()), 0, 0
        self.started = time.monotonic()
        self._pace = Pace(waiting)

    def known(self, kind: str) -> None:
        """One cell was found in the store."""
        self._pace.known(kind)
        self._count()

    def computed(self, kind: str, seconds: float) -> None:
        """One cell was computed, in so many seconds, and stored."""
        self._pace.computed(kind, seconds)
        self._count()

    def failed(self, task: Task, error: str, seconds: float) -> None:
        """One cell raised, after so many seconds."""
        self.failures += 1
        self.write(f"failed: {task.measure} {task.cell}: {error}")
        self.computed(task.kind, seconds)

    def left(self) -> str:
        """The time left, or nothing while there is no pace."""
        seconds = self._pace.left(time.monotonic() - self.started)
        return "" if seconds is None else f"{int(seconds // 60)}:{int(seconds % 60):02d} left"

    def text(self) -> str:
        """The state in one line."""
        failed = f"{self.failures} failed" if self.failures else ""
        return ", ".join(part for part in (f"{self.done} of {self.total} cells", failed, self.left()) if part)

    def write(self, line: str) -> None:
        """Say something that stays on the screen."""

    def show(self) -> None:
        """Bring what is shown up to date."""

    def _count(self) -> None:
        self.done += 1
        self.show()


class Lines(Progress):
    """A plain line every ten seconds and at the end, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def begin(self, waiting: Mapping[str, int]) -> None:
        """Start counting, and the clock of what is shown."""
        super().begin(waiting)
        self._next = self.started + INTERVAL

    def show(self) -> None:
        """Print a line if one is due."""
        if self.done == self.total or time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL
            self.write(self.text())

    def write(self, line: str) -> None:
        """Print the line."""
        print(line, file=self._stream, flush=True)


class Bar(Progress):
    """A live bar for a terminal; on a narrow one, only its figures."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        console = Console(file=stream)
        wide, narrow = console.width >= WIDE, console.width < NARROW
        bar = [BarColumn(bar_width=None)] if wide else []
        more = [] if narrow else [TextColumn("{task.description}"), TimeElapsedColumn()]
        columns = (SpinnerColumn(), *bar, MofNCompleteColumn(), *more)
        self._live = RichProgress(*columns, console=console, transient=True, expand=wide)
        self._bar = self._live.add_task("", total=None)

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def begin(self, waiting: Mapping[str, int]) -> None:
        """Start counting, and the clock of what is shown."""
        super().begin(waiting)
        self.show()

    def show(self) -> None:
        """Move the bar."""
        failed = f"{self.failures} failed" if self.failures else ""
        text = ", ".join(part for part in (failed, self.left()) if part)
        self._live.update(self._bar, total=self.total, completed=self.done, description=text)

    def write(self, line: str) -> None:
        """Print the line above the bar."""
        self._live.console.print(line, markup=False, highlight=False)


WIDE = 60  # columns from which a bar is drawn
NARROW = 40  # columns below which only the cells are counted


def progress_for(stream: TextIO | None = None) -> Progress:
    """A bar if the stream (by default standard error) is a terminal that can move its cursor, else lines."""
    stream = stream or sys.stderr
    if stream is None:  # a process without a console
        return Progress()
    movable = stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return Bar(stream) if movable else Lines(stream)
