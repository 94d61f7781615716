"""Interleaved timings on the CPU, with the machine, the commit and the quantiles, stored as JSON.

Contenders take turns, so a drift of the clock hits all alike. A GPU is measured by `bench/gpu_session.py`.
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

from bench.session import replace_json

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender: median, lower and upper quintile."""

    median: float
    low: float
    high: float


def interleaved(contenders: dict[str, Callable[[], object]], *, rounds: int = 20) -> dict[str, Timing]:
    """Time every contender once a round, after two rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 2):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if turn >= 2:
                seconds[name].append(elapsed)
    return {name: _summary(values) for name, values in seconds.items()}


def _summary(values: Sequence[float]) -> Timing:
    fifths = quantiles(values, n=5)
    return Timing(median(values), fifths[0], fifths[-1])


def device_name() -> str:
    """The processor's name."""
    return platform.processor() or platform.machine()


def commit() -> str:
    """What is checked out here, and whether it was changed; unknown where there is no git or no repository."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, str]:
    """What the numbers were taken on."""
    return {
        "device": device_name(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "commit": commit(),
    }


def record(name: str, case: dict[str, Any], timings: dict[str, Timing], **more: Any) -> dict[str, Any]:
    """Append one row to bench/results/<device>/<name>.json and print it."""
    folder = RESULTS / device_name().replace(" ", "-").replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.exists() else []
    row = {**case, "seconds": {key: asdict(timing) for key, timing in timings.items()}, **more}
    kept = [old for old in rows if any(old.get(key) != value for key, value in case.items())]
    replace_json(file, {"machine": machine(), "rows": [*kept, row]})
    shown = ", ".join(f"{key} {timing.median * 1e6:.1f} µs" for key, timing in timings.items())
    print(f"\n{name} {case}: {shown}; " + ", ".join(f"{key} {value}" for key, value in more.items()))
    return row
