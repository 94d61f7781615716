"""`certified` is never wrong by rounding: bounds contain the exact rational result on adversarially scaled weights."""

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest
import torch
from flint import arb, ctx
from torch import Tensor, nn

from pruneproof.prune.certification import certify
from pruneproof.prune.certification.graph import Lipschitz, LogSoftmax, Operation, Rectifier, Step
from pruneproof.prune.certification.interval_bounds import Enclosure, TensorInterval, input_enclosure, propagate
from pruneproof.prune.certification.linear_maps import averaging, pair_map, scaling

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
@pytest.mark.parametrize("method", ["ibp", "crown"])
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


def _logistic(z: arb) -> arb:
    return 1 / (1 + (-z).exp())


STEPS: dict[str, tuple[Operation, Callable[[arb], arb]]] = {
    "ReLU": (Rectifier(), lambda z: z.max(arb(0))),
    "leaky ReLU": (Rectifier(0.1), lambda z: z.max(arb(0)) + arb(0.1) * z.min(arb(0))),
    "scaling": (scaling(*torch.tensor([0.3, 0.7], dtype=torch.float64)), lambda z: arb(0.3) * z + arb(0.7)),
    "tanh": (Lipschitz(torch.tanh, 1.0, monotone=True), arb.tanh),
    "sigmoid": (Lipschitz(torch.sigmoid, 1.0, monotone=True), _logistic),
    "declared": (Lipschitz(torch.sigmoid, 0.25, monotone=False), _logistic),
}


@pytest.mark.parametrize("given", ["both values", "the change"])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_encloses_the_exact_image_of_a_point(name: str, given: str) -> None:
    """Values, and the difference of two, of many sizes, against balls of 300 bits; what is not given is no float."""
    operation, exact = STEPS[name]
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.randint(-9, 3, (2, 300), generator=generator).double()
    z, other = torch.randn(2, 1, 300, generator=generator, dtype=torch.float64) * sizes.unsqueeze(1)
    with ctx.workprec(300):
        first, second = ([arb(x) for x in side[0].tolist()] for side in (z, other))
        if given == "the change":
            box = Enclosure(TensorInterval(z, z), _around(z + other), TensorInterval(other, other))
            second = [a + b for a, b in zip(first, second, strict=True)]
        else:
            box = Enclosure(TensorInterval(z, z), TensorInterval(other, other), _around(other - z))
        image = propagate(Step("", operation, (0,)), [box])
        values = [[exact(x) for x in side] for side in (first, second)]
        _enclosed(image.original, values[0])
        _enclosed(image.pruned, values[1])
        _enclosed(image.difference, [b - a for a, b in zip(*values, strict=True)])


@pytest.mark.parametrize("name", STEPS)
def test_a_step_encloses_the_exact_images_of_the_corners_of_a_box(name: str) -> None:
    """Of many sizes around or next to zero, where one end of a rectified difference is rounded and the other is not."""
    operation, exact = STEPS[name]
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.randint(-9, 3, (4, 1, 300), generator=generator).double()
    ends = torch.randn(4, 1, 300, generator=generator, dtype=torch.float64) * sizes
    ends[2, :, ::3] = 0
    z, change = (TensorInterval(pair.amin(0), pair.amax(0)) for pair in (ends[:2], ends[2:]))
    other = TensorInterval(_around(z.low + change.low).low, _around(z.high + change.high).high)
    image = propagate(Step("", operation, (0,)), [Enclosure(z, other, change)])
    with ctx.workprec(300):
        for corner in product((z.low, z.high), (change.low, change.high)):
            at, moved = ([arb(x) for x in side[0].tolist()] for side in corner)
            values = [exact(x) for x in at], [exact(x + d) for x, d in zip(at, moved, strict=True)]
            _enclosed(image.original, values[0])
            _enclosed(image.pruned, values[1])
            _enclosed(image.difference, [b - a for a, b in zip(*values, strict=True)])


def _around(x: Tensor) -> TensorInterval:
    return TensorInterval(*(x.nextafter(torch.tensor(end)) for end in (-math.inf, math.inf)))


def test_sums_differences_and_balls_are_rounded_outward() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 1, 300, generator=generator, dtype=torch.float64)
    first, second = TensorInterval(one, one), TensorInterval(two, two)
    with ctx.workprec(300):
        pairs = [(arb(a), arb(b)) for a, b in zip(one[0].tolist(), two[0].tolist(), strict=True)]
        _enclosed(first + second, [a + b for a, b in pairs])
        _enclosed(first - second, [a - b for a, b in pairs])
        ball = input_enclosure(one, 0.1).original
        _enclosed(ball, [a - arb(0.1) for a, _ in pairs])
        _enclosed(ball, [a + arb(0.1) for a, _ in pairs])


