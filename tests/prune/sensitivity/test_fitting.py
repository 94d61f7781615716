# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
"""Hybrid is fitted to the sample where bounds say nothing of a row, and only there; what it then says of ε is true."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from pruneproof.kernels import sensitivities
from pruneproof.prune import SippResult, sipp
from pruneproof.prune.sensitivity import errors
from pruneproof.prune.sensitivity.choices import DROPPED, FITTED
from pruneproof.prune.sensitivity.half_rows import Block, blocks, floored, rounding


def block_of(dtype: torch.dtype, seed: int = 0) -> Block:
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.rand(20, 30, generator=generator) + 0.01).to(dtype)
    points = (torch.rand(6, 30, generator=generator) * (torch.rand(6, 30, generator=generator) < 0.5)).to(dtype)
    scores = floored(weight, sensitivities(weight.double(), points.double()))
    return Block(0, slice(0, 20), weight, scores, points)


def worst(block: Block, new: Tensor) -> list[Fraction]:
    """max over the points of |ẑ−z|/z, in rationals."""
    at, result = [[Fraction(a) for a in point] for point in block.points.tolist()], list[Fraction]()
    for old, now in zip(block.weight.tolist(), new.tolist(), strict=True):
        w, v = [Fraction(each) for each in old], [Fraction(each) for each in now]
        sums = [tuple(sum((x * y for x, y in zip(row, a, strict=True)), Fraction(0)) for row in (w, v)) for a in at]
        result.append(max(abs(after - z) / z for z, after in sums if z))
    return result


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kept", [0, 1, 4, 29])
def test_the_error_of_a_fitted_half_row_is_the_worst_on_the_sample(dtype: torch.dtype, kept: int) -> None:
    """In rationals, up to the rounding that is charged, and at most 1 before it; weights times 2.1 are refused.

    Stored weights move ẑ by (1 + ε)·unit, and as much is charged; `rounding` is charged on two shares and on the sum.
    Least squares reaches z somewhere, and 2.1 times what does is wrong by 1.1.
    """
    block = block_of(dtype)
    order, budget = errors.ranking(block), torch.full((20,), float(kept), dtype=torch.float64)
    epsilon, factors = errors.fitted(block, order, budget, 1.0)
    true = worst(block, (factors * block.weight).to(dtype))
    slack = (1 + epsilon) * (2 * order.unit + 4 * (rounding(30) - 1))
    for e, s, t in zip(epsilon.tolist(), slack.tolist(), true, strict=True):
        assert t <= Fraction(e) <= t + Fraction(s)
    assert bool((epsilon <= 1 + slack).all()) and bool(((factors > 0).sum(1) == kept).all())
    changed = worst(block, (2.1 * factors * block.weight).to(dtype))
    assert kept == 0 or all(t > Fraction(e) for e, t in zip(epsilon.tolist(), changed, strict=True))


def test_the_factor_is_that_of_least_squares_unless_it_is_too_large() -> None:
    block = block_of(torch.float64)
    _, factors = errors.fitted(block, errors.ranking(block), torch.full((20,), 3.0, dtype=torch.float64), 1.0)
    kept, z = (factors > 0) * block.weight, block.weight @ block.points.T
    for row, (part, sums) in enumerate(zip(kept @ block.points.T, z, strict=True)):
        best = torch.linalg.lstsq(part[:, None], sums[:, None]).solution
        most = 2 / (part / sums).max()
        assert float(factors[row].max()) == pytest.approx(float(torch.minimum(best, most)), rel=1e-12)
    varying = block.weight * block.points.std(0, correction=0)
    assert torch.equal(factors > 0, varying >= varying.topk(3).values[:, -1:])


def one_kept(weight: Tensor, points: Tensor, stretch: float) -> tuple[float, float]:
    """ε of a half-row of which one weight is kept, and its factor."""
    block = Block(0, slice(0, 1), weight, sensitivities(weight, points), points)
    epsilon, factors = errors.fitted(block, errors.ranking(block), torch.ones(1, dtype=torch.float64), stretch)
    return float(epsilon), float(factors.max())


def test_a_factor_is_at_most_two_over_the_largest_share_that_is_kept() -> None:
    """Least squares asks for 50: what is kept has 1 of a sum of 51 at one point, and all of .1 at the other.

    One of four equal weights gets 4. If the stretch allows points at which it is all, that would be wrong by 3 there.
    """
    weight = torch.ones(1, 101, dtype=torch.float64)
    points = torch.cat([torch.tensor([[1.0], [0.1]]), torch.tensor([[0.5], [0.0]]).expand(2, 100)], 1).double()
    assert one_kept(weight, points, 1.0) == (pytest.approx(1.0), 2.0)
    alike = torch.ones(1, 4, dtype=torch.float64)
    assert one_kept(alike, alike, 1.0) == (pytest.approx(0.0, abs=1e-12), 4.0)
    assert one_kept(alike, alike, 4.0) == (pytest.approx(1.0), 2.0)


@pytest.mark.parametrize("points", [torch.ones(1, 4), 1e200 * torch.eye(4, dtype=torch.float64)])
def test_weights_that_do_not_vary_or_overflow_are_taken_by_sensitivity(points: Tensor) -> None:
    weight = torch.tensor([[0.0, 1.0, 3.0, 2.0]], dtype=points.dtype)
    block = Block(0, slice(0, 1), weight, weight / 6, points)
    _, factors = errors.fitted(block, errors.ranking(block), torch.tensor([2.0]), 1.0)
    assert (factors > 0).tolist() == [[False, False, True, True]]


def test_the_error_elsewhere_holds_where_shares_are_below_the_stretch() -> None:
    """At 200 points that S does not hold, with the C that they need; the ε of S itself is too small at some of them."""
    block = block_of(torch.float64)
    others = torch.rand(200, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares = others[:, None] * block.weight / (others @ block.weight.T)[:, :, None]
    order, budget = errors.ranking(block), torch.full((20,), 20.0, dtype=torch.float64)
    exceeded = list[bool]()
    for stretch in (float((shares / block.sensitivity).max()), 1.0):
        epsilon, factors = errors.fitted(block, order, budget, stretch)
        moved = ((shares * factors).sum(2) - 1).abs().amax(0)
        exceeded.append(bool((moved > epsilon).any()))
    assert exceeded == [False, True]


def perceptron() -> nn.Sequential:
    """Its first row reads zeros alone on the sample, the second has few weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 60), nn.ReLU(), nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 10))
    with torch.no_grad():
        network[0].weight[0, :60] = 0
        network[0].weight[1, :58] = 0
    return network


