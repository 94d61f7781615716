"""Memory does not grow with the checkpoint: whoever held its shards would need more than is allowed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

SHARDS, TENSORS = 6, 2
BLOCK = 1 << 22  # bfloat16 numbers that are repeated, in another order in every tensor

PRUNE = """
import sys
from pathlib import Path
from pruneproof.prune.checkpoints import prune_checkpoint

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
report = prune_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), density=0.5)
print(peak() - before, report.kept, report.total)
"""

Bits = npt.NDArray[np.uint16]


def write(folder: Path, block: Bits, copies: int) -> None:
    size = 2 * BLOCK * copies
    folder.mkdir()
    weight_map = dict[str, str]()
    for shard in range(SHARDS):
        names = [f"layers.{shard}.{tensor}.weight" for tensor in range(TENSORS)]
        header = {
            name: {"dtype": "BF16", "shape": [2048, size // 4096], "data_offsets": [place * size, (place + 1) * size]}
            for place, name in enumerate(names)
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (folder / f"model-{shard}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for tensor in range(TENSORS):
                rolled = np.roll(block, 1 + TENSORS * shard + tensor).tobytes()
                for _ in range(copies):
                    file.write(rolled)
        weight_map |= dict.fromkeys(names, f"model-{shard}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def data(file: Path) -> torch.Tensor:
    """The bits of all tensors of a file."""
    with file.open("rb") as opened:
        start = 8 + int.from_bytes(opened.read(8), "little")
    return torch.from_numpy(np.fromfile(file, dtype=np.int16, offset=start))


@pytest.mark.parametrize("copies", [3, pytest.param(6, marks=pytest.mark.slow)])  # 0.3 and 0.6 GB
def test_a_sharded_checkpoint_is_pruned_in_bounded_memory(copies: int, tmp_path: Path) -> None:
    largest = 2 * BLOCK * copies
    allowed = (largest + 200_000_000) // 1024  # KB beyond what the process holds after its imports
    numbers = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    numbers[numbers == 0] = 1.0  # so that a zero in the output is a pruned weight
    block = numbers.view(torch.uint16).numpy()
    write(tmp_path / "dense", block, copies)
    total = SHARDS * TENSORS * copies * BLOCK
    assert 2 * total > 1024 * allowed

    command = [sys.executable, "-c", PRUNE, tmp_path / "dense", tmp_path / "pruned"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    added, kept, pruned_of = map(int, ran.stdout.split())
    assert (kept, pruned_of) == (total // 2, total)
    assert added <= allowed
    if copies == 6:
        assert_largest_kept(tmp_path, block)
    shutil.rmtree(tmp_path)  # pytest would keep the gigabyte


def assert_largest_kept(folder: Path, block: Bits) -> None:
    """Weights above the median of magnitudes are kept, those below are not, and those at it are until half is full."""
    threshold = int(np.partition(block & 0x7FFF, BLOCK // 2)[BLOCK // 2])  # the checkpoint repeats the block
    ties: list[torch.Tensor] = []
    for shard in range(SHARDS):
        before = data(folder / "dense" / f"model-{shard}.safetensors")
        after = data(folder / "pruned" / f"model-{shard}.safetensors")
        keys = before & 0x7FFF
        at_threshold = keys == threshold
        assert torch.equal(after.masked_fill(at_threshold, 0), before * (keys > threshold))
        ties.append(after[at_threshold] != 0)
        assert torch.equal(after[at_threshold], before[at_threshold] * ties[-1])
    kept_ties = torch.cat(ties)
    assert kept_ties.any() and not kept_ties.all()
    assert not (kept_ties[1:] & ~kept_ties[:-1]).any()  # the first ones are kept
