"""Greedy selection against what it replaces: the residual scan, a streaming mat-vec a step.

Each test first demands equal choices, then times the contenders interleaved on the same data and asserts the ratio of
medians. The scan and the mat-vec are too slow for all K = 1000 steps: theirs are extrapolated from the first few.
"""

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor

from pruneproof.kernels import Gram, Selection, greedy_select

NEURONS, POINTS, STEPS, CORRECTIVE_STEPS = 4096, 10_000, 1000, 500


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor]:
    """ReLU features of random inputs and a target near their mean, float32, scaled by 1/√points."""
    generator = torch.Generator().manual_seed(0)
    inputs, weights = torch.randn(POINTS, 32, generator=generator), torch.randn(NEURONS, 32, generator=generator)
    features = (weights @ inputs.T).relu_() / POINTS**0.5
    return features, features.mean(0) + 0.1 * torch.randn(POINTS, generator=generator) / POINTS**0.5


@pytest.fixture(scope="module")
def gram(problem: tuple[Tensor, Tensor]) -> Gram:
    return Gram.from_features(*problem)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _interleaved(rounds: int, **contenders: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each contender, measured in turn so that drift of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(_seconds(call))
    return {name: median(values) for name, values in times.items()}


def _record(benchmark: Any, call: Callable[[], object], seconds: dict[str, float], **ratios: float) -> None:
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    benchmark.extra_info.update(machine=machine, seconds=seconds, **ratios)
    print(f"\n{machine}: " + ", ".join(f"{name} {value:.3g}x" for name, value in ratios.items()))
    benchmark.pedantic(call, rounds=3, warmup_rounds=1)


def _steps(problem: tuple[Tensor, Tensor], steps: int, method: str) -> Selection:
    return greedy_select(problem, steps, method=method)


def test_average_beats_the_scan_and_the_stream(benchmark: Any, problem: tuple[Tensor, Tensor], gram: Gram) -> None:
    path = greedy_select(gram, STEPS).indices
    assert torch.equal(path[:3], _steps(problem, 3, "naive").indices)
    assert torch.equal(path[:20], _steps(problem, 20, "stream").indices)
    seconds = _interleaved(
        3,
        ours=partial(greedy_select, gram, STEPS),
        build=partial(Gram.from_features, *problem),
        naive=partial(_steps, problem, 2, "naive"),
        stream=partial(_steps, problem, 40, "stream"),
    )
    naive, stream = seconds["naive"] / 2 * STEPS, seconds["stream"] / 40 * STEPS
    whole = seconds["ours"] + seconds["build"]
    ratios = {
        "over_naive": naive / seconds["ours"],
        "over_stream": stream / seconds["ours"],
        "over_naive_with_build": naive / whole,
        "over_stream_with_build": stream / whole,
    }
    _record(benchmark, partial(greedy_select, gram, STEPS), seconds, **ratios)
    assert ratios["over_naive_with_build"] >= 100
    assert ratios["over_stream_with_build"] >= 5


_MEASURE_MEMORY = f"""
import re, torch
from pathlib import Path
from pruneproof.kernels import Gram, greedy_select
features, target = torch.rand({NEURONS}, {POINTS}), torch.rand({POINTS})
small = Gram.from_features(features[:1024], target)  # lets the libraries load their code and buffers
[greedy_select(small, 100, rule=rule) for rule in ("average", "corrective")]
del small
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
gram = Gram.from_features(features, target)
greedy_select(gram, {STEPS})
average = peak() - before
greedy_select(gram, {CORRECTIVE_STEPS}, rule="corrective")
print(average, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_stays_near_the_gram(benchmark: Any, gram: Gram) -> None:
    """What a fresh process needs beyond the features to build a Gram and select from it: at most 1.3 times the Gram."""
    output = subprocess.run([sys.executable, "-c", _MEASURE_MEMORY], check=True, capture_output=True, text=True).stdout
    average, corrective = (float(kilobytes) * 1024 / (4 * NEURONS**2) for kilobytes in output.split())
    _record(benchmark, partial(greedy_select, gram, 10), {}, average_over_gram=average, corrective_over_gram=corrective)
    assert average >= 1  # the Gram itself is seen, so a pass means something
    assert corrective <= 1.3  # the peak of both runs
