"""Interleaved timings on the CPU or a GPU, with the machine, the commit and the quantiles, stored as JSON.

A contender is a function of a buffer number: on a GPU its buffers are rotated so that together they exceed the L2 cache
several times, and nothing is served from a cache that a real workload would not have. Contenders take turns, so a drift
of the clock hits all alike.
"""

import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

RESULTS = Path(__file__).with_name("results")
NOT_MEASURED = "not measured: no CUDA device here"
Contender = Callable[[int], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender: median, lower and upper quintile."""

    median: float
    low: float
    high: float


def interleaved(contenders: dict[str, Contender], *, rounds: int = 20, inner: int = 1) -> dict[str, Timing]:
    """Time every contender once a round, `inner` calls at a time, after two rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 2):
        for name, call in contenders.items():
            elapsed = (_gpu_seconds if torch.cuda.is_available() else _cpu_seconds)(call, turn, inner)
            if turn >= 2:
                seconds[name].append(elapsed)
    return {name: _summary(values) for name, values in seconds.items()}


def _summary(values: Sequence[float]) -> Timing:
    fifths = quantiles(values, n=5)
    return Timing(median(values), fifths[0], fifths[-1])


def _cpu_seconds(call: Contender, turn: int, inner: int) -> float:
    start = time.perf_counter()
    for i in range(inner):
        call(turn * inner + i)
    return (time.perf_counter() - start) / inner


def _gpu_seconds(call: Contender, turn: int, inner: int) -> float:
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    for i in range(inner):
        call(turn * inner + i)
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / 1e3 / inner


def copies(bytes_each: int) -> int:
    """How many buffers make their sum four times the L2 cache (at least two)."""
    if not torch.cuda.is_available():
        return 1
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return max(2, -(-4 * cache // bytes_each))


def device_name() -> str:
    """The GPU's name, or the processor's."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()


def machine() -> dict[str, str]:
    """What the numbers were taken on."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return {
        "device": device_name(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "commit": head.stdout.strip() + ("+changes" if dirty.strip() else ""),
    }


def record(name: str, case: dict[str, Any], timings: dict[str, Timing], **more: Any) -> dict[str, Any]:
    """Append one row to bench/results/<device>/<name>.json and print it."""
    folder = RESULTS / device_name().replace(" ", "-").replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.exists() else []
    row = {**case, "seconds": {key: asdict(timing) for key, timing in timings.items()}, **more}
    kept = [old for old in rows if any(old.get(key) != value for key, value in case.items())]
    file.write_text(json.dumps({"machine": machine(), "rows": [*kept, row]}, indent=1) + "\n")
    shown = ", ".join(f"{key} {timing.median * 1e6:.1f} µs" for key, timing in timings.items())
    print(f"\n{name} {case}: {shown}; " + ", ".join(f"{key} {value}" for key, value in more.items()))
    return row
