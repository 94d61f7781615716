"""Progress is shown where it helps: on a terminal, and only once the work takes longer than two seconds."""

import io

import pytest
from rich.console import Console

from pruneproof import progress
from pruneproof.progress import Meter


@pytest.mark.parametrize(("terminal", "seconds", "shown"), [(True, 5.0, True), (True, 1.0, False), (False, 5.0, False)])
def test_progress_waits_and_leaves_files_alone(
    terminal: bool, seconds: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Meter("pruning model") as meter:
        meter(1_000_000, 4_000_000)
        now[0] = seconds
        meter(2_000_000, 4_000_000)
    assert ("pruning model" in written.getvalue()) == shown


def test_a_log_gets_a_line_a_minute_of_things_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=False, width=100)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Meter("certifying balls", counted=True) as meter:
        for second in range(0, 150, 10):
            now[0] = float(second)
            meter(second, 1000)
    assert written.getvalue().splitlines() == [
        "certifying balls: 60 of 1000 after 60 s",
        "certifying balls: 120 of 1000 after 120 s",
    ]
