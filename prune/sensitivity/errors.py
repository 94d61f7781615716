"""The bound ε of each variant at given budgets: S1 … S4 (theory/theorems/sensitivity/proof.md), row by row.

A budget is the number of weights kept (Det), expected (Poisson) or drawn (Rand, and what the prefix hybrid does not
keep). `log` is ln(2/δ') of one half-row at one point; `stretch` is C. A budget that keeps everything has ε = 0.

Rounding is charged: that of the sensitivities as a larger C, that of reweighted weights as (1 + ε)(1 + unit) − 1, that
of the formulas themselves by `rounding`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .half_rows import LEAST, UNIT, Block, rounding


@dataclass(frozen=True)
class Ranking:
    """Sensitivities of a block in falling order, ties to the lowest index.

    Args:
        order: (rows, inputs) int64.
        sorted: (rows, inputs) float64.
        tail: (rows, inputs) float64, Σ from each place on; `tail[:, 0]` is Σ.
        size: (rows,) number of non-zero weights.
        excess: What a sensitivity may be too small by, as a factor of C.
        unit: (rows,) float64, relative error of a reweighted weight once it is stored.
    """

    order: Tensor
    sorted: Tensor
    tail: Tensor
    size: Tensor
    excess: float
    unit: Tensor

    def whole(self, budget: Tensor) -> Tensor:
        """Rows whose budget keeps everything."""
        return budget >= self.size

    def top(self, count: Tensor) -> Tensor:
        """The `count` (rows,) most sensitive of each row, as a mask."""
        first = torch.arange(self.order.shape[1]) < count.unsqueeze(1)
        return torch.zeros_like(first).scatter_(1, self.order, first)


def ranking(block: Block) -> Ranking:
    """Sort once; every variant reads the result."""
    values, order = block.sensitivity.sort(dim=1, descending=True, stable=True)
    values = values.double()
    tail = values.flip(1).cumsum(1).flip(1)
    return Ranking(order, values, tail, (block.weight > 0).sum(1), _excess(block), _unit(block))


def _excess(block: Block) -> float:
    """1/(1 − γ) for in + 10 roundings: the in + 8 that `sensitivities` promises, and room for what underflow takes."""
    lost = (block.weight.shape[1] + 10) * torch.finfo(block.sensitivity.dtype).eps / 2
    return 1 + lost / (1 - 2 * lost)


def _unit(block: Block) -> Tensor:
    """u|ŵ| + η over the smallest weight, η half the smallest subnormal; factors are right to in + 8 roundings."""
    kind, terms = torch.finfo(block.weight.dtype), block.weight.shape[1]
    least = torch.where(block.weight > 0, block.weight, torch.inf).amin(1).double()
    return kind.eps / 2 + (terms + 8) * UNIT + kind.smallest_normal * kind.eps / 2 / least


def bernstein(reach: Tensor, variance: Tensor, draws: Tensor, log: float) -> Tensor:
    """The ε at which 2·exp(−draws·ε²/(2(variance + reach·ε/3))) = δ', log = ln(2/δ')."""
    linear = log * reach / (3 * draws)
    return linear + (linear**2 + 2 * log * variance / draws).sqrt()


def det(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
    """S2."""
    return torch.where(order.whole(budget), 0.0, _share(block, order, ~order.top(budget.round()), stretch))


def _share(block: Block, order: Ranking, dropped: Tensor, stretch: float) -> Tensor:
    """Of what is dropped: the max of the sum on S; elsewhere (stretch > 1) C times the sum of the maxima."""
    if stretch == 1.0:
        return block.worst_share(dropped)
    shares = stretch * order.excess * (block.sensitivity.double() * dropped).sum(1)
    return (shares * rounding(dropped.shape[1])).clamp(max=1.0)


def symmetric(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
    """S2-symmetric."""
    share = det(block, order, budget, log, stretch)
    return share / (2 - share)


def fitted(block: Block, order: Ranking, budget: Tensor, stretch: float) -> tuple[Tensor, Tensor]:
    """S2-factor: keep what varies most on S, times the factor of least squares there; ε, and the factors of weights.

    The factor makes up for what does not vary. It is at most 2 over the largest share kept: ε ≤ 1 before rounding.
    """
    points = block.points.to(torch.promote_types(block.points.dtype, torch.float32))
    varying = block.weight.double() * points.std(0, correction=0).double()
    varying /= varying.amax(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    least = LEAST * block.sensitivity.double()
    varying = torch.maximum(varying.nan_to_num(0.0), least)  # what does not vary, or overflows: by sensitivity
    kept = ranking(replace(block, sensitivity=varying)).top(budget.round())
    part = block.weight.double() * kept
    products, squares = torch.zeros(2, len(part), dtype=torch.float64)
    for (_, whole), (_, rest) in zip(block.sums(), block.sums(part), strict=True):
        products += (whole * rest).sum(1)
        squares += (rest * rest).sum(1)
    least = 1 - _share(block, order, ~kept, stretch)
    most = block.worst_share(kept) if stretch == 1.0 else torch.ones_like(least)
    factor = (products / squares).nan_to_num(1.0, 1.0).minimum(2 / most)  # 1 where they overflow: any factor will do
    epsilon = torch.maximum(1 - factor * least, factor * most - 1)
    return _stored(epsilon, order), kept * factor.unsqueeze(1)


def poisson(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
    """S4, with r̃ measured on S (1 elsewhere)."""
    tau, chance = sampling(block, order, budget)
    missing = torch.ones_like(tau)
    if stretch == 1.0:
        missing = block.worst_share(1 - chance)
    reach = stretch * order.excess
    return bernstein(torch.full_like(tau, reach), reach * missing, tau, log)


def sampling(block: Block, order: Ranking, budget: Tensor) -> tuple[Tensor, Tensor]:
    """τ with Σ_j min(1, τ s_j) = budget in each row (inf: keep everything), and the chances min(1, τ s_j).

    If the k largest are certain, τ = (budget − k)/Σ_rest; k is the first for which the next stays below 1.
    """
    certain = torch.arange(order.sorted.shape[1], dtype=torch.float64)
    rates = (budget.unsqueeze(1) - certain).clamp(min=0) / order.tail
    first = (rates * order.sorted <= 1).to(torch.int8).argmax(1, keepdim=True)
    whole = order.whole(budget)
    tau = torch.where(whole, torch.inf, rates.gather(1, first).squeeze(1))
    chance = (tau.unsqueeze(1) * block.sensitivity.double()).clamp(max=1.0)
    return tau, torch.where(whole.unsqueeze(1), (block.weight > 0).double(), chance)


def rand(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
    """S1."""
    mass = stretch * order.excess * order.tail[:, 0]
    return bernstein(mass, mass, budget.floor().clamp(min=1), log)


def hybrid(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
    """S3 at its best k, or S2-symmetric where that is less: there nothing is drawn."""
    return torch.minimum(prefix(order, budget, log, stretch)[0], symmetric(block, order, budget, log, stretch))


def prefix(order: Ranking, budget: Tensor, log: float, stretch: float) -> tuple[Tensor, Tensor]:
    """The smallest ε of S3 over k kept and budget − k drawn, and that k; k depends on s alone. k = 0 is S1."""
    rest = budget.floor().unsqueeze(1) - torch.arange(order.sorted.shape[1], dtype=torch.float64)
    reach = stretch * order.excess * order.tail
    share = reach.clamp(max=1.0)
    best = torch.minimum(share, reach / 2)  # where r'(reach − r') is largest over r' ≤ share
    drawn = bernstein(reach, best * (reach - best), rest.clamp(min=1), log)
    errors = torch.where(rest >= 1, drawn, torch.where(rest == 0, share, torch.inf))  # nothing drawn: S2-published
    epsilon, kept = errors.min(1)
    whole = order.whole(budget)
    return torch.where(whole, 0.0, epsilon), torch.where(whole, order.size, kept).double()


Error = Callable[[Block, Ranking, Tensor, float, float], Tensor]


def reweighted(exact: Error) -> Error:
    """The error when the new weights are stored in the dtype of the old; 0 where nothing is reweighted."""

    def stored(block: Block, order: Ranking, budget: Tensor, log: float, stretch: float) -> Tensor:
        epsilon = _stored(exact(block, order, budget, log, stretch), order)
        return torch.where(order.whole(budget), 0.0, epsilon)

    return stored


def _stored(epsilon: Tensor, order: Ranking) -> Tensor:
    return (epsilon + (1 + epsilon) * order.unit) * rounding(order.order.shape[1])


ERRORS: dict[str, Error] = {
    "poisson": reweighted(poisson),
    "det": det,
    "rand": reweighted(rand),
    "hybrid": reweighted(hybrid),
    "symmetric": reweighted(symmetric),
}
