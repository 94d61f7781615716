"""Sharded parameters are ranked, masked and held at zero as those of the whole model, or refused by name."""

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys, warnings
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from pruneproof import prune
from pruneproof.errors import PruneproofError
warnings.simplefilter("ignore")
torch.set_num_threads(1)
rank, size, store, *arguments = sys.argv[1:]
rank, size = int(rank), int(size)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)

def network(width=33):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 5))

def shard(model):
    return fully_shard(model, mesh=init_device_mesh("cpu", (size,)))

def generator():
    return torch.Generator().manual_seed(1)

batch = torch.randn(8, 16, generator=generator()), torch.arange(8) % 5
"""


def said(script: str, size: int, folder: Path, *arguments: str) -> list[str]:
    """What each process prints, or its error."""
    command = [sys.executable, "-c", START + script]
    each = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(folder / "store"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    return [(out or error).strip() for out, error in (process.communicate(timeout=120) for process in each)]


RANKING = """
wrong = []
for dtype in (torch.float32, torch.bfloat16):
    whole, sharded = network().to(dtype), network().to(dtype)
    with torch.no_grad():
        for model in (whole, sharded):  # ties, zeros of both signs, and a constant layer
            model[2].weight.copy_((model[2].weight * 8).round() / 8)
            model[4].weight.fill_(0.125)
    shard(sharded)
    scopes = [dict(density=0.3, scope=scope) for scope in ("global", "layer", "erk", "row")]
    for options in [*scopes, dict(density=0.9), dict(density=0.5, exclude="0")]:
        if prune.magnitude(sharded, **options) != prune.magnitude(whole, **options):
            wrong.append((dtype, "magnitude", options))
        same = [prune.random(m, generator=generator(), **options) for m in (sharded, whole)]
        if same[0] != same[1]:
            wrong.append((dtype, "random", options))
for count in (1, 2, 500, 1100):
    one, other = (prune.select(prune.scores.magnitude(model), count=count) for model in (sharded, whole))
    if one != other:
        wrong.append(count)
print(wrong or "equal")
dist.destroy_process_group()
"""


def test_two_ranks_select_what_one_process_selects(tmp_path: Path) -> None:
    """Uneven shards (33 rows), ties at the threshold, two dtypes, five scopes: the same masks, on both ranks."""
    assert said(RANKING, 2, tmp_path) == ["equal", "equal"]


TRAINING = """
model = network()
masks = prune.magnitude(model, density=0.3)
if arguments[0] == "before":
    masks.enforce(model)
    shard(model)
else:
    shard(model)
    if arguments[0] == "after":
        masks.enforce(model)
    else:
        masks.apply_(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()
weights = dict(model.named_parameters())
print(sum(int(weights[name].full_tensor()[~mask].count_nonzero()) for name, mask in masks.items()))
dist.destroy_process_group()
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_pruned_weights_of_a_sharded_model_stay_zero(order: str, tmp_path: Path) -> None:
    assert said(TRAINING, 2, tmp_path, order) == ["0", "0"]


def test_without_enforcement_they_move(tmp_path: Path) -> None:
    assert all(int(count) > 0 for count in said(TRAINING, 2, tmp_path, "once"))


REFUSED = """
model = network()
masks = prune.magnitude(model, density=0.3)
if arguments[0] == "flat":
    from torch.distributed.fsdp import FullyShardedDataParallel
    model = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
else:
    shard(model)
actions = {
    "snip": lambda: prune.snip(model, nn.functional.cross_entropy, batch, density=0.3),
    "wanda": lambda: prune.wanda(model, batch[0], density=0.3),
    "synflow": lambda: prune.synflow(model, (1, 16), density=0.3),
    "sipp": lambda: prune.sipp(model, batch[0], density=0.9, variant="det"),
    "connectivity": lambda: prune.connectivity(model, masks, (1, 16)),
    "sparsify": lambda: prune.sparsify(model, masks),
    "inspect": lambda: prune.inspect_model(model),
}
if arguments[0] == "flat":
    actions |= {"magnitude": lambda: prune.magnitude(model, density=0.3), "apply": lambda: masks.apply_(model),
                "enforce": lambda: masks.enforce(model)}
for name, action in actions.items():
    try:
        action()
        print("no refusal of", name)
    except PruneproofError as error:
        if not ("fully_shard" if arguments[0] == "flat" else "DTensor") in str(error):
            print(name, error)
print("done")
dist.destroy_process_group()
"""


@pytest.mark.parametrize("kind", ["flat", "each"])
def test_what_needs_the_whole_model_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    """`FullyShardedDataParallel` altogether, as it shows flattened pieces; `fully_shard` where parts do not do."""
    assert said(REFUSED, 1, tmp_path, kind) == ["done"]
