"""`certified` is never wrong by rounding: bounds contain the exact rational result on adversarially scaled weights."""

import copy
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune.certification import certify
from pruneproof.prune.certification.linear_maps import averaging, pair_map

Row = list[Fraction]


def _exact(model: nn.Sequential, x: Tensor) -> Row:
    """The network in rational arithmetic: no rounding at all."""
    values = [Fraction(v) for v in x.tolist()]
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.detach().tolist(), layer.bias.detach().tolist()
            values = [
                sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
                for row, b in zip(weight, bias, strict=True)
            ]
        else:
            values = [max(v, Fraction(0)) for v in values]
    return values


def _network(scale: float, seed: int) -> nn.Sequential:
    """Large weights that cancel: pairs of columns differ in the last bits only, and layers undo each other's scale."""
    torch.manual_seed(seed)
    layers = nn.Linear(6, 6).double(), nn.Linear(6, 6).double(), nn.Linear(6, 2).double()
    for layer, factor in zip(layers, (scale, 1 / scale, 1.0), strict=True):
        half = torch.randn(len(layer.weight), 3, dtype=torch.float64) * factor
        layer.weight.data = torch.cat([half, -half * (1 + 2.0**-50)], dim=1)
        layer.bias.data.zero_()
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-150, 1e150])
@pytest.mark.parametrize("method", ["cases", "linear"])
def test_bounds_contain_the_exact_difference(scale: float, method: str) -> None:
    wrong_in_floats = 0
    for seed in range(8):
        original = _network(scale, seed)
        pruned = copy.deepcopy(original)
        next(pruned.parameters()).data[:, 0] *= 1 + 2.0**-30
        inputs = 1 + torch.rand(2, 3, dtype=torch.float64).repeat(1, 2)
        record = certify(original, pruned, inputs, method=method)
        floats = (pruned(inputs) - original(inputs)).abs().detach()
        for item in range(len(inputs)):
            first, second = _exact(original, inputs[item]), _exact(pruned, inputs[item])
            for j, (a, b) in enumerate(zip(first, second, strict=True)):
                assert abs(b - a) <= Fraction(float(record.error_bound[item, j]))
                wrong_in_floats += abs(b - a) > Fraction(float(floats[item, j]))
            lead = [abs(v[0] - v[1]) for v in (first, second)]
            same = (first[0] > first[1]) == (second[0] > second[1])
            assert not record.certified[item] or (same and all(lead))
    assert wrong_in_floats  # plain float64 does err here, so the law was exercised


def test_radius_zero_is_the_evaluated_difference() -> None:
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    pruned = copy.deepcopy(original)
    for parameter in pruned.parameters():
        parameter.data *= torch.rand_like(parameter) < 0.9
    inputs = torch.rand(50, 64)
    bound = certify(original, pruned, inputs).error_bound
    difference = (pruned.double()(inputs.double()) - original.double()(inputs.double())).abs().detach()
    torch.testing.assert_close(bound, difference, rtol=1e-6, atol=1e-12)  # 1e-6: the promise; 1e-12: differences near 0
    assert (bound >= difference).all()


def test_equal_networks_differ_by_exactly_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    record = certify(model, copy.deepcopy(model), torch.randn(3, 5), radius=0.5)
    assert not record.error_bound.any()


def test_a_tie_is_never_certified() -> None:
    model = nn.Linear(2, 2)
    model.weight.data.fill_(0.1)
    model.bias.data.zero_()
    assert not certify(model, model, torch.ones(1, 2)).certified.any()


def test_an_average_is_charged_for_every_entry_of_its_window() -> None:
    pools = (nn.AvgPool2d(64), nn.AdaptiveAvgPool2d(1))
    maps = [pair_map(pool, copy.deepcopy(pool)) for pool in pools] + [averaging((2, 3))]
    assert all(found is not None and found.terms >= 64 * 64 for found in maps)
