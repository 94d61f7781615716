"""A run that is told to end says that what is finished is kept, and leaves no complaints behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MEASURE = """
import time
from pathlib import Path

def train(cell):
    if cell["seed"]:
        Path(__file__).with_name("begun").touch()
        time.sleep(3)
    return {"y": 1}
"""
PAPER = """
from pruneproof.claims import Claim, Outcome, Paper, Verdict
from study_that_ends import train

PAPER = Paper("own", "t", "a", 2026)
CLAIMS = (Claim("OWN", "s", "n", "c", train, paper="own", grid=lambda *_: [{"seed": 0}, {"seed": 1}],
                judge=lambda rows: Outcome(Verdict.HOLDS, {}, (), "")),)
"""
COMMANDS = {
    "sweep": ["sweep", "study.toml", "--out", "out", "--workers", "1"],
    "verify": ["verify", "--paper", "own_paper_that_ends", "--out", "out", "--workers", "1"],
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_is_told_to_end_keeps_what_is_finished(
    command: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C, or by the SIGTERM of a batch system: the same end."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "study_that_ends.py").write_text(MEASURE)
    (tmp_path / "own_paper_that_ends.py").write_text(PAPER)
    (tmp_path / "study.toml").write_text('measure = "study_that_ends:train"\n[axes]\nseed = [0, 1]\n')
    started = [sys.executable, "-m", "pruneproof.cli", *COMMANDS[command]]
    process = subprocess.Popen(started, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if (tmp_path / "begun").exists():
            break
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert (tmp_path / "begun").exists(), said
    assert "kept" in said and "leaked" not in said and "Traceback" not in said, said
    assert process.returncode == 130
    assert (tmp_path / "out" / "run.json").exists()
