"""SiPP's probabilistic guarantees, refuted or not at a stated false-alarm rate (α = 1e-9 per test), and the mutants.

Every mutant replaces one step of a variant by a plausible mistake; the same test that the library passes must refuse
it. On the block instance (equal weights, activations 1 in n/k of the n places at each of k points) ẑ is a scaled
binomial, so the whole law is compared, not only its tail.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pruneproof.kernels import sensitivities
from pruneproof.prune.sensitivity import draws, errors
from pruneproof.prune.sensitivity.draws import Drawing
from pruneproof.prune.sensitivity.errors import Ranking
from pruneproof.prune.sensitivity.half_rows import Block
from pruneproof.theory.statistics.exact_tests import falsified

ALPHA = 1e-9


def _block(weight: Tensor, points: Tensor) -> Block:
    """One half-row repeated, so that each row is an independent draw."""
    return Block(0, slice(0, len(weight)), weight, sensitivities(weight, points), points)


def _relu_row(copies: int, seed: int, width: int = 128, batch: int = 64) -> Block:
    generator = torch.Generator().manual_seed(seed)
    row = torch.randn(1, width, generator=generator, dtype=torch.float64).abs()
    points = torch.randn(batch, width, generator=generator, dtype=torch.float64).relu()
    return _block(row.expand(copies, -1).contiguous(), points)


def _apply(name: str, block: Block, budget: float, log: float, seed: int) -> tuple[Tensor, Tensor]:
    """ε of the half-row and the relative errors (copies, points) of independent draws."""
    order = errors.ranking(block)
    budgets = torch.full((len(block.weight),), budget, dtype=torch.float64)
    epsilon = errors.ERRORS[name](block, order, budgets, log, 1.0)
    law = Drawing(log, 1.0, torch.Generator().manual_seed(seed))
    factors = draws.FACTORS[name](block, order, budgets, epsilon, law)
    sums = block.weight @ block.points.T
    return epsilon, ((block.weight * factors) @ block.points.T - sums).abs() / sums


@pytest.mark.alpha(4 * ALPHA)
@pytest.mark.parametrize("name", ["poisson", "rand", "hybrid"])
@pytest.mark.parametrize("delta", [0.3, 0.05])
def test_failures_are_as_rare_as_promised(name: str, delta: float, salted: Callable[..., int]) -> None:
    for seed in (salted("frequency", name, delta, run) for run in range(2)):
        epsilon, relative = _apply(name, _relu_row(4000, seed), 64.0, math.log(2 / delta), seed)
        for point in (0, 7):  # fixed before the draw
            failures = int((relative[:, point] > epsilon).sum())
            assert not falsified(failures, len(relative), delta, ALPHA)


@pytest.mark.parametrize("name", ["det", "symmetric"])
def test_deterministic_bounds_never_fail_on_the_sample(name: str) -> None:
    for seed in range(5):
        epsilon, relative = _apply(name, _relu_row(1, seed), 64.0, 0.0, seed)
        assert float(relative.max()) <= float(epsilon) * (1 + 1e-12)  # 1e-12: 128 roundings on either side
        assert float(epsilon) > 0.05  # and the law was exercised


def test_a_tightened_epsilon_is_refused() -> None:
    """The false twin: promise ε/4 at the same δ'."""
    epsilon, relative = _apply("poisson", _relu_row(4000, 0), 64.0, math.log(2 / 0.05), 0)
    failures = int((relative[:, 0] > epsilon / 4).sum())
    assert falsified(failures, len(relative), 0.05, ALPHA)


# ---- the exact law


def _block_instance(copies: int, blocks: int, each: int) -> Block:
    points = torch.eye(blocks, dtype=torch.float64).repeat_interleave(each, dim=1)
    return _block(torch.ones(copies, blocks * each, dtype=torch.float64), points)


def _law_is_binomial(estimates: Tensor, trials: int, chance: float, scale: float) -> bool:
    """Whether estimates·scale look like Bin(trials, chance): whole numbers, and a chi-square test at ALPHA."""
    counts = estimates * scale
    whole = counts.round()
    if not torch.allclose(counts, whole, rtol=0, atol=1e-9 * trials) or float(whole.max()) > trials:
        return False
    expected = stats.binom.pmf(range(trials + 1), trials, chance) * len(counts)
    observed = torch.bincount(whole.long(), minlength=trials + 1).double().numpy()
    common = expected >= 5  # the usual condition for the chi-square law; the tails are pooled
    table = [*observed[common], observed[~common].sum()], [*expected[common], expected[~common].sum()]
    statistic = sum((o - e) ** 2 / e for o, e in zip(*table, strict=True) if e > 0)
    return bool(stats.chi2.sf(statistic, len(table[0]) - 1) > ALPHA)


def _rand_law_holds(factors: Callable[[Block, Ranking, Tensor], Tensor], m: int = 40, blocks: int = 20) -> bool:
    """ẑ·m/(k·z) ~ Bin(m, 1/k)."""
    block = _block_instance(20_000, blocks, 3)
    budget = torch.full((len(block.weight),), float(m), dtype=torch.float64)
    sums = (block.weight * factors(block, errors.ranking(block), budget)) @ block.points[0]
    return _law_is_binomial(sums / 3, m, 1 / blocks, m / blocks)


