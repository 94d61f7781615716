"""Sensitivities against a loop over neurons that forms the (batch, in) shares of each half-row, as published code does.

Bars: 3× on a CPU at 1024 × 1024, batch 256 (float32, one thread each or more); 50× on a GPU at 4096 × 4096.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.timing import Timing, interleaved, record
from pruneproof.kernels import sensitivities

Measured = tuple[dict[str, Timing], float, Callable[[], Tensor]]


def per_filter(weight: Tensor, inputs: Tensor) -> Tensor:
    """One neuron at a time, both halves, every share of every point in memory; inputs positive, so no sum is zero."""
    result = torch.empty_like(weight)
    for i, row in enumerate(weight):
        plus, minus = (_largest_shares(half, inputs) for half in (row.clamp(min=0), (-row).clamp(min=0)))
        torch.maximum(plus, minus, out=result[i])
    return result


def _largest_shares(half: Tensor, inputs: Tensor) -> Tensor:
    shares = inputs * half
    return shares.div_(shares.sum(1, keepdim=True)).amax(0)


def measure(out: int, columns: int, batch: int, rounds: int) -> Measured:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(out, columns, generator=generator)
    inputs = torch.rand(batch, columns, generator=generator)
    # two evaluations of the same formula, each within (in + 8)u/(1 − (in + 8)u) of the exact value
    torch.testing.assert_close(sensitivities(weight, inputs), per_filter(weight, inputs), rtol=4e-7 * columns, atol=0)
    ours, theirs = partial(sensitivities, weight, inputs), partial(per_filter, weight, inputs)
    times = interleaved({"sensitivities": ours, "per filter": theirs}, rounds=rounds)
    return times, times["per filter"].median / times["sensitivities"].median, ours


def test_sensitivities_on_the_cpu(benchmark: Any) -> None:
    times, ratio, call = measure(1024, 1024, 256, rounds=9)
    record("sensitivities", {"out": 1024, "in": 1024, "batch": 256}, times, ratio=round(ratio, 2))
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(call, rounds=3)
    assert ratio >= 3
