"""Which networks `certify` reads: what it does not understand it refuses, the rest it bounds however it is written."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import PruneproofError
from pruneproof.prune.certification import certify

Body = Callable[["Two", Tensor], Any]


class Two(nn.Module):
    """Two layers of 4 units and a forward of one's own."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.a, self.b, self.relu = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def _image(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *layers, nn.Flatten())


def _pair(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    pruned = copy.deepcopy(network)
    for parameter in pruned.parameters():
        parameter.data *= torch.rand_like(parameter) < 0.8
    return network, pruned


def _reads_overwritten(net: Two, x: Tensor) -> Tensor:
    hidden = net.a(x)
    rectified = net.relu(hidden)
    return net.b(rectified + hidden)


def _overwrites_by_method(net: Two, x: Tensor) -> Tensor:
    hidden = net.a(x)
    return net.b(hidden.relu_() + hidden)


def _overwrites_through_a_view(net: Two, x: Tensor) -> Tensor:
    hidden = net.a(x)
    rectified = functional.relu(torch.flatten(hidden, 1), inplace=True)
    return net.b(rectified + hidden)


def _adds_over(net: Two, x: Tensor) -> Tensor:
    hidden, other = net.a(x), net.b(x)
    total = hidden
    total += other
    return total + hidden


def _adds_to_a_fresh_value(net: Two, x: Tensor) -> Tensor:
    total = net.a(x)
    total += x
    return net.b(total)


class OwnNorm(nn.BatchNorm2d):
    pass


class Optional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.a(x) if mask is None else self.a(x) + mask


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def _hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4))
    network[0].register_forward_hook(lambda *call: 2 * call[2])
    return network


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "attention": (nn.TransformerEncoderLayer(4, 2, batch_first=True), (3, 4), "TransformerEncoderLayer"),
    "control flow": (Two(lambda net, x: net.a(x) if x.sum() > 0 else net.b(x)), (4,), "torch.fx cannot trace"),
    "unknown layer": (nn.Sequential(nn.Linear(4, 4), nn.GELU()), (4,), r"1 \(GELU\)"),
    "unknown function": (Two(lambda net, x: torch.sin(net.a(x))), (4,), "sin"),
    "scaled sum": (Two(lambda net, x: torch.add(net.a(x), net.b(x), alpha=3)), (4,), "add"),
    "broadcast sum": (
        Two(lambda net, x: functional.relu(torch.flatten(net.a(x), 1)) + net.a(x.mean((2, 3)))), (2, 2, 4), "shapes"),
    "overwritten by a layer": (Two(_reads_overwritten), (4,), "overwrites a value"),
    "overwritten by a method": (Two(_overwrites_by_method), (4,), "overwrites a value"),
    "overwritten through a view": (Two(_overwrites_through_a_view), (4,), "overwrites a value"),
    "added over": (Two(_adds_over), (4,), "overwrites a value"),
    "hook": (_hooked(), (4,), "forward hooks"),
    "own version of a layer": (nn.Sequential(Doubled(4, 4)), (4,), "no bound is known for linear"),
    "scaled sum by position": (Two(lambda net, x: torch.add(net.a(x), 3, net.b(x))), (4,), "add"),
    "negative average": (_image(nn.AvgPool2d(2, divisor_override=-4)), (1, 4, 4), "positive divisor"),
    "mean over five dimensions": (Two(lambda net, x: net.a(x.mean((-2, -1)))), (2, 4, 3, 3), "mean works on 4-"),
    "flattened before the end": (Two(lambda net, x: net.a(torch.flatten(x, end_dim=1))), (4,), "flatten"),
    "flattened over the batch": (nn.Sequential(nn.Flatten(0), nn.Linear(4, 4)), (4,), "mixes its items"),
    "two inputs": (Optional(), (4,), "got arguments x, mask"),
    "two outputs": (Two(lambda net, x: (net.a(x), net.b(x))), (4,), "output of type tuple"),
    "named outputs": (Two(lambda net, x: {"logits": net.a(x)}), (4,), "output of type immutable_dict"),
    "two results": (_image(nn.MaxPool2d(2, return_indices=True)), (1, 4, 4), "MaxPool2d"),
    "pooled matrix": (nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)), (4, 4), "MaxPool2d works on 4-"),
    "averaged vector": (nn.Sequential(nn.AvgPool1d(2), nn.Linear(2, 2)), (4,), "AvgPool1d works on 3-"),
    "unbatched sequence": (nn.Sequential(nn.Conv1d(2, 2, 3)), (8,), "Conv1d works on 3-"),
    "dimension out of range": (nn.Sequential(nn.Flatten(3)), (4,), "shape the network reads"),
    "dilated pooling": (_image(nn.MaxPool2d(2, 2, 1, dilation=2)), (1, 4, 4), "MaxPool2d"),
    "pooling beyond the edge": (_image(nn.MaxPool2d(2, ceil_mode=True)), (1, 3, 3), "MaxPool2d"),
    "steep ELU": (nn.Sequential(nn.Linear(4, 4), nn.ELU(2.0)), (4,), "ELU"),
    "sharp softplus": (nn.Sequential(nn.Linear(4, 4), nn.Softplus(2.0)), (4,), "Softplus"),
    "cut softplus": (nn.Sequential(nn.Linear(4, 4), nn.Softplus(threshold=1)), (4,), "Softplus"),
    "steep leaky ReLU": (nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(2.0)), (4,), "LeakyReLU"),
    "batch statistics": (_image(nn.BatchNorm2d(2, track_running_stats=False)), (1, 4, 4), "running statistics"),
    "sequence norm": (nn.Sequential(nn.Conv1d(1, 3, 2), nn.BatchNorm1d(3), nn.Flatten()), (1, 4), "BatchNorm1d works"),
    "an edge of ones": (Two(lambda net, x: net.a(functional.pad(x, (1, 1), value=1.0)[:, 2:])), (4,), "pad"),
    "image out": (nn.Sequential(nn.Conv2d(1, 1, 3)), (1, 4, 4), r"\(batch, outputs\), got \(1, 1, 2, 2\)"),
    "another shape": (nn.Sequential(nn.Linear(4, 2)), (5,), "shape the network reads"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(name: str) -> None:
    network, item, message = REFUSED[name]
    with pytest.raises(PruneproofError, match=message):
        certify(network.eval(), copy.deepcopy(network).eval(), torch.rand(2, *item), radius=0.1)


def test_averages_of_very_large_images_are_refused() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    certify(network, network, torch.rand(1, 1, 1024, 1024), max_units=0)
    with pytest.raises(PruneproofError, match="entries per channel"):
        certify(network, network, torch.rand(1, 1, 1024, 1025), max_units=0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "2 and 3|3 and 4|operations"),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4)), "out_features=3"),
    ],
)
def test_two_architectures_are_refused(other: nn.Module, message: str) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with pytest.raises(PruneproofError, match=message):
        certify(network, other, torch.rand(2, 4))


