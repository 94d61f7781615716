"""Global magnitude pruning of 50 million weights against `torch.nn.utils.prune.global_unstructured`: time and memory.

Both do the whole job: score, select, zero. Each run is a process of its own, in turn, so that memory is measured from a
clean start (peak resident set minus the resident set with the model in place) and drift of the machine hits both alike.
The gate is the count: exactly a tenth is kept by both, and the kept weights agree.
"""

import json
import platform
import subprocess
import sys
from statistics import median
from typing import Any

import pytest
import torch

ROUNDS = 3
FASTER, LEANER = 10, 4  # bars: at least so many times faster, at most the inverse of the memory

JOB = """
import hashlib, json, sys, time
from pathlib import Path
import torch
from torch import nn
from torch.nn.utils.prune import L1Unstructured, global_unstructured
from pruneproof.prune import select
from pruneproof.prune.scores import magnitude

def megabytes(entry):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024

generator = torch.Generator().manual_seed(0)
model = nn.Sequential(*(nn.Linear(5000, 2000, bias=False) for _ in range(5)))
small = nn.Sequential(nn.Linear(10, 10, bias=False))
with torch.no_grad():
    for weight in model.parameters():
        weight.normal_(generator=generator)

def ours(network):
    select(magnitude(network), density=0.1).apply_(network)

def peer(network):
    pairs = [(layer, "weight") for layer in network]
    global_unstructured(pairs, pruning_method=L1Unstructured, amount=0.9)

job = {"ours": ours, "peer": peer}[sys.argv[1]]
job(small)  # imports and thread pools are not what is compared
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = megabytes("VmRSS")
start = time.perf_counter()
job(model)
seconds = time.perf_counter() - start
extra = megabytes("VmHWM") - before
kept = [layer.weight.ne(0) for layer in model]
digest = hashlib.sha256(b"".join(mask.numpy().tobytes() for mask in kept)).hexdigest()
count = int(sum(mask.count_nonzero() for mask in kept))
print(json.dumps({"seconds": seconds, "megabytes": extra, "count": count, "digest": digest}))
"""


def run(job: str) -> dict[str, Any]:
    process = subprocess.run([sys.executable, "-c", JOB, job], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_select_beats_global_unstructured(benchmark: Any) -> None:
    runs = [(run("ours"), run("peer")) for _ in range(ROUNDS)]
    assert {result["count"] for pair in runs for result in pair} == {5_000_000}
    assert len({result["digest"] for pair in runs for result in pair}) == 1
    ours, peer = (
        {key: median(pair[side][key] for pair in runs) for key in ("seconds", "megabytes")} for side in (0, 1)
    )
    ratios = {key: peer[key] / ours[key] for key in ours}
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    benchmark.extra_info.update(machine=machine, ours=ours, peer=peer, ratios=ratios)
    print(f"\n{machine}: {ratios['seconds']:.1f}x faster, {ratios['megabytes']:.1f}x less extra memory; {ours}, {peer}")
    benchmark.pedantic(run, args=("ours",), rounds=1)
    assert ratios["seconds"] >= FASTER and ratios["megabytes"] >= LEANER
