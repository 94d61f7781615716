"""No point of a ball ever violates its certificate: random pairs of networks, random points, corners, gradient ascent.

`tests` runs a slice; `bench/test_bench_sipp.py` runs the same law on 10⁵ (networks, input, point) cases.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.prune.certification import RegionCertificate, certify, region
from pruneproof.prune.certification import back_substitution as substitution
from pruneproof.prune.certification import interval_bounds as enclosures
from pruneproof.prune.certification.graph import Add, Lipschitz, MaxPool, Step, float64_copy, trace_pair
from pruneproof.prune.certification.linear_maps import PairMap
from pruneproof.prune.certification.rounding import gamma


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        return self.head(torch.relu(self.second(hidden) + hidden))


def _batch_norm(features: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(features)
    for tensor in (layer.running_mean, layer.weight, layer.bias):
        assert tensor is not None
        tensor.data.normal_()
    assert layer.running_var is not None
    layer.running_var.uniform_(0.5, 2.0)
    return layer.eval()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "relu": (lambda: nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)), (6,)),
    "leaky": (lambda: nn.Sequential(nn.Linear(6, 9), nn.LeakyReLU(0.2), nn.Linear(9, 3)), (6,)),
    "tanh": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), (6,)),
    "residual": (Residual, (6,)),
    "max_pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(12, 3)
        ),
        (1, 4, 4),
    ),
    "batch_norm": (
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Unflatten(1, (1, 6, 6)),
            nn.Conv2d(1, 3, 3),
            _batch_norm(3),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(3, 3, 1, stride=1),
            nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(3, 3),
        ),
        (1, 6, 6),
    ),
}


def _pair(name: str, seed: int) -> tuple[nn.Module, nn.Module, Tensor]:
    torch.manual_seed(seed)
    build, shape = NETWORKS[name]
    original = build().double().eval()
    pruned = copy.deepcopy(original)
    for parameter in pruned.parameters():
        kept = torch.rand_like(parameter) < 0.7
        parameter.data *= kept * (1 + 0.1 * torch.randn_like(parameter))
    return original, pruned, torch.randn(8, *shape, dtype=torch.float64)


def _in_ball(shape: torch.Size, radius: float, norm: str) -> Tensor:
    """Half of the points on the boundary, where violations would be."""
    noise = torch.randn(64, *shape, dtype=torch.float64)
    noise = noise.sign() if norm == "inf" else noise / noise.flatten(2).norm(dim=2)[(..., *[None] * (len(shape) - 1))]
    noise[32:] *= torch.rand_like(noise[32:, :, :1] if noise.ndim == 3 else noise[32:, :, :1, :1, :1])
    return radius * noise * (1 - 2**-40)  # x + noise is rounded; stay inside


def _violations(record: RegionCertificate, original: nn.Module, pruned: nn.Module, points: Tensor) -> int:
    """Points (many, batch, *item) whose difference exceeds the bound by more than its own evaluation may err."""
    flat = points.flatten(0, 1)
    with torch.no_grad():
        first, second = original(flat), pruned(flat)
    difference = (second - first).abs()
    error = (certify(original, pruned, flat, method="ibp").error_bound - difference).abs()
    error += 64 * 2.0**-53 * (first.abs() + second.abs())  # subtracting outputs cancels; the certificate does not
    excess = (difference - error).unflatten(0, points.shape[:2]) > record.error_bound
    classes = torch.stack([first.argmax(1), second.argmax(1)]).unflatten(1, points.shape[:2])
    return int(excess.sum() + ((classes != record.predicted).any(0) & record.certified).sum())


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_random_point_violates(name: str, norm: str, method: str) -> None:
    certified = 0
    for seed in range(3):
        original, pruned, inputs = _pair(name, seed)
        for radius in (0.02, 0.2, 1.0):
            record = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
            points = inputs + _in_ball(inputs.shape, radius, norm)
            assert not _violations(record, original, pruned, points)
            certified += int(record.certified.sum())
    assert certified  # the law was exercised on something


@pytest.mark.parametrize("name", ["relu", "residual", "max_pool"])
def test_gradient_ascent_finds_no_violation(name: str) -> None:
    radius = 0.2
    for seed in range(3):
        original, pruned, inputs = _pair(name, seed)
        record = certify(original, pruned, inputs, radius=radius)
        shift = _in_ball(inputs.shape, radius, "inf").requires_grad_()
        for step in range(20):
            difference = (pruned((inputs + shift).flatten(0, 1)) - original((inputs + shift).flatten(0, 1))).abs()
            ratio = difference.unflatten(0, shift.shape[:2]) / record.error_bound
            (gradient,) = torch.autograd.grad(ratio.amax(2).sum(), shift)
            moved = shift + radius * 0.5 ** (step / 4) * gradient.sign()
            shift = moved.detach().clamp(-radius, radius).requires_grad_()
        assert not _violations(record, original, pruned, inputs + shift.detach() * (1 - 2**-40))


def test_a_tightened_bound_is_refused() -> None:
    """The false twin: the same search against 60 % of the bound, at a radius where the bound is nearly tight."""
    original, pruned, inputs = _pair("relu", 0)
    record = certify(original, pruned, inputs, radius=0.02)
    tightened = replace(record, error_bound=0.6 * record.error_bound)
    points = inputs + _in_ball(inputs.shape, 0.02, "inf")
    assert _violations(tightened, original, pruned, points)


def _without_slack(patch: pytest.MonkeyPatch) -> None:
    """The same bounds as if floats were exact; the network's own roundings then look like misreadings."""
    patch.setattr(region, "check_trace", lambda *arguments, **options: None)
    for module in (enclosures, substitution):
        free: dict[str, Any] = {"UNIT": 0.0, "TINY": 0.0, "LIBRARY_ERROR": 0.0, "gamma": lambda terms: 0.0}
        free |= {"up": lambda x: x, "down": lambda x: x}
        free["centre"] = lambda low, high: (0.5 * (low + high), 0.5 * (high - low))
        for name in free.keys() & vars(module).keys():
            patch.setattr(module, name, free[name])


