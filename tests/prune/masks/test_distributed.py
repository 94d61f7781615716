"""Enforcement holds under `DistributedDataParallel`: two gloo processes stay at zero and agree bit by bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from pruneproof.prune import select
from pruneproof.prune.scores import magnitude

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
results = []
for wrap_first in (False, True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    if wrap_first:
        wrapped = DistributedDataParallel(model)
        masks = select(magnitude(wrapped), density=0.3)
        masks.enforce(wrapped)
    else:
        masks = select(magnitude(model), density=0.3)
        masks.enforce(model)
        wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    data = torch.Generator().manual_seed(rank)  # each process sees other examples
    nonzero = 0
    for _ in range(50):
        optimizer.zero_grad()
        wrapped(torch.randn(8, 6, generator=data)).square().mean().backward()
        optimizer.step()
        for name, mask in masks.items():
            parameter = model.get_parameter(name)
            nonzero += int(parameter[~mask].count_nonzero() + parameter.grad[~mask].count_nonzero())
            nonzero += int(optimizer.state[parameter]["momentum_buffer"][~mask].count_nonzero())
    weights = [value.tolist() for value in model.state_dict().values()]
    results.append({"nonzero": nonzero, "kept": int(model[2].weight.count_nonzero()), "weights": weights})
(folder / f"{rank}.json").write_text(json.dumps(results))
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this build of torch has no gloo, so that two processes cannot train together",
)
def test_two_processes(tmp_path: Path) -> None:
    """Enforced before and after wrapping; each process has its own data, so equal weights mean averaged gradients."""
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert [case["nonzero"] for case in first] == [0, 0] and all(case["kept"] > 0 for case in first)