def test_the_logarithm_of_softmax_encloses_the_exact_one() -> None:
    """Of usual outputs, and of one that rules alone: the logarithm then changes as it does, and by no less."""
    generator = torch.Generator().manual_seed(0)
    usual = torch.randn(2, 100, 2, generator=generator, dtype=torch.float64)
    ruling = torch.tensor([0.0, -1024.0]) + torch.zeros_like(usual)
    ruling[1, :, 0] = torch.rand(100, generator=generator, dtype=torch.float64) / 8
    ruling[1, :, 1] += torch.randint(2**40, (100,), generator=generator) * 2.0**-40
    for (z, other), slack in ((usual, 1e-15), (ruling, 0.0)):
        change = other - z  # exact, where one rules
        box = Enclosure(
            TensorInterval(z, z), TensorInterval(other, other), TensorInterval(change - slack, change + slack)
        )
        image = propagate(Step("", LogSoftmax(), (0,)), [box])
        with ctx.workprec(300):
            values = [[x for row in side.tolist() for x in _log_softmax(row)] for side in (z, other)]
            _enclosed(image.original, values[0])
            _enclosed(image.pruned, values[1])
            _enclosed(image.difference, [b - a for a, b in zip(*values, strict=True)])


def _log_softmax(row: list[float]) -> list[arb]:
    total = sum((arb(x).exp() for x in row), arb(0)).log()
    return [arb(x) - total for x in row]


def _enclosed(interval: TensorInterval, exact: list[arb]) -> None:
    for low, value, high in zip(interval.low.flatten().tolist(), exact, interval.high.flatten().tolist(), strict=True):
        assert not arb(low) > value and not value > arb(high)  # balls of 300 bits: none is wide


def test_a_tie_is_never_certified() -> None:
    model = nn.Linear(2, 2)
    model.weight.data.fill_(0.1)
    model.bias.data.zero_()
    assert not certify(model, model, torch.ones(1, 2)).certified.any()


def test_an_average_is_charged_for_every_entry_of_its_window() -> None:
    pools = (nn.AvgPool2d(64), nn.AdaptiveAvgPool2d(1))
    maps = [pair_map(pool, copy.deepcopy(pool)) for pool in pools] + [averaging((2, 3))]
    assert all(found is not None and found.terms >= 64 * 64 for found in maps)


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(2, 3, 1), (3, 2, 1), (4, 4, 4), (2, 6, 2), (1, 7, 1)])
def test_a_convolution_is_charged_for_every_product_that_it_or_its_transpose_sums(
    inputs: int, outputs: int, groups: int
) -> None:
    layer = nn.Conv2d(inputs, outputs, (3, 5), groups=groups)
    found = pair_map(layer, copy.deepcopy(layer))
    assert found is not None and found.terms >= 15 * max(inputs, outputs) // groups


def _chain(*factors: float) -> nn.Sequential:
    """x ↦ the product of the factors with x, one layer each."""
    layers = [nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in factors]
    for layer, factor in zip(layers, factors, strict=True):
        layer.weight.data.fill_(factor)
    return nn.Sequential(*layers)


UNDERFLOWS: dict[str, tuple[tuple[float, ...], tuple[float, ...], float, float, int]] = {
    # factors of both networks, input, radius, and the power of ten that the exact difference is
    "of values": ((1e-200, 1e-200, 1e300, 1e300), (1e-200, 1e-200, 1e300, 0.0), 1.0, 0.0, 200),
    "of coefficients": ((1e-200, 1e-200), (1e-200, 0.0), 1e300, 1e299, -100),
    "of squares": ((1e-170,), (0.0,), 0.0, 1e170, 0),
}


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("name", UNDERFLOWS)
def test_underflow_is_charged(name: str, method: str, norm: str) -> None:
    """Rounded to zero on the way, and large again at the end."""
    first, second, at, radius, power = UNDERFLOWS[name]
    inputs = torch.tensor([[at]], dtype=torch.float64)
    bound = certify(_chain(*first), _chain(*second), inputs, radius=radius, norm=norm, method=method).error_bound
    assert float(bound) >= 10.0**power * (1 - 2.0**-50)  # the factors are powers of ten within a rounding


def test_a_lead_lost_in_a_ball_too_small_to_square_is_not_certified() -> None:
    """Lead 1e-171 at the centre and 1e-171 − √2·1e-170 < 0 at the ball's edge; 1e-170² underflows."""
    layer = nn.Linear(2, 2, dtype=torch.float64)
    layer.weight.data = torch.tensor([[1e-170, 1e-170], [0.0, 0.0]], dtype=torch.float64)
    layer.bias.data = torch.tensor([1e-171, 0.0], dtype=torch.float64)
    record = certify(layer, layer, torch.zeros(1, 2, dtype=torch.float64), radius=1.0, norm="2")
    assert not record.certified.any()
    torch.testing.assert_close(float(record.margin), 1e-171 - 2**0.5 * 1e-170, rtol=1e-9, atol=0.0)


def test_underflow_of_a_normalisation_is_charged() -> None:
    """mean · weight = 1e-400 is 0 in floats; two factors of 1e300 bring it back as 1e200."""
    norm = nn.BatchNorm1d(1, eps=0.0, dtype=torch.float64).eval()
    assert norm.running_mean is not None
    norm.running_mean.fill_(1e-200)
    norm.weight.data.fill_(1e-200)
    original, pruned = (nn.Sequential(norm, *_chain(1e300, factor)) for factor in (1e300, 0.0))
    for method in ("ibp", "crown"):
        bound = certify(original, pruned, torch.zeros(1, 1, dtype=torch.float64), method=method).error_bound
        assert float(bound) >= 1e200