# The bound is of exact arithmetic; what is held against it is computed in float64: two networks of at most three
# layers, each a sum of at most 20 products that add up to less than 80 in size.
ROUNDING = 2 * 3 * 20 * 80 * 2.0**-53
UNDERSTOOD: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "overwritten but not read again": (Two(lambda net, x: net.b(net.relu(net.a(x)))), (4,)),
    "functions": (Two(lambda net, x: net.b(torch.tanh(functional.relu(net.a(x))))), (4,)),
    "methods": (Two(lambda net, x: net.b(net.a(x).sigmoid().relu())), (4,)),
    "in-place sum": (Two(lambda net, x: functional.relu(torch.add(net.a(x), net.b(x)), inplace=True)), (4,)),
    "in-place sum by operator": (Two(_adds_to_a_fresh_value), (4,)),
    "not in place": (Two(lambda net, x: functional.relu(net.a(x), False) + x), (4,)),
    "in-place ELU": (nn.Sequential(nn.ELU(inplace=True), nn.Linear(4, 2)), (4,)),
    "flattened from the first": (Two(lambda net, x: net.a(torch.flatten(x, 1, end_dim=-1))), (2, 2)),
    "mode of evaluation": (Two(lambda net, x: net.a(x) if net.training else net.b(net.relu(net.a(x)))), (4,)),
    "own class of norm": (_image(OwnNorm(2), nn.ReLU()), (1, 4, 4)),
    "softplus": (nn.Sequential(nn.Linear(4, 4), nn.Softplus(), nn.Linear(4, 2)), (4,)),
    "oblong pooling": (nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d((1, 2)), nn.Flatten()), (1, 5, 5)),
    "mean over a list": (Two(lambda net, x: net.a(x.mean([-2, -1]))), (4, 3, 3)),
    "rectified but read again": (Two(lambda net, x: (hidden := net.a(x)) + functional.relu(hidden)), (4,)),
    "sums of windows": (
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.AvgPool2d(2, divisor_override=1), nn.Flatten()),
        (1, 5, 5),
    ),
    "mean over an image": (Two(lambda net, x: net.a(x.mean((2, 3)))), (4, 3, 3)),
    "sequence": (nn.Sequential(nn.Conv1d(2, 3, 2, padding=1), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten()), (2, 5)),
    **{
        f"{mode} edge": (
            nn.Sequential(nn.Conv2d(1, 2, 3, padding=(2, 1), padding_mode=mode), nn.ReLU(), nn.Flatten()),
            (1, 4, 4),
        )
        for mode in ("reflect", "replicate", "circular")
    },
    "an edge by name": (nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.ReLU(), nn.Flatten()), (1, 4, 4)),
    "no edge by name": (nn.Sequential(nn.Conv1d(1, 2, 2, padding="valid"), nn.ReLU(), nn.Flatten()), (1, 4)),
    "reflected sequence": (nn.Sequential(nn.ReflectionPad1d(2), nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten()), (1, 4)),
    "zeros around": (nn.Sequential(nn.Conv2d(1, 2, 2), nn.ZeroPad2d((1, 0, 2, 1)), nn.ReLU(), nn.Flatten()), (1, 3, 3)),
    "circular by function": (Two(lambda net, x: functional.pad(net.a(x), (1, 2), mode="circular").flatten(1)), (2, 4)),
    "cut by function": (Two(lambda net, x: functional.pad(net.a(x), (-1, 2)).flatten(1)), (2, 4)),
    "vectors": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)), (4,)),
    "grouped": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2, stride=2, padding=1), nn.ReLU(), nn.Flatten()), (4, 5, 5)),
}


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("name", UNDERSTOOD)
def test_other_ways_to_write_a_network_are_bounded(name: str, method: str, norm: str) -> None:
    torch.manual_seed(0)
    network, item = UNDERSTOOD[name]
    inputs = torch.randn(3, *item)
    original, pruned = _pair(network.eval())
    scale = 1.0 if norm == "inf" else math.prod(item) ** -0.5  # the cube inside the ball
    bound = certify(original, pruned, inputs, radius=0.05, norm=norm, method=method).error_bound
    for _ in range(20):
        at = (inputs + (2 * torch.rand_like(inputs) - 1) * 0.05 * scale).double()
        with torch.no_grad():
            outputs = [copy.deepcopy(model).double()(at.clone()) for model in (pruned, original)]
        assert ((outputs[0] - outputs[1]).abs() <= bound + ROUNDING).all()
    assert bound.isfinite().all()


def test_a_constant_of_ones_own_bounds_an_activation() -> None:
    torch.manual_seed(0)
    original, pruned = _pair(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2)))
    inputs = torch.randn(3, 4)
    bound = certify(original, pruned, inputs, radius=0.05, lipschitz={nn.GELU: 1.13}).error_bound
    at = inputs.double()
    with torch.no_grad():
        difference = (copy.deepcopy(pruned).double()(at) - copy.deepcopy(original).double()(at)).abs()
    assert (difference <= bound).all()
    with pytest.raises(PruneproofError, match="lipschitz declares"):
        certify(original, pruned, inputs, radius=0.05, lipschitz={nn.GELU: 0.01})
