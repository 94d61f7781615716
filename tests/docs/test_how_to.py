"""The Python of every how-to page runs, from its top to its bottom."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parent.parent.parent / "docs" / "how_to"
RANKS = """
import torch.multiprocessing

if __name__ == "__main__":
    torch.multiprocessing.spawn({train}, args=(2, {port}), nprocs=2)
"""


def python_of(page: Path) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))


WITH_PYTHON = [page for page in sorted(PAGES.glob("*.md")) if python_of(page)]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_its_code_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    ran = _run(python_of(page), tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("train", ["train", "train_sharded"])
def test_pruned_weights_stay_zero_on_two_ranks(train: str, tmp_path: Path, free_port: int) -> None:
    ran = _run(python_of(PAGES / "distributed.md") + RANKS.format(train=train, port=free_port), tmp_path)
    assert ran.returncode == 0, ran.stderr
    reports = sorted(re.findall(r"rank (\d): (\d+) of (\d+) weights are not zero", ran.stdout))
    assert [rank for rank, _, _ in reports] == ["0", "1"]
    assert all(nonzero == kept for _, nonzero, kept in reports)


LIMIT = 600  # seconds: a page takes about 11 of CPU time, mostly for imports; the rest is for a busy machine


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page; when it takes too long, all its processes end with it, not only the first."""
    (folder / "page.py").write_text(code, "utf-8")
    command = [sys.executable, "page.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as ran:
        try:
            out, errors = ran.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(ran.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, ran.returncode, out, errors)


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