def _poisson_law_holds(factors: Callable[[Block, Ranking, Tensor], Tensor]) -> bool:
    """With p = budget/n for all n weights, Σ_block ŵ·p ~ Bin(each, p)."""
    block = _block_instance(20_000, 5, 12)
    budget = torch.full((len(block.weight),), 24.0, dtype=torch.float64)
    sums = (block.weight * factors(block, errors.ranking(block), budget)) @ block.points[0]
    return _law_is_binomial(sums, 12, 0.4, 0.4)


def _drawn(name: str, seed: int = 0) -> Callable[[Block, Ranking, Tensor], Tensor]:
    law = Drawing(1.0, 1.0, torch.Generator().manual_seed(seed))
    return lambda block, order, budget: draws.FACTORS[name](block, order, budget, torch.zeros(()), law)


@pytest.mark.alpha(ALPHA)
def test_rand_has_the_exact_law(salted: Callable[..., int]) -> None:
    assert _rand_law_holds(_drawn("rand", salted("exact law", "rand")))


@pytest.mark.alpha(ALPHA)
def test_rand_with_a_single_draw_is_unbiased(salted: Callable[..., int]) -> None:
    assert _rand_law_holds(_drawn("rand", salted("exact law", "single")), m=1)


@pytest.mark.alpha(ALPHA)
def test_poisson_has_the_exact_law(salted: Callable[..., int]) -> None:
    assert _poisson_law_holds(_drawn("poisson", salted("exact law", "poisson")))


def _fewer_draws(divisor: int) -> Callable[[Block, Ranking, Tensor], Tensor]:
    honest = _drawn("rand")
    return lambda block, order, budget: honest(block, order, budget / divisor)


def _no_reweighting(name: str) -> Callable[[Block, Ranking, Tensor], Tensor]:
    honest = _drawn(name)
    return lambda block, order, budget: (honest(block, order, budget) > 0).double()


def _counts_without_share(block: Block, order: Ranking, budget: Tensor) -> Tensor:
    """Missing 1/q: counts divided by m alone."""
    return _drawn("rand")(block, order, budget) * block.sensitivity / order.tail[:, :1]


def _one_more(block: Block, order: Ranking, budget: Tensor) -> Tensor:
    """Divides by m + 1: biased, most of all at m = 1."""
    return _drawn("rand")(block, order, budget) * (budget / (budget + 1)).unsqueeze(1)


def _kept_without_chance(block: Block, order: Ranking, budget: Tensor) -> Tensor:
    """Divides by √p in place of p."""
    return _drawn("poisson")(block, order, budget).sqrt()


LAW_MUTANTS: dict[str, tuple[Callable[..., bool], Callable[[Block, Ranking, Tensor], Tensor], dict[str, Any]]] = {
    "draws m/4": (_rand_law_holds, _fewer_draws(4), {}),
    "draws m/8": (_rand_law_holds, _fewer_draws(8), {}),
    "halved m": (_rand_law_holds, _fewer_draws(2), {}),
    "missing reweighting (rand)": (_rand_law_holds, _no_reweighting("rand"), {}),
    "missing reweighting (poisson)": (_poisson_law_holds, _no_reweighting("poisson"), {}),
    "missing 1/q": (_rand_law_holds, _counts_without_share, {}),
    "m + 1": (_rand_law_holds, _one_more, {}),
    "m + 1 at m = 1": (_rand_law_holds, _one_more, {"m": 1}),
    "sqrt of the chance": (_poisson_law_holds, _kept_without_chance, {}),
}


@pytest.mark.parametrize("mutant", LAW_MUTANTS)
def test_the_exact_law_kills(mutant: str) -> None:
    law, factors, arguments = LAW_MUTANTS[mutant]
    assert not law(factors, **arguments)


# ---- mutants of the bound


def _count_failures(m: int, epsilon: float, delta: float, seed: int) -> bool:
    """Whether m draws on the block instance k = 20 pass the exact test, by the exact law of ẑ."""
    counts = np.random.default_rng(seed).binomial(m, 1 / 20, size=400_000)
    return not falsified(int((abs(counts * 20 / m - 1) > epsilon).sum()), len(counts), delta, ALPHA)


@pytest.mark.alpha(ALPHA)
def test_s1_size_is_enough_on_the_block_instance(salted: Callable[..., int]) -> None:
    m = math.ceil(20 * 6.2 / 0.03 * math.log(2 / 1e-4))
    assert _count_failures(m, 0.1, 1e-4, salted("block instance"))


@pytest.mark.parametrize("divisor", [2, 4, 8])
def test_fewer_draws_than_s1_size_are_refused(divisor: int) -> None:
    m = math.ceil(20 * 6.2 / 0.03 * math.log(2 / 1e-4))
    assert not _count_failures(m // divisor, 0.1, 1e-4, seed=1)


def test_mean_in_place_of_max_is_refused() -> None:
    """Sensitivities as a mean over S are no bound on shares: rare activations lose their weights."""
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(256, 64, generator=generator, dtype=torch.float64) * 0.01
    points[torch.arange(64), torch.arange(64)] = 5.0  # each weight matters at one point
    weight = torch.ones(2000, 64, dtype=torch.float64)
    shares = (weight[0] * points) / (weight[0] * points).sum(1, keepdim=True)
    verdicts: list[bool] = []
    for score in (shares.amax(0), shares.mean(0)):
        block = Block(0, slice(0, 2000), weight, score.expand_as(weight), points)
        epsilon, relative = _apply("rand", block, 63.0, math.log(2 / 0.05), 0)
        verdicts.append(not falsified(int((relative[:, 0] > epsilon).sum()), 2000, 0.05, ALPHA))
    assert verdicts == [True, False]
