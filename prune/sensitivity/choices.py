"""Choose, half-row by half-row, what to do: the variant with the least ε at a budget, or the least budget for an ε."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from pruneproof.errors import InvalidValueError

from .draws import FACTORS, Drawing
from .errors import ERRORS, Ranking, fitted, ranking
from .half_rows import Block, blocks
from .measuring import Measured

NAMES = tuple(ERRORS)
KEPT = len(NAMES)  # the code of a dead half-row, which is kept whole
DROPPED = KEPT + 1  # the code of a half-row of which nothing is kept, since no path leads on to the output
FITTED = KEPT + 2  # the code of a half-row that is fitted to S, since no bound says anything of its row


@dataclass(frozen=True)
class Choice:
    """For every half-row of a layer, (2, outputs) each: ε, its budget, and the number of its variant in `NAMES`.

    `fitted` (outputs, inputs) holds the new weights of those that are fitted.
    """

    epsilon: Tensor
    budget: Tensor
    variant: Tensor
    fitted: Tensor | None = None

    def drop(self, rows: Tensor) -> None:
        """Keep nothing of some rows, (outputs,) bool: the error of their half-rows is then all of them, ε = 1."""
        self.epsilon[:, rows], self.budget[:, rows], self.variant[:, rows] = 1.0, 0.0, DROPPED


def fixed_variant(layer: Measured, budget: Tensor, variant: str) -> Choice:
    """One variant for all half-rows, without its errors: enough to draw from."""
    number = torch.full_like(layer.costs, NAMES.index(variant), dtype=torch.int64)
    return Choice(torch.zeros_like(layer.costs), budget.clone(), number.masked_fill(~layer.alive, KEPT))


def candidates(variant: str) -> list[int]:
    """The numbers of the variants to choose from; `"best"` means all."""
    return list(range(len(NAMES))) if variant == "best" else [NAMES.index(variant)]


def _nothing(layer: Measured) -> Choice:
    zero = torch.zeros_like(layer.costs)
    return Choice(zero, zero.clone(), torch.full_like(layer.costs, KEPT, dtype=torch.int64))


def _record(choice: Choice, layer: Measured, block: Block, epsilon: Tensor, budget: Tensor, variant: Tensor) -> None:
    """Dead half-rows keep what `_nothing` says."""
    alive = layer.alive[block.sign, block.rows]
    for target, value in ((choice.epsilon, epsilon), (choice.budget, budget), (choice.variant, variant)):
        row = target[block.sign, block.rows]
        row[alive] = value.to(row.dtype)[alive]


def least_error(
    layer: Measured, parts: Iterable[Block], budget: Tensor, variant: str, log: float, stretch: float
) -> Choice:
    """The variant with the least ε at each half-row's budget, ties to the first of `NAMES`.

    Hybrid is fitted to S in rows that may be wrong, on average over S, by as much as they are: no bound steers there.
    """
    choice, numbers, remaining = _nothing(layer), candidates(variant), iter(parts)
    if variant == "hybrid":
        choice = replace(choice, fitted=torch.zeros_like(layer.weight))
    for pair in zip(remaining, remaining, strict=True):  # W⁺ and W⁻ of the same rows
        for block in pair:
            share, order = budget[block.sign, block.rows], ranking(block)
            errors = torch.stack([ERRORS[NAMES[n]](block, order, share, log, stretch) for n in numbers])
            epsilon, first = errors.min(0)
            _record(choice, layer, block, epsilon, share, torch.tensor(numbers)[first])
        if choice.fitted is not None:
            _fit(choice, choice.fitted, pair, stretch)
    return choice


def _fit(choice: Choice, new: Tensor, pair: tuple[Block, Block], stretch: float) -> None:
    """Fit the half-rows with an error in rows of which the bounds say nothing."""
    plus, minus = choice.epsilon[:, pair[0].rows].unsqueeze(2)
    excess = torch.zeros(len(plus), dtype=torch.float64)
    for (_, above), (_, below) in zip(*(block.sums() for block in pair), strict=True):
        excess += (plus * above + minus * below - (above - below).abs()).sum(1)
    for block in pair:
        place = block.sign, block.rows
        rows = (excess >= 0) & (choice.epsilon[place] > 0)
        if bool(rows.any()):
            epsilon, factors = fitted(block, ranking(block), choice.budget[place], stretch)
            choice.epsilon[place] = torch.where(rows, epsilon, choice.epsilon[place])
            choice.variant[place] = choice.variant[place].masked_fill(rows, FITTED)
            part = (rows.unsqueeze(1) * factors * block.weight).to(new.dtype)
            new[block.rows] += part if block.sign == 0 else -part


def least_budget(
    layer: Measured, parts: Iterable[Block], epsilon: float, variant: str, log: float, stretch: float
) -> Choice:
    """The variant with the least budget that reaches ε in each half-row, by bisection on whole numbers."""
    choice, numbers = _nothing(layer), candidates(variant)
    for block in parts:
        order = ranking(block)
        found = [_bisect(NAMES[n], block, order, epsilon, log, stretch) for n in numbers]
        budget, first = torch.stack([budget for budget, _ in found]).min(0)
        error = torch.stack([error for _, error in found]).gather(0, first.unsqueeze(0)).squeeze(0)
        _record(choice, layer, block, error, budget, torch.tensor(numbers)[first])
    return choice


def _bisect(
    name: str, block: Block, order: Ranking, epsilon: float, log: float, stretch: float
) -> tuple[Tensor, Tensor]:
    """Keep everything works (ε = 0); halve the range while the middle works."""
    low, high = torch.zeros(len(block.weight), dtype=torch.float64), order.size.double()
    reached = torch.zeros_like(high)
    for _ in range(max(1, int(order.size.max())).bit_length()):
        middle = ((low + high) / 2).floor()
        error = ERRORS[name](block, order, middle.clamp(min=1), log, stretch)
        works = (error <= epsilon) & (middle >= 1)
        high, reached = torch.where(works, middle, high), torch.where(works, error, reached)
        low = torch.where(works, low, middle)
    return high, reached


def pruned_rows(layer: Measured, choice: Choice, log: float, stretch: float, generator: Generator) -> Tensor:
    """Draw the layer's new weights (outputs, inputs).

    Raises:
        InvalidValueError: A reweighted weight is beyond the layer's dtype.
    """
    new = torch.zeros_like(layer.weight) if choice.fitted is None else choice.fitted.clone()
    groups = [layer.weight.new_zeros(0, layer.weight.shape[1])] * layer.layer.groups
    for block in blocks(layer.weight, layer.scores, groups):
        budget, epsilon, variant = (t[block.sign, block.rows] for t in (choice.budget, choice.epsilon, choice.variant))
        order = ranking(block)
        factors = (variant == KEPT).double().unsqueeze(1).expand(block.weight.shape)
        for number in variant.unique().tolist():
            if number < KEPT:
                drawn = FACTORS[NAMES[number]](block, order, budget, epsilon, Drawing(log, stretch, generator))
                factors = torch.where((variant == number).unsqueeze(1), drawn, factors)
        part = (factors * block.weight).to(block.weight.dtype)  # in float64: one rounding, as `Ranking.unit` says
        new[block.rows] += part if block.sign == 0 else -part
    if not bool(new.isfinite().all()):
        raise InvalidValueError(
            f"sipp: a reweighted weight of {layer.layer.name} is larger than {new.dtype} can hold. "
            'Raise the density, take variant="det", or prune a float32 copy.'
        )
    return new
