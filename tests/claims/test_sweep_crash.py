"""A sweep that is killed twenty times loses no acknowledged cell, and computes none of them again."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUDY = """
import time

def train(cell):
    with open("log", "a") as log:
        print(cell["seed"], file=log)
    time.sleep(0.01)
    return {"error": cell["seed"] / 7}
"""
CELLS = 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crash_study.py").write_text(STUDY)
    (tmp_path / "sweep.toml").write_text(f'measure = "crash_study:train"\n[axes]\nseed = {list(range(CELLS))}\n')
    (tmp_path / "log").touch()
    return tmp_path


def sweep(folder: Path, out: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "pruneproof.cli",
        "sweep",
        "sweep.toml",
        "--out",
        out,
        "--resume",
        "--workers",
        "2",
    ]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def stored(folder: Path, out: str) -> dict[int, str]:
    connection = sqlite3.connect(folder / out / "results.sqlite")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = connection.execute("SELECT json_extract(cell, '$.seed'), rows FROM cells")
        return {int(seed): str(rows) for seed, rows in found}
    finally:
        connection.close()


def computed(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "log").read_text().splitlines()]


def test_twenty_kills(folder: Path) -> None:
    moments = random.Random(6)
    before: dict[int, str] = {}
    in_mid_run = 0
    for _ in range(20):
        lines = len(computed(folder))
        running = sweep(folder, "killed")
        while running.poll() is None and len(computed(folder)) <= lines:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.1))
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=30)
        after = stored(folder, "killed")
        assert before.items() <= after.items()
        assert not set(computed(folder)[lines:]) & before.keys()
        in_mid_run += 0 < len(after) < CELLS
        before = after
    out, err = sweep(folder, "killed").communicate(timeout=60)
    assert out == f"{CELLS} cells in killed/results.sqlite\n", err
    assert in_mid_run >= 10
    sweep(folder, "undisturbed").communicate(timeout=60)
    assert stored(folder, "killed") == stored(folder, "undisturbed")
