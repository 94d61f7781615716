"""Progress: failures are said at once, the time left counts only what was computed, a pipe gets plain lines."""

import io

import pytest

from pruneproof.claims.engine import progress as module
from pruneproof.claims.engine.cell import Task
from pruneproof.claims.engine.progress import Bar, Lines, progress_for

SLOW, FAST = "module:function", "module:other"
TASK = Task("key", SLOW, '{"seed":1}')


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
    progress.begin({SLOW: 100})
    for _ in range(50):  # found in the store at once: they say nothing about the pace
        progress.known(SLOW)
    assert progress.left() == ""
    clock.now = 30.0
    progress.computed(SLOW, 30.0)
    progress.computed(SLOW, 30.0)
    assert progress.text() == "52 of 100 cells, 12:00 left"  # 30 s for two of the other 48


def test_measures_have_a_pace_of_their_own(clock: Clock) -> None:
    progress = Lines(io.StringIO())
    progress.begin({SLOW: 3, FAST: 100, "m:unseen": 50})
    clock.now = 61.0
    progress.computed(SLOW, 60.0)
    assert progress.left() == "154:32 left"  # nothing is known of the others yet: (2 + 100 + 50)·61 s
    progress.computed(FAST, 1.0)
    assert progress.left() == "4:29 left"  # 2·60 + 99·1 + 50·1 s, one at a time


def test_lines_come_every_ten_seconds_at_the_end_and_for_a_failure(clock: Clock) -> None:
    out = io.StringIO()
    with Lines(out) as progress:
        progress.begin({SLOW: 4})
        progress.computed(SLOW, 5.5)
        clock.now = 11.0
        progress.computed(SLOW, 5.5)
        progress.failed(TASK, "ValueError: no", 0.5)
        progress.computed(SLOW, 0.5)
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
        progress.begin({SLOW: 2})
        progress.failed(TASK, "ValueError: [no] markup", 0.1)
        progress.computed(SLOW, 0.1)
    assert 'failed: module:function {"seed":1}: ValueError: [no] markup' in out.getvalue().replace("\n", " ")
