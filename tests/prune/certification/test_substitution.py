"""Back-substitution where rounding decides: what was charged before is kept, and a cancellation is never believed."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, PruneproofError
from pruneproof.prune.certification import back_substitution, certify, region
from pruneproof.prune.certification.back_substitution import (
    DIFFERENCE,
    ORIGINAL,
    PRUNED,
    Ball,
    Functional,
    lower_bounds,
    unit_bounds,
)
from pruneproof.prune.certification.graph import Add, Lipschitz, LogSoftmax, Step, trace_pair
from pruneproof.prune.certification.interval_bounds import (
    LIBRARY_ERROR,
    Enclosure,
    TensorInterval,
    input_enclosure,
    propagate,
)
from pruneproof.prune.certification.region import with_signs
from pruneproof.prune.certification.rounding import UNIT, gamma

CANCELLING = (1e16, -1.0, -1e16)  # in floats, from the left: 1e16 − 1 rounds to 1e16, so the sum is 0 instead of −1


def _exact(value: tuple[float, ...], point: float, radius: float) -> Fraction:
    return sum((Fraction(v) * Fraction(point) - abs(Fraction(v)) * Fraction(radius) for v in value), Fraction())


def _at_input(value: tuple[float, ...], constant: float, slack: float) -> float:
    rows = Functional(ORIGINAL, {0: (torch.tensor([[value]], dtype=torch.float64), None)}, torch.tensor([[constant]]))
    rows.constant = rows.constant.double()
    rows.slack = torch.tensor([[slack]], dtype=torch.float64)
    ball = Ball(torch.ones(1, len(value), dtype=torch.float64), 0.0, "inf")
    return float(lower_bounds([], [], rows, ball))


def _boxes(steps: list[Step], inputs: Tensor) -> list[Enclosure]:
    boxes = [input_enclosure(inputs, 0.0)]
    for step in steps[1:]:
        boxes.append(propagate(step, boxes))
    return boxes


def test_what_was_charged_on_the_way_is_charged_at_the_end() -> None:
    assert Fraction(_at_input((0.5, -2.0), 3.0, 1.0)) <= _exact((0.5, -2.0), 1.0, 0.0) + 3 - 1
    assert Fraction(_at_input((0.5, -2.0), 3.0, 1.0)) >= _exact((0.5, -2.0), 1.0, 0.0) + 3 - 1 - Fraction(1, 10**12)


def test_a_cancellation_over_the_ball_is_not_believed() -> None:
    assert Fraction(_at_input(CANCELLING, 0.0, 0.0)) <= _exact(CANCELLING, 1.0, 0.0)


def test_a_functional_that_stops_before_the_input_is_its_constant_less_what_was_charged() -> None:
    network = nn.Sequential(nn.Tanh())
    steps, ball = (
        trace_pair(network, network, {}, torch.Size([2])),
        Ball(torch.ones(1, 2, dtype=torch.float64), 0.0, "inf"),
    )
    zero, five = torch.zeros(1, 1, 2, dtype=torch.float64), torch.full((1, 1), 5.0, dtype=torch.float64)
    rows = Functional(ORIGINAL, {1: (zero, None)}, five)
    rows.slack = torch.ones(1, 1, dtype=torch.float64)
    assert 4 - 1e-12 <= float(lower_bounds(steps, _boxes(steps, ball.inputs), rows, ball)) <= 4


def test_a_cancellation_in_a_layer_or_its_transpose_is_not_believed() -> None:
    """Each −1 that meets 1e16 is lost: in whatever lanes the sum runs, more of them than a few roundings pay for."""
    many = 100_000
    column = torch.tensor([1e16, *[-1.0] * many, -1e16], dtype=torch.float64)
    layer = nn.Linear(1, many + 2, bias=False).double()
    layer.weight.data.copy_(column.unsqueeze(1))
    steps, ball = trace_pair(layer, layer, {}, torch.Size([1])), Ball(torch.ones(1, 1, dtype=torch.float64), 0.0, "inf")
    ones, zero = torch.ones(1, 1, many + 2, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    rows = Functional(ORIGINAL, {1: (ones, None)}, zero)
    assert float(lower_bounds(steps, _boxes(steps, ball.inputs), rows, ball)) <= -many
    across = nn.Linear(many + 2, 1, bias=False).double()
    across.weight.data.copy_(column)
    steps = trace_pair(across, across, {}, torch.Size([many + 2]))
    image = _boxes(steps, torch.ones(1, many + 2, dtype=torch.float64))[1].original
    assert float(image.low) <= -many <= float(image.high)


@pytest.mark.parametrize("value", [-100.0, -0.5, 0.0, 3.0, 100.0])
def test_an_activation_of_the_library_may_err_in_proportion_to_its_value(value: float) -> None:
    unit = Step("f", Lipschitz(lambda x: x, 1.0, monotone=True), (0,))
    found = propagate(unit, [input_enclosure(torch.tensor([[value]], dtype=torch.float64), 0.0)]).original
    charge = LIBRARY_ERROR * (1 + abs(value))
    for end in (value - float(found.low), float(found.high) - value):
        assert charge * (1 - 1e-3) <= end <= charge * (1 + 1e-3)  # 1e-3: the ends are floats, 2⁻⁵² of 100 apart


@pytest.mark.parametrize("size", [-1000.0, -1.0, 0.0, 1000.0])
def test_the_logarithm_of_softmax_may_err_in_proportion_to_the_logarithm_and_the_value(size: float) -> None:
    """Of outputs (s, s − 1024) the logarithm is s and the values are 0 and −1024."""
    box = input_enclosure(torch.tensor([[size, size - 1024]], dtype=torch.float64), 0.0)
    found = propagate(Step("", LogSoftmax(), (0,)), [box]).original
    exact = torch.tensor([[0.0, -1024.0]], dtype=torch.float64)
    charge = LIBRARY_ERROR * (1 + abs(size) + exact.abs())
    for end in (exact - found.low, found.high - exact):
        torch.testing.assert_close(end, charge, rtol=2.0**-8, atol=0.0)  # the step outward is 2⁻⁴⁹ of a value


STEEP = range(-3, 5)  # where in [-3, 5] the slope of an activation is 2: between two of the points that are probed


@pytest.mark.parametrize("wide", ["original", "pruned"])
@pytest.mark.parametrize("start", STEEP)
def test_a_slope_above_the_declared_one_is_found_wherever_in_the_region_it_is(start: int, wide: str) -> None:
    """In the region of either network."""
    z, point = (TensorInterval(*torch.tensor(ends, dtype=torch.float64).reshape(2, 1, 1)) for ends in ((-3, 5), (5, 5)))
    change = TensorInterval(z.low - 5, z.high - 5) if wide == "pruned" else TensorInterval(5 - z.high, 5 - z.low)
    box = Enclosure(z, point, change) if wide == "original" else Enclosure(point, z, change)
    for slope, refused in ((2.0, True), (1.0, False)):
        unit = Lipschitz(lambda x, slope=slope: slope * (x - start).clamp(0, 1), 1.0, monotone=False)
        with pytest.raises(InvalidValueError, match="slope of at most") if refused else nullcontext():
            propagate(Step("", unit, (0,)), [box])


def test_equal_normalised_networks_differ_by_exactly_zero() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()).eval()
    record = certify(network, copy.deepcopy(network), torch.randn(2, 1, 4, 4), radius=0.3)
    assert not record.error_bound.any()


def test_the_first_layer_is_bounded_over_the_euclidean_ball_not_its_cube() -> None:
    """Where the ball keeps every unit active and the cube around it does not, the network is linear on the ball."""
    network = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    pruned = copy.deepcopy(network)
    for model, last in ((network, 1.0), (pruned, 3.0)):
        for parameter, values in zip(model.parameters(), ([[1.0, 1.0]], [0.0], [[last]], [0.0]), strict=True):
            parameter.data.copy_(torch.tensor(values))
    centre = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    bound = certify(network, pruned, centre, radius=0.6, norm="2").error_bound  # x₁ + x₂ in 1 ± 0.6·√2, above 0
    assert float(bound) == pytest.approx(2 * (1 + 0.6 * 2**0.5), rel=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5, 1.0])
def test_where_every_unit_keeps_its_sign_the_bound_is_that_of_one_linear_map(slope: float, sign: float) -> None:
    torch.manual_seed(0)
    bend = nn.LeakyReLU(slope)
    pair = [nn.Sequential(nn.Linear(3, 5), bend, nn.Linear(5, 6), bend, nn.Linear(6, 4)).double() for _ in range(2)]
    for network in pair:
        for name, size in (("0.bias", 10.0), ("2.bias", 100.0)):
            network.get_parameter(name).data.fill_(sign * size)
    inputs, radius, factor = torch.randn(2, 3, dtype=torch.float64), 0.1, 1.0 if sign > 0 else slope
    maps = [
        torch.linalg.multi_dot([network.get_parameter(f"{i}.weight").detach() for i in (4, 2, 0)]) for network in pair
    ]
    reach = radius * factor**2 * (maps[1] - maps[0]).abs().sum(1)
    with torch.no_grad():
        exact = (pair[1](inputs) - pair[0](inputs)).abs() + reach
    torch.testing.assert_close(certify(pair[0], pair[1], inputs, radius=radius).error_bound, exact, rtol=1e-9, atol=0.0)


class _Overwriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu = nn.Linear(2, 2), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        rectified = self.relu(hidden)
        return rectified + hidden


def test_a_value_overwritten_by_itself_at_the_centre_is_refused_all_the_same() -> None:
    """At the centre nothing is rectified, so running the network there shows nothing."""
    network = _Overwriting()
    network.a.weight.data.fill_(1.0)
    network.a.bias.data.fill_(5.0)
    with pytest.raises(PruneproofError, match="overwrites a value"):
        certify(network, copy.deepcopy(network), torch.ones(1, 2), radius=9.0)


@pytest.mark.parametrize("network", [ORIGINAL, PRUNED, DIFFERENCE])
def test_every_part_of_a_layers_rounding_is_charged(network: int) -> None:
    """γ(‖P‖·‖|W||a| + |b|‖ + ‖Q‖·‖|Ŵ||α| + |Ŵ − W||a| + |b̂ − b|‖), each part a sixth of it, and little more."""
    g, many = torch.Generator().manual_seed(0), 400
    layers = [nn.Linear(many, 30, dtype=torch.float64) for _ in range(2)]
    for layer in layers:
        layer.weight.data.copy_(torch.randn(30, many, generator=g))
        layer.bias.data.copy_(0.6 * many * torch.randn(30, generator=g))
    a, other = torch.randn(2, 1, many, generator=g, dtype=torch.float64)
    box = Enclosure(*(TensorInterval(x, x) for x in (a, other, other - a)))
    steps = trace_pair(nn.Sequential(layers[0]), nn.Sequential(layers[1]), {}, torch.Size([many]))
    p, q = torch.randn(2, 1, 3, 30, generator=g, dtype=torch.float64)
    change = q if network == DIFFERENCE else None
    rows = Functional(network % DIFFERENCE, {1: (p, change)}, torch.zeros(1, 3, dtype=torch.float64))
    back_substitution._replace(steps[1], 1, [box, propagate(steps[1], [box])], rows)  # pyright: ignore[reportPrivateUsage]
    (w, b), (pruned, moved) = ((layer.weight.detach(), layer.bias.detach()) for layer in layers)
    read, weight, bias = (other, pruned, moved) if network == PRUNED else (a, w, b)
    reach = p.norm(dim=2) * (weight.abs() @ read.abs()[0] + bias.abs()).norm()
    if change is not None:
        changed = pruned.abs() @ (other - a).abs()[0] + (pruned - w).abs() @ a.abs()[0] + (moved - b).abs()
        reach += q.norm(dim=2) * changed.norm()
    assert bool((rows.slack >= gamma(many + 30) * reach * (1 - 1e-12)).all())
    assert bool((rows.slack <= 1.1 * gamma(many + 30) * reach).all())


@pytest.mark.parametrize("network", [ORIGINAL, PRUNED, DIFFERENCE])
def test_every_part_of_a_steps_rounding_is_charged(network: int) -> None:
    """32 roundings of ‖P‖·‖z‖ + ‖Q‖·‖|δ| + 2|z|‖ + |c|, as P − Q meets z, and little more."""
    g, many = torch.Generator().manual_seed(0), 40
    z, other = torch.randn(2, 1, many, generator=g, dtype=torch.float64)
    box = Enclosure(*(TensorInterval(x, x) for x in (z, other, other - z)))
    p, q = torch.randn(2, 1, 3, many, generator=g, dtype=torch.float64)
    constant = many * torch.randn(1, 3, generator=g, dtype=torch.float64)
    change = q if network == DIFFERENCE else None
    rows = Functional(network % DIFFERENCE, {1: (p, change)}, constant)
    back_substitution._replace(Step("", Add(), (0, 0)), 1, [box, box], rows)  # pyright: ignore[reportPrivateUsage]
    reach = p.norm(dim=2) * (other if network == PRUNED else z).norm() + constant.abs()
    if change is not None:
        reach += q.norm(dim=2) * ((other - z).abs() + 2 * z.abs()).norm()
    torch.testing.assert_close(rows.slack, 32 * UNIT * reach, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("exponent", [-540, 500])
def test_the_length_of_a_row_or_of_what_it_meets_is_charged_though_its_squares_underflow(exponent: int) -> None:
    """Coefficients 2⁻⁵⁴⁰ that meet 2⁵⁴⁰, and 2⁵⁰⁰ that meet 2⁻⁵⁰⁰, of which a rounding is 2⁻⁵⁴⁸."""
    p, z = (torch.full((1, 1, 8), 2.0**power, dtype=torch.float64) for power in (exponent, -exponent))
    box = Enclosure(*(TensorInterval(z[0], z[0]) for _ in range(3)))
    rows = Functional(ORIGINAL, {1: (p, None)}, torch.zeros(1, 1, dtype=torch.float64))
    back_substitution._replace(Step("", Add(), (0, 0)), 1, [box, box], rows)  # pyright: ignore[reportPrivateUsage]
    assert float(rows.slack) >= 32 * UNIT * 8 * (1 - 1e-12)


def test_a_coefficient_that_underflows_is_charged_by_the_size_of_what_it_meets() -> None:
    """2⁻⁵⁴⁰ · 2⁻⁵⁴⁰ underflows to 0, but times a hidden unit of 2¹⁰⁰ it is a difference of 2⁻⁹⁸⁰."""
    network = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(3))).double()
    for parameter, exponent in zip(network.parameters(), (100, -540, -540), strict=True):
        parameter.data.fill_(2.0**exponent)
    pruned = copy.deepcopy(network)
    list(pruned.parameters())[2].data.zero_()
    assert float(certify(network, pruned, torch.ones(1, 1, dtype=torch.float64)).error_bound) >= 2.0**-980


def _hidden_layer(reader: Callable[[], nn.Module] = nn.ReLU) -> tuple[list[Step], list[Enclosure], Ball]:
    """A random pair, its boxes up to the second layer, some of whose units are of open sign, and a ball of 4 images."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 32), reader(), nn.Linear(32, 2)).double()
    pruned = copy.deepcopy(network)
    for parameter in pruned.parameters():
        parameter.data *= 0.9
    ball = Ball(torch.randn(4, 4, dtype=torch.float64), 0.2, "inf")
    steps, boxes = trace_pair(network, pruned, {}, torch.Size([4])), [input_enclosure(ball.inputs, ball.radius)]
    for step in steps[1:4]:
        boxes.append(propagate(step, boxes))
    return steps, boxes, ball


