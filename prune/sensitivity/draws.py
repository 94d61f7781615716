"""The factors that weights of half-rows are multiplied by: 0 where dropped, 1/p or reweighted counts where drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from .errors import ERRORS, Ranking, prefix, sampling
from .half_rows import Block


@dataclass(frozen=True)
class Drawing:
    """What a draw depends on beside its half-rows: ln(2/δ') and C (for the best prefix), and the generator."""

    log: float
    stretch: float
    generator: Generator


def det(block: Block, order: Ranking, budget: Tensor, epsilon: Tensor, law: Drawing) -> Tensor:
    """Keep the most sensitive as they are."""
    return order.top(budget.round()).double()


def symmetric(block: Block, order: Ranking, budget: Tensor, epsilon: Tensor, law: Drawing) -> Tensor:
    """Divide what Det keeps by 1 − share/2; the ε of that is share/(2 − share), stored (1 + unit)/(1 − share/2) − 1."""
    factor = torch.where(order.whole(budget), 1.0, (1 + epsilon) / (1 + order.unit))
    return order.top(budget.round()).double() * factor.unsqueeze(1)


def poisson(block: Block, order: Ranking, budget: Tensor, epsilon: Tensor, law: Drawing) -> Tensor:
    """Keep j with probability p_j, divided by p_j."""
    _, chance = sampling(block, order, budget)
    kept = torch.rand(chance.shape, generator=law.generator, dtype=torch.float64) < chance
    return torch.where(kept, 1 / chance, 0.0)


def rand(block: Block, order: Ranking, budget: Tensor, epsilon: Tensor, law: Drawing) -> Tensor:
    """Reweighted counts of draws with replacement."""
    kept = torch.where(order.whole(budget), order.size, 0).double()
    return _kept_and_drawn(order, kept, (budget.floor() - kept).clamp(min=0), law.generator)


def hybrid(block: Block, order: Ranking, budget: Tensor, epsilon: Tensor, law: Drawing) -> Tensor:
    """Keep S3's best prefix, draw from the rest; or as S2-symmetric, where that has the smaller error."""
    error, kept = prefix(order, budget, law.log, law.stretch)
    drawn = _kept_and_drawn(order, kept, (budget.floor() - kept).clamp(min=0), law.generator)
    better = error < ERRORS["symmetric"](block, order, budget, law.log, law.stretch)
    return torch.where(better.unsqueeze(1), drawn, symmetric(block, order, budget, epsilon, law))


def _kept_and_drawn(order: Ranking, kept: Tensor, draws: Tensor, generator: Generator) -> Tensor:
    first = torch.arange(order.sorted.shape[1]) < kept.unsqueeze(1)
    rest = torch.where(first, 0.0, order.sorted)
    counts = multinomial_counts(rest, draws, generator)
    weights = counts * rest.sum(1, keepdim=True) / (draws.unsqueeze(1) * rest)
    factors = torch.where(first, 1.0, torch.where(counts > 0, weights, 0.0))
    return torch.zeros_like(factors).scatter_(1, order.order, factors)


def multinomial_counts(mass: Tensor, draws: Tensor, generator: Generator) -> Tensor:
    """Counts (rows, n) of `draws` (rows,) independent draws per row with probabilities proportional to `mass`."""
    ends = mass.cumsum(1)
    most = int(draws.max()) if draws.numel() else 0
    uniform = torch.rand(len(mass), most, generator=generator, dtype=torch.float64) * ends[:, -1:]
    index = torch.searchsorted(ends, uniform, right=True).clamp_(max=mass.shape[1] - 1)
    valid = (torch.arange(most) < draws.unsqueeze(1)) & (ends[:, -1:] > 0)
    return torch.zeros_like(mass).scatter_add_(1, index, valid.double())


Factors = Callable[[Block, Ranking, Tensor, Tensor, Drawing], Tensor]
FACTORS: dict[str, Factors] = {
    "poisson": poisson,
    "det": det,
    "rand": rand,
    "hybrid": hybrid,
    "symmetric": symmetric,
}
