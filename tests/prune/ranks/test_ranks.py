"""Models that several processes share: pruned as whole ones, or refused by all of them.

Two gloo ranks run with the other tests, four with the slow ones. One start serves many checks (`checks.py`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_loader import load

from pruneproof.prune import Masks

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()),
    reason="this build of torch has no gloo, so that two processes cannot share a model",
)
CHECKS = (
    "ranking",
    "placements",
    "wanda",
    "snip",
    "tensor_parallel",
    "nan_on_one_rank",
    "different_models",
    "whole_models_only",
    "enforced",
    "not_enforced",
    "applied_after_a_forward_pass",
    "saved",
)
RANKS = [2, pytest.param(4, marks=pytest.mark.slow)]
Process = subprocess.Popen[str]


def started(ranks: int, folder: Path, *checks: str, timeout: int = 120) -> list[Process]:
    command = [sys.executable, str(Path(__file__).parent / "checks.py")]
    return [
        subprocess.Popen(
            [*command, str(rank), str(ranks), str(folder), *checks],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TIMEOUT": str(timeout)},
        )
        for rank in range(ranks)
    ]


def found(processes: list[Process]) -> list[Any]:
    """What each rank reports: for every check a list of what is wrong."""
    said = [process.communicate(timeout=500) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(error for _, error in said)
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.mark.parametrize("ranks", RANKS)
def test_ranks_do_what_one_process_does(ranks: int, tmp_path: Path) -> None:
    assert found(started(ranks, tmp_path, *CHECKS)) == [{check: [] for check in CHECKS}] * ranks


@pytest.mark.parametrize(
    ("before", "after"), [(2, 1), *(pytest.param(*n, marks=pytest.mark.slow) for n in [(4, 2), (2, 4)])]
)
def test_a_checkpoint_of_some_ranks_is_read_by_another_number(before: int, after: int, tmp_path: Path) -> None:
    found(started(before, tmp_path, "saved"))
    assert found(started(after, tmp_path, "loaded")) == [{"loaded": []}] * after
    masks = Masks.load(tmp_path / "masks.safetensors")
    state = {"masks": {name: torch.zeros_like(mask) for name, mask in masks.items()}}
    with pytest.warns(UserWarning, match="load in a single process"):
        load(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert Masks(state["masks"]) == masks
    weights = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(torch.equal(weights[name] != 0, mask) for name, mask in masks.items())


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)], ids=str)
def test_when_one_rank_dies_or_hangs_the_others_end_with_an_error_and_no_file(
    how: signal.Signals, ranks: int, tmp_path: Path
) -> None:
    *others, last = processes = started(ranks, tmp_path, "abandoned", timeout=20)
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == '"ready"\n'
        time.sleep(1)  # the others wait inside a collective
        last.send_signal(how)
        said = [process.communicate(timeout=20 + 240)[1] for process in others]  # on a machine that is busy
        assert all(process.returncode != 0 for process in others)
        assert all("Error" in error for error in said)
        assert not list(tmp_path.glob("*masks*"))
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