@pytest.mark.parametrize("network", [ORIGINAL, PRUNED])
def test_a_unit_of_open_sign_is_bounded_until_its_sign_is_known_or_at_both_ends(network: int) -> None:
    steps, boxes, ball = _hidden_layer()
    before = boxes[3].original if network == ORIGINAL else boxes[3].pruned
    found = with_signs(before, steps, boxes, 3, network, ball)
    every = torch.ones(4, 64, dtype=torch.bool)
    bounds = unit_bounds(steps, boxes, 3, every, network, ball)
    low, negative_high = bounds.chunk(2, 1)
    low, high = torch.fmax(before.low, low), torch.fmin(before.high, -negative_high)
    was_open, stays_open = (before.low < 0) & (before.high > 0), (low < 0) & (high > 0)
    settled = was_open & ~stays_open
    assert stays_open.any() and settled.any() and not was_open.all()
    assert torch.equal(found.low[~was_open], before.low[~was_open])
    assert torch.equal((found.low < 0) & (found.high > 0), stays_open)
    for one, other in ((found.low, low), (found.high, high)):
        torch.testing.assert_close(one[stays_open], other[stays_open], rtol=1e-9, atol=1e-9)  # rounding of the product


@pytest.mark.parametrize("reader", [nn.ReLU, nn.Tanh])
def test_a_rectifier_asks_for_units_of_open_sign_and_another_nonlinearity_for_all(
    reader: Callable[[], nn.Module],
) -> None:
    steps, boxes, ball = _hidden_layer(reader)
    found = region._box_bounds(steps, ball, 32)[3]  # pyright: ignore[reportPrivateUsage]
    settled = torch.stack([(side.low >= 0) | (side.high <= 0) for side in (boxes[3].original, boxes[3].pruned)]).all(0)
    assert settled.any() and not settled.all()
    every = torch.ones(4, 64, dtype=torch.bool)
    for network, name in ((ORIGINAL, "original"), (PRUNED, "pruned"), (DIFFERENCE, "difference")):
        after = getattr(found, name)
        bounds = unit_bounds(steps, boxes, 3, every, network, ball)
        low, negative_high = bounds.chunk(2, 1)
        tighter = (after.low >= low - 1e-9) & (after.high <= 1e-9 - negative_high)  # 1e-9: rounding of the products
        assert bool(tighter[settled].all()) == bool(tighter.all()) == (reader is nn.Tanh)


@pytest.mark.parametrize("network", [ORIGINAL, PRUNED, DIFFERENCE])
def test_an_image_is_not_given_the_bounds_that_another_asks_for(network: int) -> None:
    steps, boxes, ball = _hidden_layer()
    wanted = torch.zeros(4, 64, dtype=torch.bool)
    wanted[1, [5, 7, 37, 39]] = True
    wanted[2, 39] = True
    bounds = unit_bounds(steps, boxes, 3, wanted, network, ball)
    assert torch.equal(bounds.isfinite(), wanted)
