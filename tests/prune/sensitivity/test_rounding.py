"""The bounds hold in exact arithmetic, whatever overflows, vanishes or is rounded in the dtype of the network."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.kernels import sensitivities
from pruneproof.prune import pfp, sipp
from pruneproof.prune.sensitivity import draws, errors
from pruneproof.prune.sensitivity.draws import Drawing
from pruneproof.prune.sensitivity.half_rows import LEAST, Block, floored
from pruneproof.prune.sensitivity.measuring import Measured, layers, measure


def _layer(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], len(weight), bias=False, dtype=weight.dtype)
    layer.weight.data.copy_(weight)
    return layer


def _exact(old: Tensor, new: Tensor, points: Tensor) -> list[list[Fraction]]:
    """max over points of |ẑ−z|/z for W⁺ and W⁻ of every row, in rationals."""
    at = [[Fraction(a) for a in point] for point in points.tolist()]
    worst: list[list[Fraction]] = []
    for sign in (1, -1):
        worst.append([])
        for first, second in zip((sign * old).tolist(), (sign * new).tolist(), strict=True):
            pairs = [(Fraction(w), Fraction(v)) for w, v in zip(first, second, strict=True) if w > 0]
            values = [Fraction(0)]
            for point in at:
                met = [a for w, a in zip(first, point, strict=True) if w > 0]
                z = sum((w * a for (w, _), a in zip(pairs, met, strict=True)), Fraction(0))
                change = sum(((v - w) * a for (w, v), a in zip(pairs, met, strict=True)), Fraction(0))
                values.append(abs(change) / z if z else Fraction(0))
            worst[-1].append(max(values))
    return worst


def _holds(layer: nn.Linear, points: Tensor, density: float) -> bool:
    result = sipp(layer, points, density=density, variant="det")
    bound = result.bounds["weight"]
    assert bound.cost.isfinite().all()
    worst = _exact(layer.weight.detach(), result.model.weight.detach(), points)
    assert max(map(max, worst)) > 0  # something was dropped
    return all(Fraction(e) >= w for es, ws in zip(bound.epsilon.tolist(), worst, strict=True)
               for e, w in zip(es, ws, strict=True))  # fmt: skip


def test_sums_beyond_half_precision_are_seen() -> None:
    layer = _layer(torch.tensor([[3.0, 2.0, 1.0, -300.0]]).half())
    points = torch.tensor([[20000.0, 20000.0, 20000.0, 400.0], [1.0, 1.0, 0.01, 1.0]]).half()
    assert _holds(layer, points, 0.75)


def test_sums_below_single_precision_are_seen() -> None:
    points = torch.tensor([[1, 1, 1, 0.01], [1e-20, 0, 0, 0.3e-20]])
    assert _holds(_layer(torch.full((1, 4), 1e-30)), points, 0.75)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_no_rounding_is_left_out(dtype: torch.dtype) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        assert _holds(_layer(torch.randn(6, 60).to(dtype)), torch.rand(8, 60).to(dtype), 0.3)


def test_a_channels_bound_is_rounded_up_too() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        first, last = _layer(torch.eye(40)), _layer(torch.randn(6, 40))
        points = torch.rand(8, 40)
        result = pfp(nn.Sequential(first, last), points, density=0.3)
        new = last.weight.detach() * result.channels["0.weight"]
        for epsilon, worst in zip(result.bounds["1.weight"].tolist(), _exact(last.weight, new, points), strict=True):
            assert all(Fraction(e) >= w for e, w in zip(epsilon, worst, strict=True))


@pytest.mark.parametrize("scale", [1e-170, 1e-162, 1e160])
def test_a_share_that_float64_cannot_compare_is_one(scale: float) -> None:
    weight, points = (torch.full((1, 3), scale, dtype=torch.float64) for _ in range(2))
    block = Block(0, slice(0, 1), weight, weight, points)
    assert block.worst_share(torch.tensor([[0.0, 0.0, 1.0]])).tolist() == [1.0]


@pytest.mark.parametrize("scale", [1e-170, 1e-162, 1e160])
def test_float64_layers_whose_sums_vanish_or_overflow_are_refused(scale: float) -> None:
    layer = _layer(torch.full((1, 3), scale, dtype=torch.float64))
    points = scale * torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], dtype=torch.float64)
    with pytest.raises(PruneproofError, match=r"nearly vanish in weight"):
        sipp(layer, points, density=0.7, variant="det")


def _measured(layer: nn.Linear, points: Tensor) -> Measured:
    (found,), _ = layers(layer)
    return measure(layer, points, found)


def test_a_point_too_faint_for_single_precision_still_counts() -> None:
    """W⁺ is 1 and 1e-30 and meets 0 and 1e-20, beside a large activation that W⁻ takes."""
    layer = _layer(torch.tensor([[1.0, 1e-30, -1.0]]))
    points = torch.tensor([[0.0, 1e-20, 1.0], [1.0, 0.0, 1.0]])
    assert float(sensitivities(layer.weight, points)[0, 1]) == 0.0  # what the kernel says of it
    assert _measured(layer, points).scores.tolist() == [[1.0, 1.0, 1.0]]


def test_faint_rows_are_measured_again_wherever_they_are() -> None:
    """Rows 1 and 129 as above, in a block each; others are all ones, of which the second never has a share of 2⁻⁴⁰."""
    weight, faint = torch.ones(131, 3), torch.tensor([1, 129])
    weight[faint] = torch.tensor([1.0, 1e-30, -1.0])
    points = torch.tensor([[0.0, 1e-20, 1.0], [1.0, 0.0, 1.0]])
    expected = torch.tensor([[0.5, LEAST, 1.0]]).repeat(131, 1)
    expected[faint] = 1.0
    assert torch.equal(_measured(_layer(weight), points).scores, expected)


def test_sensitivities_of_sixteen_bits_are_kept_in_32() -> None:
    layer = _layer(torch.tensor([[3.0, 1.0]]).half())
    scores = _measured(layer, torch.tensor([[1.0, 0.0], [1.0, 1e-7]]).half()).scores
    small = Fraction(float(torch.tensor(1e-7).half())) / (3 + Fraction(float(torch.tensor(1e-7).half())))
    assert scores.dtype == torch.float32
    assert abs(Fraction(float(scores[0, 1])) / small - 1) < 10 * Fraction(2) ** -24  # in + 8 roundings


def test_sensitivities_are_at_least_the_least() -> None:
    weight, given = torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.tensor([[1.0, 1e-30, 0.0, 0.0]])
    assert floored(weight, given).tolist() == [[1.0, LEAST, 0.25, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["poisson", "rand", "hybrid", "symmetric"])
def test_storing_a_reweighted_weight_costs_at_most_its_unit(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = (torch.rand(50, 40) * torch.logspace(-9, 0, 40)).to(dtype)
    points = torch.rand(5, 40).to(dtype)
    block = Block(0, slice(0, 50), weight, sensitivities(weight.double(), points.double()), points)
    order, budget = errors.ranking(block), torch.full((50,), 20.0, dtype=torch.float64)
    epsilon = errors.ERRORS[name](block, order, budget, 1.0, 1.0)
    factors = draws.FACTORS[name](block, order, budget, epsilon, Drawing(1.0, 1.0, torch.Generator()))
    stored = (weight.double() * factors).to(dtype)
    for i, j in torch.nonzero(factors).tolist():
        exact = Fraction(float(weight[i, j])) * Fraction(float(factors[i, j]))
        change = abs(Fraction(float(stored[i, j])) - exact)
        assert change <= Fraction(float(order.unit[i])) * max(exact, Fraction(float(weight[i, j])))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_symmetric_bound_holds_once_stored(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, points = (torch.rand(30, 40) + 0.5).to(dtype), (torch.rand(5, 40) + 0.5).to(dtype)
    block = Block(0, slice(0, 30), weight, sensitivities(weight.double(), points.double()), points)
    order = errors.ranking(block)
    for kept in (10.0, 39.0, 40.0):
        budget = torch.full((30,), kept, dtype=torch.float64)
        epsilon = errors.ERRORS["symmetric"](block, order, budget, 1.0, 1.0)
        factors = draws.FACTORS["symmetric"](block, order, budget, epsilon, Drawing(1.0, 1.0, torch.Generator()))
        (worst, _) = _exact(weight, (weight.double() * factors).to(dtype), points)
        assert all(Fraction(e) >= w for e, w in zip(epsilon.tolist(), worst, strict=True))
        assert kept < 40 or not epsilon.any()
        assert (factors.amax(1) * (1 + order.unit) <= (1 + epsilon) * (1 + 2 * 2.0**-53)).all() or kept == 40


@pytest.mark.parametrize("name", ["poisson", "rand", "hybrid"])
def test_the_rounding_of_the_sensitivities_stretches_the_bound(name: str) -> None:
    """A sensitivity in float32 may be too small by in + 8 roundings; C covers them."""
    weight, points = torch.ones(1, 16), torch.eye(4).repeat_interleave(4, 1)
    scores = sensitivities(weight, points)
    budget = torch.tensor([8.0], dtype=torch.float64)
    epsilons: list[float] = []
    for s in (scores, scores.double()):
        block = Block(0, slice(0, 1), weight.double(), s, points.double())
        epsilons.append(float(errors.ERRORS[name](block, errors.ranking(block), budget, 0.05, 1.0)))
    assert errors.ranking(Block(0, slice(0, 1), weight, scores, points)).excess >= 1 / (1 - 24 * 2.0**-24)
    assert epsilons[0] > epsilons[1] * (1 + 24 * 2.0**-24 / 2)  # ε ∝ √C at least


def test_reweighted_weights_beyond_the_dtype_are_refused() -> None:
    layer = _layer(torch.full((1, 64), 40_000.0).half())
    points = torch.rand(20, 64, generator=torch.Generator().manual_seed(0)).half()
    with pytest.raises(PruneproofError, match=r"weight is larger than torch\.float16 can hold"):
        sipp(layer, points, density=0.3, generator=torch.Generator().manual_seed(0))


def test_a_weight_times_its_factor_is_rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 a factor alone may be beyond the largest number while the new weight is not."""
    monkeypatch.setitem(draws.FACTORS, "det", lambda block, *_: torch.full(block.weight.shape, 1e5).double())
    points = torch.rand(20, 64, generator=torch.Generator().manual_seed(0)).half()
    new = sipp(_layer(torch.full((1, 64), 1e-3).half()), points, density=0.5, variant="det").model.weight
    assert torch.equal(new, (torch.full((1, 64), 1e-3).half().double() * 1e5).half())
