"""The choice of a backend: what the environment asks for, what the machine has, and what is refused."""

import subprocess
import sys

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import backend, explain_plan, masked_linear
from pruneproof.kernels.masked.op import plan_masked

ARGUMENTS = (torch.ones(1, 2), torch.ones(3, 2), torch.ones(3, 2) > 0)


def test_auto_is_the_reference_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNEPROOF_BACKEND", raising=False)
    assert explain_plan("masked_linear", *ARGUMENTS).backend == "reference"


def test_triton_on_a_cpu_asks_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(PruneproofError, match="TRITON_INTERPRET=1"):
        masked_linear(*ARGUMENTS)


def test_triton_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "triton_installed", lambda: False)
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    with pytest.raises(PruneproofError, match="Install triton"):
        explain_plan("masked_linear", *ARGUMENTS)
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "auto")
    assert masked_linear(*ARGUMENTS).tolist() == [[2.0, 2.0, 2.0]]


def test_an_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "cuda")
    with pytest.raises(PruneproofError, match="one of auto, reference, triton"):
        masked_linear(*ARGUMENTS)


def test_the_number_of_tokens_chooses_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    weight = torch.ones(3, 2)
    few, many = (plan_masked("masked_linear", weight, tokens, None) for tokens in (1, 4096))
    assert (few.implementation, many.implementation) == ("fused", "premask")
    assert plan_masked("masked_linear", weight, 4096, weight).implementation == "skip"
    assert "not measured" in few.reason


def test_float64_is_always_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    x, weight, mask = ARGUMENTS
    assert explain_plan("masked_linear", x.double(), weight.double(), mask).backend == "reference"


@pytest.mark.parametrize(("arguments", "named"), [((), r"\(\)"), ((3, 4, 5), r"\(3, 4, 5\)")])
def test_which_names_wrong_arguments(arguments: tuple[int, ...], named: str) -> None:
    with pytest.raises(PruneproofError, match=f"{named} are not the arguments of masked_linear"):
        explain_plan("masked_linear", *arguments)


WITHOUT_TRITON = """
import sys

sys.modules["triton"] = None  # importing it raises, and `find_spec` finds nothing: as where it is not installed
import torch
from pruneproof import prune
from pruneproof.kernels import BitMask, SparseWeight, greedy_select, masked_linear, sparse_linear
mask = torch.eye(3) > 0
masked_linear(torch.ones(2, 3), torch.ones(3, 3), BitMask.pack(mask)).sum()
sparse_linear(torch.ones(2, 3), SparseWeight.from_dense(torch.eye(3), format="csr16"))
greedy_select((torch.eye(3), torch.ones(3)), 2)
"""


def test_everything_runs_where_there_is_no_triton() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