def _magnitude(steps: list[Step], reach: Tensor) -> Tensor:
    """The largest that any sum of magnitudes gets on the way to the outputs."""
    reaches = [reach]
    for step in steps[1:]:
        given = [reaches[parent] for parent in step.parents]
        layer = step.operation
        if isinstance(layer, PairMap):
            sizes, offsets = layer.slack, layer.offset
            size = None if sizes is None else torch.maximum(sizes[0], sizes[1])
            image = layer.apply(size, given[0])
            reaches.append(image if offsets is None else image + torch.maximum(offsets[0], offsets[1]))
        elif isinstance(layer, MaxPool):
            reaches.append(functional.max_pool2d(given[0], *layer.settings))
        else:
            reaches.append(given[0] + given[1] if isinstance(layer, Add) else given[0])
    return torch.stack([reach.abs().amax() for reach in reaches]).amax()


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rounding_is_charged_and_costs_little(
    name: str, norm: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step errs by at most γ of the largest sum of magnitudes, and the library's error; 64 for all that meets it."""
    original, pruned, inputs = _pair(name, 0)
    radius = 0.05
    minimum: Callable[..., Tensor] = vars(substitution)[
        "_minimum"
    ]  # of two relaxations that tie, take one and the same
    monkeypatch.setattr(substitution, "_minimum", lambda *terms: minimum(*terms).round(decimals=9))
    record = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
    steps = trace_pair(float64_copy(original), float64_copy(pruned), {})
    terms = max(step.operation.terms for step in steps if isinstance(step.operation, PairMap))
    library = 2.0**-40 if any(isinstance(step.operation, Lipschitz) for step in steps) else 0.0
    limit = 64 * len(steps) * (gamma(terms) + library) * (1 + float(_magnitude(steps, inputs.abs() + radius)))
    _without_slack(monkeypatch)
    bare = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
    for charged in (record.error_bound - bare.error_bound, bare.margin - record.margin):
        assert (charged >= 0).all() and charged.any()
        assert (charged <= limit).all()
