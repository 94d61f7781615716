"""Progress: failures are said at once, the time left counts only what was computed, a pipe gets plain lines."""

import io

import pytest

from pruneproof.claims import progress as module
from pruneproof.claims.cell import Task
from pruneproof.claims.progress import Bar, Lines, progress_for

TASK = Task("key", "module:function", '{"seed":1}')


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_time_left_counts_only_computed_cells(clock: Clock) -> None:
    progress = Lines(io.StringIO())
    progress.begin(100)
    for _ in range(50):  # found in the store at once: they say nothing about the pace
        progress.known()
    assert progress.left() == ""
    clock.now = 30.0
    progress.computed()
    progress.computed()
    assert progress.left() == "12:00 left"  # 15 s for each of the other 48
    assert progress.text() == "52 of 100 cells, 12:00 left"


def test_lines_come_every_ten_seconds_at_the_end_and_for_a_failure(clock: Clock) -> None:
    out = io.StringIO()
    with Lines(out) as progress:
        progress.begin(4)
        progress.computed()
        clock.now = 11.0
        progress.computed()
        progress.failed(TASK, "ValueError: no")
        progress.computed()
    assert out.getvalue().splitlines() == [
        "2 of 4 cells, 0:11 left",
        'failed: module:function {"seed":1}: ValueError: no',
        "4 of 4 cells, 1 failed, 0:00 left",
    ]


def test_a_terminal_gets_a_bar_and_keeps_failures_on_the_screen() -> None:
    out = Terminal()
    chosen = progress_for(out)
    assert isinstance(chosen, Bar)
    assert isinstance(progress_for(io.StringIO()), Lines)
    with chosen as progress:
        progress.begin(2)
        progress.failed(TASK, "ValueError: [no] markup")
        progress.computed()
    assert 'failed: module:function {"seed":1}: ValueError: [no] markup' in out.getvalue().replace("\n", " ")
