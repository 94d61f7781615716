"""The stored results of mutation testing: nine of ten mutants are killed, and every survivor has a reason.

`make mutate` finds them anew, in hours; this holds what is stored of it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BASELINE: dict[str, Any] = json.loads((Path(__file__).parent / "mutation" / "baseline.json").read_text("utf-8"))
PACKAGES = ("prune", "theory")


def test_both_packages_are_there() -> None:
    assert set(BASELINE) >= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_nine_of_ten_mutants_are_killed(package: str) -> None:
    found = BASELINE[package]
    assert found["tried"] >= 100
    assert found["killed"] >= 0.9 * found["tried"]


@pytest.mark.parametrize("package", BASELINE)
def test_every_survivor_has_a_reason(package: str) -> None:
    found = BASELINE[package]
    assert len(found["survivors"]) <= found["tried"] - found["killed"]
    assert not [name for name, reason in found["survivors"].items() if len(reason) < 15 or reason == "unexplained"]


@pytest.mark.parametrize("package", BASELINE)
def test_every_survivor_is_a_change_of_a_line_that_is_still_there(package: str) -> None:
    root = Path(__file__).parents[1]
    for name in BASELINE[package]["survivors"]:
        file, change = name.split(": ", 1)
        assert change.split(" => ")[0] in (root / file).read_text("utf-8"), name


TRIED = """
import sys, time
import trial
trial.WAITING = float(sys.argv[3])
began = time.monotonic()
child = trial.start("no_module", "", [sys.argv[1]], float(sys.argv[2]))
while (shown := trial.outcome(child, began, float(sys.argv[2]))) is None:
    pass
print(shown)
"""


@pytest.mark.parametrize(
    ("body", "limit", "waiting", "shown"),
    [
        ("while True: pass", 2, 1e9, "timed out"),  # whatever the machine does beside it
        ("time.sleep(4)", 3, 1e9, "survived"),  # which takes no processor time
        ("time.sleep(1e4)", 2, 1, "timed out"),  # a deadlock
        ("subprocess.run([sys.executable, '-c', 'while True: pass'], check=True)", 2, 1e9, "killed"),
        ("assert False", 20, 1e9, "killed"),
    ],
)
def test_a_trial_is_limited_in_processor_time(
    body: str, limit: float, waiting: float, shown: str, tmp_path: Path
) -> None:
    (tmp_path / "test_one.py").write_text(f"import subprocess, sys, time\n\ndef test_one():\n    {body}\n")
    command = [sys.executable, "-c", TRIED, str(tmp_path / "test_one.py"), str(limit), str(waiting)]
    folder = Path(__file__).parent / "mutation"
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == shown, run.stderr
