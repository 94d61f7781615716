"""A verify run that is killed, twenty times at random moments, and resumed ends like one that was left alone."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAPER = """
import time
from pruneproof.claims.claim import Claim, Outcome, Paper, Verdict

PAPER = Paper("crash", "A paper for this test", "nobody", 2026)

def measure(cell):
    with open(cell["log"], "a") as log:
        print(cell["seed"], file=log)
    time.sleep(0.02)
    return [{"k": k, "value": cell["seed"] / (k + 7)} for k in range(3)]

def judge(rows):
    total = sum(row["value"] for row in rows)
    return Outcome(Verdict.HOLDS, {"total": total}, tuple(sorted({row["seed"] for row in rows})), "everywhere", rows)

def grid(scale, seeds):
    return [{"seed": seed, "log": "log"} for seed in range(seeds or 150)]

CLAIMS = (Claim("K1", "s", "n", "c", measure, paper="crash", grid=grid, judge=judge),)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crash_paper.py").write_text(PAPER)
    return tmp_path


def verify(folder: Path, out: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pruneproof.cli", "verify", "--paper", "crash_paper", "--json", "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def contents(folder: Path, out: str) -> list[str]:
    connection = sqlite3.connect(folder / out / "results.sqlite")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return list(connection.iterdump())
    finally:
        connection.close()


def acknowledged(folder: Path, out: str) -> set[str]:
    """The cells stored so far, read as anybody would while the run may still be writing."""
    if not (folder / out / "results.sqlite").exists():
        return set()
    connection = sqlite3.connect(folder / out / "results.sqlite", timeout=5)
    try:
        return {cell for (cell,) in connection.execute("SELECT cell FROM cells")}
    except sqlite3.OperationalError:  # killed before the tables were made
        return set()
    finally:
        connection.close()


def seed_of(cell: str) -> str:
    return cell.partition('"seed":')[2].rstrip("}")


def wait_for_work(running: subprocess.Popen[str], log: Path, computed: int) -> None:
    while running.poll() is None and len(log.read_text().splitlines()) <= computed:
        time.sleep(0.005)


def test_twenty_kills_lose_no_acknowledged_row_and_change_no_result(folder: Path) -> None:
    undisturbed, _ = verify(folder, "undisturbed").communicate(timeout=60)
    (folder / "log").write_text("")
    moments = random.Random(20)
    before: set[str] = set()
    in_mid_run = 0
    for turn in range(20):
        computed = len((folder / "log").read_text().splitlines())
        running = verify(folder, "killed", "--resume")
        if turn % 2:  # at any moment from the start; else at any moment of the work, however slow the start is
            time.sleep(moments.uniform(0.0, 0.5))
        else:
            wait_for_work(running, folder / "log", computed)
            time.sleep(moments.uniform(0.0, 0.1))
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=30)
        kept = acknowledged(folder, "killed")
        assert before <= kept
        in_mid_run += 0 < len(kept) < 150
        again = (folder / "log").read_text().splitlines()[computed:]
        assert not set(again) & {seed_of(cell) for cell in before}
        before = kept
    resumed, _ = verify(folder, "killed", "--resume").communicate(timeout=60)
    assert resumed == undisturbed
    assert contents(folder, "killed") == contents(folder, "undisturbed")
    assert in_mid_run >= 5


def test_workers_end_with_a_killed_parent(folder: Path) -> None:
    running = verify(folder, "orphans")
    while not (folder / "log").exists():
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)  # returns when the last worker has closed the pipes it inherited
    lines = len((folder / "log").read_text().splitlines())
    time.sleep(0.3)
    assert len((folder / "log").read_text().splitlines()) == lines


def test_an_interrupted_run_keeps_its_cells_and_says_how_to_resume(folder: Path) -> None:
    running = verify(folder, "interrupted")
    while not (folder / "log").exists() or len((folder / "log").read_text().splitlines()) < 12:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert "finished cells are kept in interrupted; repeat the command with --resume" in err
    assert "Traceback" not in err
    kept = acknowledged(folder, "interrupted")
    assert len(kept) >= 4
    lines = len((folder / "log").read_text().splitlines())
    resumed = verify(folder, "interrupted", "--resume")
    resumed.communicate(timeout=60)
    assert resumed.returncode == 0
    again = (folder / "log").read_text().splitlines()[lines:]
    assert not set(again) & {seed_of(cell) for cell in kept}
