"""Fine-tune a pruned network in plain PyTorch, stop half-way, and resume from a checkpoint; also on several ranks.

python examples/finetune_and_resume.py [--toy]
torchrun --nproc-per-node 2 examples/finetune_and_resume.py [--toy]
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pruneproof import prune

epochs = 4 if "--toy" in sys.argv else 40
ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
data, target = load_digits(return_X_y=True)
images, labels = torch.tensor(data, dtype=torch.float32) / 16, torch.tensor(target)
mine = torch.arange(rank, 1300, ranks)  # the training examples of this rank


def network():
    torch.manual_seed(0)  # the same weights on every rank
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def finetune(masks, stop):
    """Train up to an epoch, from the last checkpoint if there is one."""
    model = network()
    masks.enforce(model)  # before it is wrapped and before its state is loaded: both keep it
    parallel = DistributedDataParallel(model) if ranks > 1 else model
    optimizer, start = torch.optim.AdamW(parallel.parameters(), lr=3e-3, weight_decay=0.1), 0
    if Path("checkpoint.pt").exists():
        state = torch.load("checkpoint.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"]
    for epoch in range(start, stop):
        for chosen in mine[torch.randperm(len(mine), generator=torch.Generator().manual_seed(epoch))].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(parallel(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    if rank == 0:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": stop}, "checkpoint.pt")
    return model


if ranks > 1:
    dist.init_process_group("gloo")
masks = prune.wanda(network(), images[:256], density=0.2)
for stop in (epochs // 2, epochs):  # the second call goes on where the first one stopped
    model = finetune(masks, stop)
    dist.barrier() if ranks > 1 else None
accuracy = float((model(images[1300:]).argmax(1) == labels[1300:]).float().mean())
revived = sum(int(model.get_parameter(name)[~mask].count_nonzero()) for name, mask in masks.items())
print(f"rank {rank}: {revived} pruned weights are not zero, density {masks.density:.2f}, accuracy {accuracy:.3f}")
