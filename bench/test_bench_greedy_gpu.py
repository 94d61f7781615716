"""Greedy selection on a GPU: the persistent kernel and certified screening against a PyTorch loop over residuals.

Goals on an H200, 1000 steps, 10⁴ neurons and points: at most 40 ms by screening, 15 ms by Gram (the matrix given),
at least 100 × the loop, which forms every candidate's residual and is extrapolated from three steps.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.roofline import floor, greedy_work, measured_roof
from bench.timing import NOT_MEASURED, interleaved, record
from pruneproof.kernels import Gram, greedy_select

pytestmark = pytest.mark.gpu
NEURONS, POINTS, STEPS, LOOP_STEPS = 10_000, 10_000, 1000, 3


def residual_loop(features: Tensor, target: Tensor, steps: int) -> list[int]:
    """The definition: the residual of every candidate at every step."""
    total = torch.zeros_like(target)
    chosen: list[int] = []
    for k in range(1, steps + 1):
        residuals = (total + features) / k - target
        chosen.append(int(residuals.square().sum(1).argmin()))
        total = total + features[chosen[-1]]
    return chosen


def test_greedy_on_a_gpu(benchmark: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip(NOT_MEASURED)
    generator = torch.Generator("cuda").manual_seed(0)
    inputs, hidden = (torch.randn(n, 32, device="cuda", generator=generator) for n in (POINTS, NEURONS))
    features = (hidden @ inputs.T).relu_() / POINTS**0.5
    target = features.mean(0) + 0.1 * torch.randn(POINTS, device="cuda", generator=generator) / POINTS**0.5
    gram = Gram.from_features(features.double(), target.double())
    by_gram = greedy_select(gram, STEPS)
    by_screen = greedy_select((features, target), STEPS, method="stream")
    assert torch.equal(by_gram.indices, by_screen.indices)  # both choose what float64 chooses
    assert residual_loop(features, target, LOOP_STEPS) == by_gram.indices[:LOOP_STEPS].tolist()
    times = interleaved(
        {
            "gram": lambda i: greedy_select(gram, STEPS),
            "screening": lambda i: greedy_select((features, target), STEPS, method="stream"),
            "residual loop": lambda i: residual_loop(features, target, LOOP_STEPS),
        },
        rounds=5,
    )
    roof, loop = measured_roof(), times["residual loop"].median * STEPS / LOOP_STEPS
    floors = {kind: floor(greedy_work(kind, NEURONS, POINTS, STEPS, roof.target), roof) for kind in ("gram", "int8")}
    record(
        "greedy_select",
        {"neurons": NEURONS, "points": POINTS, "steps": STEPS},
        times,
        loop_extrapolated=loop,
        versus_loop={name: loop / times[name].median for name in ("gram", "screening")},
        gram_floor=floors["gram"].seconds,
        screening_floor=floors["int8"].seconds,
        goals={"gram": 15e-3, "screening": 40e-3, "versus_loop": 100},
    )
    benchmark.pedantic(lambda: greedy_select(gram, STEPS), rounds=3)
