"""The example scripts run at toy size, and stay short enough to be read in a minute."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_runs_at_toy_size(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script), "--toy"]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait for one another crawl on a busy machine
    ran = subprocess.run(command, cwd=tmp_path, env=one, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    assert len(script.read_text("utf-8").splitlines()) <= 60


def test_the_list_of_examples_is_complete() -> None:
    assert len(SCRIPTS) == 7
    listed = re.findall(r"\]\((\w+\.py)\)", (FOLDER / "README.md").read_text("utf-8"))
    assert sorted(listed) == [script.name for script in SCRIPTS]
