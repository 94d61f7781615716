"""The page on proofs is true: its Python runs and prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "proofs.md").read_text("utf-8")


def test_the_example_runs_and_prints_what_it_promises(tmp_path: Path) -> None:
    [block] = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == re.findall(r"#> (.*)", block)
    command = [sys.executable, "-m", "pruneproof.cli", "check", "bernstein.json"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