class Divided(nn.Module):
    """factor · (x / divisor)."""

    def __init__(self, divisor: float, factor: float) -> None:
        super().__init__()
        self.divisor, self.last = divisor, _chain(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x / self.divisor)


DIVISORS = [(3.0, 1.0), (7e-300, 1e-200), (1.1e308, 1e200), (1.3e308, 1e200), (1.5e308, 1e200), (1.7e308, 1e200)]


@pytest.mark.parametrize("method", ["ibp", "crown"])
def test_a_constant_divisor_is_charged_however_large(method: str) -> None:
    """1/divisor is rounded, for the last ones to fewer bits than a float has."""
    rounded_down = 0
    for (divisor, factor), x in product(DIVISORS, (1.0, 3.0, 0.7, 1e-5, 1e5)):
        inputs = torch.tensor([[x]], dtype=torch.float64)
        bound = certify(Divided(divisor, factor), Divided(divisor, 0.0), inputs, method=method).error_bound
        exact = Fraction(x) / Fraction(divisor) * Fraction(factor)
        assert Fraction(float(bound)) >= exact
        rounded_down += Fraction(x * (1 / divisor) * factor) < exact
    assert rounded_down  # plain float64 does err here


def test_a_change_that_underflows_in_a_lipschitz_activation_is_charged() -> None:
    """The weights differ by the smallest float, whose quarter is 0 in floats."""
    smallest = 5e-324
    pair = [nn.Sequential(*_chain(factor), nn.Softsign(), *_chain(1e300)) for factor in (smallest, 0.0)]
    ones = torch.ones(1, 1, dtype=torch.float64)
    boxes = certify(pair[0], pair[1], ones, method="ibp", lipschitz={nn.Softsign: 0.25})
    assert float(boxes.error_bound) > 0


def test_where_a_sum_overflows_nothing_is_known_until_it_is_bounded_again() -> None:
    """inf − inf, inf alone, and beside them a sum that stays finite."""
    large = 1e200
    layer = nn.Linear(2, 3, bias=False, dtype=torch.float64)
    layer.weight.data = torch.tensor([[large, -large], [large, large], [1 / large, 0.0]], dtype=torch.float64)
    doubled = copy.deepcopy(layer)
    doubled.weight.data *= 2
    box = input_enclosure(torch.full((1, 2), large, dtype=torch.float64), large / 2)
    image = propagate(Step("", pair_map(layer, doubled), (0,)), [box])
    for side, one in ((image.original, 1.0), (image.pruned, 2.0), (image.difference, 1.0)):
        assert side.low[0].tolist()[:2] == [-math.inf, -math.inf] and side.high[0].tolist()[:2] == [math.inf, math.inf]
        torch.testing.assert_close(torch.stack([side.low, side.high])[:, 0, 2], torch.tensor([0.5, 1.5]).double() * one)
    bounded = propagate(Step("", Lipschitz(torch.tanh, 1.0, monotone=True), (0,)), [image])
    for side in (bounded.original, bounded.pruned):
        assert bool(((side.low <= -1) & (side.low >= -1.001) & (side.high >= 1) & (side.high <= 1.001))[0, :2].all())


OVERFLOWING: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "leaky ReLU": lambda: nn.LeakyReLU(0.1),
    "ELU": nn.ELU,
    "max pooling": lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.MaxPool2d(2, 1, 1), nn.Flatten()),
    "the logarithm of softmax": lambda: nn.LogSoftmax(1),
}


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("name", OVERFLOWING)
def test_a_network_that_overflows_is_not_certified_and_its_bound_is_infinite(name: str, method: str) -> None:
    torch.manual_seed(0)
    bend = OVERFLOWING[name]
    original = nn.Sequential(nn.Linear(4, 4), bend(), nn.LazyLinear(4), bend(), nn.LazyLinear(2)).double()
    inputs = torch.rand(3, 4).double()
    original(inputs)
    pruned = copy.deepcopy(original)
    for one, other in zip(original.parameters(), pruned.parameters(), strict=True):
        one.data *= 1e250
        other.data *= 1e250 * torch.randint_like(other, 2)
    record = certify(original, pruned, inputs, radius=0.1, method=method)
    assert bool((record.error_bound == torch.inf).all()) and not record.certified.any()
    assert bool((record.margin == -torch.inf).all()) and bool((record.pruned_margin == -torch.inf).all())


def test_what_is_zero_for_certain_costs_nothing() -> None:
    """No weight, or no difference of weights, reaches these outputs: nothing can underflow there."""
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    pruned = copy.deepcopy(original)
    pruned.get_parameter("2.weight").data[1] = 1e-300
    bound = certify(original, pruned, torch.rand(2, 3).double() * 1e-10, method="ibp").error_bound
    assert not bound[:, 0].any() and bound[:, 1].all()
