"""SiPP and its certificates against their bars: tightness, memory, peers alongside.

The peers are written here: subtraction of two separate interval enclosures, and CROWN on the explicit difference
network (the relaxation that bounds both rectifiers apart, everywhere).
"""

import copy
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from pruneproof.claims.data.images import digits_label
from pruneproof.claims.sensitivity.setting import images, trained
from pruneproof.prune import certify, magnitude, sipp
from pruneproof.prune.certification import back_substitution as substitution
from pruneproof.prune.certification.relaxations import Lines

RADIUS = 1 / 16


def _intervals(model: nn.Module, points: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """The box that plain interval arithmetic gives, in float64."""
    low, high = points - radius, points + radius
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            middle, reach = (low + high) / 2, (high - low) / 2
            middle, reach = layer(middle), reach @ layer.weight.abs().T
            low, high = middle - reach, middle + reach
        else:
            low, high = low.clamp(min=0), high.clamp(min=0)
    return low, high


def _apart(value: Tensor, change: Tensor, numbers: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Both rectifiers relaxed by themselves, as CROWN does on the difference network."""
    own, constant = substitution._one(value - change, Lines(*numbers[:3]))  # pyright: ignore[reportPrivateUsage]
    other, extra = substitution._one(change, Lines(*numbers[3:6]))  # pyright: ignore[reportPrivateUsage]
    return own + other, other, constant + extra


def _pruned(model: nn.Module, density: float) -> nn.Module:
    return magnitude(model, density=density).apply_(copy.deepcopy(model))


@pytest.mark.parametrize("network", ["mlp", "lenet"])
@pytest.mark.parametrize("density", [0.9, 0.7])
def test_difference_bounds_are_tight(
    benchmark: BenchmarkFixture, network: str, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = digits_label()
    original = copy.deepcopy(trained(network, data, 0)).double()
    pruned, inputs = _pruned(original, density), images(data).test_x[:100].double()
    record = benchmark.pedantic(certify, (original, pruned, inputs), {"radius": RADIUS}, rounds=3)
    with torch.no_grad():
        (low, high), (other_low, other_high) = (_intervals(m, inputs, RADIUS) for m in (original, pruned))
    subtracted = torch.maximum(other_high - low, high - other_low)
    start = time.perf_counter()
    certify(original, pruned, inputs, radius=RADIUS)
    ours = time.perf_counter() - start
    monkeypatch.setattr(substitution, "_both", _apart)
    start = time.perf_counter()
    crown = certify(original, pruned, inputs, radius=RADIUS)
    theirs = time.perf_counter() - start
    ratios = {
        "tighter than subtraction": float((subtracted / record.error_bound).median()),
        "tighter than CROWN apart": float((crown.error_bound / record.error_bound).median()),
        "least against CROWN apart": float((crown.error_bound / record.error_bound).min()),
        "time over CROWN apart": ours / theirs,
    }
    benchmark.extra_info.update(ratios)
    assert ratios["tighter than subtraction"] >= 10
    assert ratios["tighter than CROWN apart"] >= 1


PROGRAM = """
import resource, sys, torch
from torch import nn
from pruneproof.prune import sipp
torch.manual_seed(0)
draw = torch.Generator()
sipp(nn.Linear(64, 64), torch.rand(8, 64), density=0.5, variant=sys.argv[1], generator=draw)  # warm
layer, points = nn.Linear(4096, 4096, bias=False), torch.randn(512, 4096).relu()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sipp(layer, points, density=0.5, variant=sys.argv[1], generator=draw)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (4 * 4096 * 4096 / 1024))
"""


@pytest.mark.parametrize("variant", ["poisson", "det"])
def test_a_large_layer_stays_within_memory(variant: str) -> None:
    """Peak memory above the start, in layers, measured in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, variant]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert float(run.stdout) <= 6


@pytest.mark.parametrize("variant", ["poisson", "det"])
def test_a_large_layer(benchmark: BenchmarkFixture, variant: str) -> None:
    torch.manual_seed(0)
    layer, points = nn.Linear(4096, 4096, bias=False), torch.randn(512, 4096).relu()
    settings = {"density": 0.5, "variant": variant, "generator": torch.Generator()}
    benchmark.pedantic(sipp, (layer, points), settings, rounds=1)


def test_poisson_against_rand() -> None:
    """512-wide ReLU rows, half the budget: ε of Poisson over ε of Rand."""
    ratios: list[float] = []
    for seed in range(10):
        torch.manual_seed(seed)
        layer, points = nn.Linear(512, 1), torch.randn(256, 512).relu()
        both = [
            float(sipp(layer, points, density=0.5, delta=0.2, variant=v, generator=torch.Generator()).merit)
            for v in ("poisson", "rand")
        ]
        ratios.append(both[0] / both[1])
    assert median(ratios) <= 0.7


def test_a_resnet_sized_network_runs(benchmark: BenchmarkFixture) -> None:
    """Eleven million weights in 3 × 3 convolutions."""
    torch.manual_seed(0)
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512]
    layers = [
        module for i, (fan_in, fan_out) in enumerate(pairwise(widths))
        for module in (nn.Conv2d(fan_in, fan_out, 3, stride=2 if i in (2, 4, 6) else 1, padding=1),
                       nn.BatchNorm2d(fan_out), nn.ReLU())
    ]  # fmt: skip
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    settings = {"density": 0.5, "variant": "det"}
    result = benchmark.pedantic(sipp, (model, torch.rand(4, 3, 32, 32)), settings, rounds=1)
    assert result.masks.density == pytest.approx(0.5, abs=1e-6)
