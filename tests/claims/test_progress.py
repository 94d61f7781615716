"""Progress: failures are said at once, the time left counts only what was computed, a pipe gets plain lines."""

import io
import random

import pytest

from pruneproof.claims.engine import progress as module
from pruneproof.claims.engine.cell import Task
from pruneproof.claims.engine.progress import Bar, Lines, Progress, progress_for

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
    progress.computed(FAST, 1.0)
    assert progress.left() == ""  # nothing is known of the third measure yet
    clock.now = 63.0
    progress.computed("m:unseen", 2.0)
    assert progress.left() == "5:17 left"  # 2·60 + 99·1 + 49·2 s, one at a time


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


def simulated(clock: Clock, generator: random.Random) -> list[tuple[float, float]]:
    """(time, told end) of a run on two workers: 40 cells of ten seconds, 300 of one, each off by up to a half."""
    cells = [(SLOW, 10.0)] * 40 + [(FAST, 1.0)] * 300
    cells = [cells[0], cells[-1], *cells[1:-1]]
    progress, free, told = Progress(), [0.0, 0.0], list[tuple[float, float]]()
    clock.now = 0.0
    progress.begin({SLOW: 40, FAST: 300})
    answers: list[tuple[float, str, float]] = []
    for measure, seconds in cells:
        seconds *= generator.uniform(0.5, 1.5)
        worker = free.index(min(free))
        free[worker] += seconds
        answers.append((free[worker], measure, seconds))
    for clock.now, measure, seconds in sorted(answers):
        progress.computed(measure, seconds)
        if left := progress.left():
            minutes, rest = left.removesuffix(" left").split(":")
            told.append((clock.now, clock.now + 60 * int(minutes) + int(rest)))
    return told


def test_from_a_tenth_of_the_run_on_the_told_end_is_within_a_factor_of_two(clock: Clock) -> None:
    told = simulated(clock, random.Random(0))
    end = told[-1][0]
    late = [(now, ends) for now, ends in told if now >= end / 10]
    assert late and all((end - now) / 2 - 1 <= ends - now <= 2 * (end - now) + 1 for now, ends in late)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    stream = Terminal()
    with progress_for(stream) as progress:
        progress.begin({SLOW: 2})
        progress.computed(SLOW, 0.5)
        progress.computed(SLOW, 0.5)
    assert "2 of 2 cells" in stream.getvalue()


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_the_cells_that_are_done_are_shown_at_every_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with progress_for(stream) as progress:
        assert isinstance(progress, Bar)
        progress.begin({SLOW: 150})
        for _ in range(27):
            progress.computed(SLOW, 0.5)
    assert "27/150" in stream.getvalue()


def test_a_terminal_gets_a_bar_and_keeps_failures_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    chosen = progress_for(out)
    assert isinstance(chosen, Bar)
    assert isinstance(progress_for(io.StringIO()), Lines)
    with chosen as progress:
        progress.begin({SLOW: 2})
        progress.failed(TASK, "ValueError: [no] markup", 0.1)
        progress.computed(SLOW, 0.1)
    assert 'failed: module:function {"seed":1}: ValueError: [no] markup' in out.getvalue().replace("\n", " ")