INPUTS = torch.rand(40, 64, generator=torch.Generator().manual_seed(0)) * (torch.arange(64) < 60)


def pruned(density: float) -> SippResult[nn.Sequential]:
    generator = torch.Generator().manual_seed(0)
    return sipp(perceptron(), INPUTS, density=density, variant="hybrid", generator=generator)


@pytest.mark.parametrize("density", [0.05, 0.2])
def test_fitted_half_rows_of_a_network_keep_to_their_error(density: float) -> None:
    network, result, points = perceptron().double(), pruned(density), INPUTS.double()
    for index in (0, 2, 4):
        old, new = (m[index].weight.detach().double() for m in (network, result.model))
        bound = result.bounds[f"{index}.weight"]
        for sign, code, epsilon in zip((1, -1), bound.variant, bound.epsilon, strict=True):
            z, after = ((sign * w).clamp(min=0) @ points.T for w in (old, new))
            error = torch.where(z > 0, (after - z).abs() / z, 0.0).amax(1)
            fitted = code == FITTED
            assert bool((error <= epsilon + 1e-6)[fitted].all())  # activations seen were rounded in float32
            assert index == 4 or bool(fitted.any())
        points = network[index : index + 2](points).detach()


@pytest.mark.parametrize("density", [0.3, 0.6])
def test_rows_are_fitted_where_bounds_allow_an_error_as_large_as_the_row(density: float) -> None:
    """By the ε that hybrid would have without: where it is less, the half-rows of the row are not fitted."""
    weight, bound = perceptron()[0].weight.detach(), pruned(density).bounds["0.weight"]
    scores = floored(weight, sensitivities(weight, INPUTS))
    log = float(torch.tensor(2 / bound.delta, dtype=torch.float64).log())
    own, allowed = torch.zeros(2, 60, dtype=torch.float64), torch.zeros(60, 40, dtype=torch.float64)
    for block in blocks(weight, scores, [INPUTS]):
        z = block.weight.double() @ INPUTS.double().T
        order, budget = errors.ranking(block), bound.budget[block.sign]
        own[block.sign] = errors.ERRORS["hybrid"](block, order, budget, log, 1.0) * z.any(1)
        allowed += own[block.sign, :, None] * z
    vague = allowed.sum(1) >= (weight.double() @ INPUTS.double().T).abs().sum(1)
    free = (own > 0) & (bound.variant != DROPPED)
    assert torch.equal(bound.variant == FITTED, vague & free)
    assert bool((vague & free).any()) and bool((~vague & free).any()) and bool((vague & (own == 0)).any())
