"""The tests for a GPU can be collected on a host without python-flint, tyro, z3 and Dask."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BARE = """
import sys

for name in ("flint", "tyro", "z3", "dask", "distributed"):
    sys.modules[name] = None  # as if it were not installed
import pytest
sys.exit(pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def collected(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_gpu_tests_are_collected_without_optional_packages() -> None:
    done = collected("-m", "gpu", "tests")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "test_gpu.py" in done.stdout and "error" not in done.stdout


def test_all_tests_are_not() -> None:
    """The negative control: the packages are really out of reach."""
    assert collected("tests/theory").returncode != 0
