"""What a large model costs: a decoder of 1.1 billion weights pruned on calibration text, a checkpoint of 8 GB streamed.

    python bench/large.py decoder                # four minutes of two cores, 5 GB of memory
    python bench/large.py checkpoint FOLDER      # 8 GB read twice and written once; 26 GB of disk

Both print one JSON line: seconds, CPU seconds, the peak of resident memory, the machine. The decoder has the sizes of
TinyLlama with random bfloat16 weights, filled one tensor at a time. The checkpoint is written with random bits, its
pages are dropped from the cache before every reading, and its time is held against reading the files twice and writing
them once by plain large reads and writes, in turn.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from pruneproof.environment import environment

SEQUENCES, LENGTH = 32, 256  # calibration tokens: as many as the tests of the sentence encoder take
SHARD, SHARDS = 1 << 30, 8
PIECE = 1 << 24  # bytes of a plain read


def peak() -> float:
    """The most resident memory of this process so far, in MB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def decoder() -> dict[str, Any]:
    """Wanda at half density on every linear layer of the blocks."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from pruneproof.prune import calibrated

    config = LlamaConfig(vocab_size=32_000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
                         num_attention_heads=32, num_key_value_heads=4, use_cache=False)  # fmt: skip
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config).eval()
    model.bfloat16().to_empty(device="cpu")
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are computed, not stored
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(std=0.02, generator=generator)
        else:
            parameter.data.fill_(1)
    tokens = torch.randint(config.vocab_size, (SEQUENCES, LENGTH), generator=generator)
    batches = [{"input_ids": part} for part in tokens.split(4)]

    def show(done: Any) -> None:
        print(f"{done.index}/{done.total} {done.name}: {done.seconds:.0f} s, {peak():.0f} MB", file=sys.stderr)

    figures = timed(lambda: calibrated(model, batches, method="wanda", density=0.5, progress=show))
    return {"weights": sum(p.numel() for p in model.parameters()), "tokens": tokens.numel(), **figures}


def timed(job: Callable[[], Any]) -> dict[str, float]:
    """Seconds, CPU seconds, peak memory."""
    wall, busy = time.perf_counter(), time.process_time()
    job()
    return {
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "peak_mb": round(peak()),
    }


def prune(source: Path, target: Path) -> dict[str, float]:
    """Magnitude at half density."""
    from pruneproof.prune.checkpoints import prune_checkpoint

    return timed(lambda: prune_checkpoint(source, target, density=0.5))


def checkpoint(folder: Path) -> dict[str, Any]:
    """Magnitude at half density over eight bfloat16 shards of 1 GB."""
    dense, copied, pruned = (folder / name for name in ("dense", "copied", "pruned"))
    write_shards(dense)
    base, ours = list[dict[str, float]](), list[dict[str, float]]()
    for _ in range(3):
        shutil.rmtree(copied, ignore_errors=True)
        shutil.rmtree(pruned, ignore_errors=True)
        forget(dense)
        base.append(timed(lambda: read_twice_and_write(dense, copied)))
        shutil.rmtree(copied)
        forget(dense)
        with get_context("spawn").Pool(1) as fresh:  # its peak is its own
            ours.append(fresh.apply(prune, (dense, pruned)))
        print(base[-1], ours[-1], file=sys.stderr)
    for made in (dense, pruned):
        shutil.rmtree(made)
    return {"read twice, written once": base, "pruned": ours}


def write_shards(folder: Path) -> None:
    """Random bfloat16 numbers, four matrices a shard."""
    folder.mkdir(parents=True)
    names, rows = [f"{part}.weight" for part in "qkvo"], SHARD // 8 // 4096
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        file = f"model-{shard}.safetensors"
        header = {
            f"layers.{shard}.{name}": {
                "dtype": "BF16", "shape": [rows, 4096], "data_offsets": [i * SHARD // 4, (i + 1) * SHARD // 4]
            } for i, name in enumerate(names)
        }  # fmt: skip
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        generator = torch.Generator().manual_seed(shard)
        with (folder / file).open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for _ in range(SHARD // PIECE):
                numbers = torch.randn(PIECE // 2, generator=generator).to(torch.bfloat16)
                out.write(numbers.view(torch.uint16).numpy().tobytes())
            os.fsync(out.fileno())
        weight_map |= dict.fromkeys(header, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), "utf-8")


def forget(folder: Path) -> None:
    """Drop the pages of written files from the cache."""
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_twice_and_write(source: Path, target: Path) -> None:
    """What any two-pass program must do at least; pages read are dropped, as the second pass would find them gone."""
    target.mkdir()
    buffer = memoryview(bytearray(PIECE))
    for path in sorted(source.iterdir()):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    forget(source)
    for path in sorted(source.iterdir()):
        with path.open("rb", buffering=0) as file, (target / path.name).open("wb", buffering=0) as out:
            while count := file.readinto(buffer):
                out.write(buffer[:count])
            os.fsync(out.fileno())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("decoder", "checkpoint"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/large"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    found = decoder() if arguments.what == "decoder" else checkpoint(arguments.folder)
    known = environment()
    machine = {name: known[name] for name in ("processor", "torch", "source")}
    print(json.dumps({**found, "machine": machine, "threads": torch.get_num_threads(), "load before": round(load, 1)}))


if __name__ == "__main__":
    main()
