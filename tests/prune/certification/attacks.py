"""Attacks on certificates: random pairs of networks, points of their balls, gradient ascent, exact evaluation."""

import copy
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.prune.certification import RegionCertificate, certify


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


def pair(name: str, seed: int) -> tuple[nn.Module, nn.Module, Tensor]:
    torch.manual_seed(seed)
    build, shape = NETWORKS[name]
    original = build().double().eval()
    pruned = copy.deepcopy(original)
    for parameter in pruned.parameters():
        kept = torch.rand_like(parameter) < 0.7
        parameter.data *= kept * (1 + 0.1 * torch.randn_like(parameter))
    return original, pruned, torch.randn(8, *shape, dtype=torch.float64)


def in_ball(shape: torch.Size, radius: float, norm: str, number: int = 64) -> Tensor:
    """Half of the points on the boundary, where violations would be."""
    noise = torch.randn(number, *shape, dtype=torch.float64)
    noise = noise.sign() if norm == "inf" else noise / noise.flatten(2).norm(dim=2)[(..., *[None] * (len(shape) - 1))]
    inner = noise[number // 2 :]
    inner *= torch.rand_like(inner[:, :, :1] if noise.ndim == 3 else inner[:, :, :1, :1, :1])
    return radius * noise * (1 - 2**-40)  # x + noise is rounded; stay inside


def violations(record: RegionCertificate, original: nn.Module, pruned: nn.Module, points: Tensor) -> int:
    """Points (many, batch, *item) whose difference exceeds the bound by more than its own evaluation may err."""
    flat = points.flatten(0, 1)
    with torch.no_grad():
        first, second = original(flat), pruned(flat)
    difference = (second - first).abs()
    error = (certify(original, pruned, flat, method="ibp", batch=len(flat)).error_bound - difference).abs()
    error += 64 * 2.0**-53 * (first.abs() + second.abs())  # subtracting outputs cancels; the certificate does not
    excess = (difference - error).unflatten(0, points.shape[:2]) > record.error_bound
    classes = torch.stack([first.argmax(1), second.argmax(1)]).unflatten(1, points.shape[:2])
    return int(excess.sum() + ((classes != record.predicted).any(0) & record.certified).sum())


def ascended(
    record: RegionCertificate, original: nn.Module, pruned: nn.Module, inputs: Tensor, shift: Tensor
) -> Tensor:
    """Points of the balls of the maximum norm at which the difference is large, by signed gradient steps."""
    radius, norm = record.radius, record.norm
    assert norm == "inf"
    for step in range(20):
        shift = shift.detach().requires_grad_()
        points = (inputs + shift).flatten(0, 1)
        ratio = (pruned(points) - original(points)).abs().unflatten(0, shift.shape[:2]) / record.error_bound
        (gradient,) = torch.autograd.grad(ratio.amax(2).sum(), shift)
        shift = (shift + radius * 0.5 ** (step / 4) * gradient.sign()).clamp(-radius, radius)
    return inputs + shift.detach() * (1 - 2**-40)


def exact(model: nn.Sequential, point: list[Fraction]) -> list[Fraction]:
    """The outputs of linear layers and rectifiers in rational arithmetic."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight, bias = ([*map(Fraction, part.flatten().tolist())] for part in (layer.weight, layer.bias))
            width = len(point)
            rows = [weight[start : start + width] for start in range(0, len(weight), width)]
            point = [sum(map(Fraction.__mul__, row, point), b) for row, b in zip(rows, bias, strict=True)]
        else:
            point = [max(x, Fraction(0)) for x in point]
    return point


def exact_violations(record: RegionCertificate, original: Any, pruned: Any, points: Tensor) -> int:
    """The same as `violations`, without rounding: points (many, batch, *item) whose exact outputs refute the record."""
    wrong = 0
    for number, point in ((number, point) for row in points for number, point in enumerate(row)):
        ends = [*map(Fraction, point.tolist())]
        first, second = exact(original, ends), exact(pruned, ends)
        bounds = record.error_bound[number].tolist()
        wrong += any(abs(b - a) > Fraction(bound) for a, b, bound in zip(first, second, bounds, strict=True))
        predicted = int(record.predicted[number])
        leads = all(output[predicted] == max(output) for output in (first, second))
        wrong += bool(record.certified[number]) and not leads
    return wrong


def attack(seed: int) -> Counter[str]:
    """Attack the certificates of one random pair; how many points were tried. An `AssertionError` names the seed."""
    draw = random.Random(seed)
    name = draw.choice([*NETWORKS, "relu", "max_pool"])
    original, pruned, inputs = pair(name, seed)
    radius, norm = draw.choice((0.001, 0.02, 0.1, 0.4, 1.0)), draw.choice(("inf", "inf", "2"))
    settings: dict[str, Any] = {"radius": radius, "norm": norm, "method": draw.choice(("crown", "crown", "ibp"))}
    record = certify(original, pruned, inputs, batch=draw.choice((1, 3, 16)), **settings)
    points = inputs + in_ball(inputs.shape, radius, norm, number=128)
    tried = Counter({"balls": len(inputs), "random points": len(points) * len(inputs)})
    if norm == "inf":
        climbed = ascended(record, original, pruned, inputs, in_ball(inputs.shape, radius, norm, number=16))
        points = torch.cat([climbed, points])
        tried["points found by gradient ascent"] = len(climbed) * len(inputs)
    assert not violations(record, original, pruned, points), f"seed {seed}: {name}, {settings}"
    if name == "relu":
        assert not exact_violations(record, original, pruned, points[:2]), f"seed {seed}: {name}, {settings}, exactly"
        tried["points evaluated exactly"] = 2 * len(inputs)
    return tried
