"""SiPP: prune every row by the sensitivities of its weights on a batch, and say how wrong each row can be.

A budget is shared among all half-rows of the network without a solver (N4 in
theory/theorems/network/proof.md), so that Σ cost·ε is small, the error of the output to first order:
each allocation takes the layers and a whole number of weights, and returns one budget (2, outputs)
per layer. What pruning leaves without a path to the output is
dropped, which changes no output, and its budget is spent elsewhere: the allocation is repeated with a
larger number until as many weights are kept as were asked for. The number is settled on pilot draws
that have nothing to do with the final one, so that every bound holds for that with the probability
it states; for the half-rows that were dropped it is restated as ε = 1.

At small budgets bounds say nothing of most rows: they may be wrong, on average over S, by as much as
they are. There hybrid takes what S itself says (S2-factor): it keeps the weights whose products vary
most and multiplies them by the factor of least squares, which makes up for what does not vary. What
ε is then is measured like any other.

BatchNorm needs no folding: neither sensitivities nor costs change when a row is scaled and what
reads it is scaled back. Biases are kept. Cost: a forward and eight backward passes on at most 32
examples, two forward passes per layer, one (max, ×) product for the sensitivities, about two matrix products
(outputs, inputs) × (inputs, points) per candidate for the bound, and a forward and a backward pass on
one example for each of about ten allocations; for hybrid and best each of these takes a forward pass
per layer and its bounds. Memory: a copy of the model, another one in double precision with its
gradient, to follow paths, the sensitivities, and blocks of 128 rows: eight to ten times a single
large float32 layer at the peak.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Generator, Tensor, nn

from pruneproof.errors import InvalidTypeError, InvalidValueError, PruneproofError, described
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.flow.connectivity import OutputReach
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import Patterns, find_prunable

from .choices import DROPPED, KEPT, NAMES, Choice, fixed_variant, least_budget, least_error, pruned_rows
from .half_rows import LEAST, ROWS
from .measuring import Measured, gains, layers, measure


def threshold(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Det: one global threshold on cost·s; exactly `count` weights."""
    masks = top_k_masks(_dear(layers), count)
    return [_by_half(mask, layer.weight) for mask, layer in zip(masks, layers, strict=True)]


def rate(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Poisson: bisect on τ so that Σ min(1, τ_i s) = `count` over the network, τ_i = τ(cost/Σ)^{2/3}."""
    masses = [_by_half(_open_scores(layer), layer.weight).clamp(min=LEAST) for layer in layers]
    triples = zip(layers, _prices(layers), masses, strict=True)
    scores = [_scaled(layer, (price / mass) ** (2 / 3)) for layer, price, mass in triples]

    def expected(tau: float) -> float:
        parts = (part for s in scores for part in s.split(ROWS))
        return sum(float((tau * part).clamp_(max=1.0).sum(dtype=torch.float64)) for part in parts)

    low, high = 0.0, 1.0
    while expected(high) < count * (1 - 1e-9) and high < 1e36:
        low, high = high, 4 * high
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if expected(middle) < count else (low, middle)
    return [_by_half(s.mul_(high).clamp_(max=1.0), layer.weight) for s, layer in zip(scores, layers, strict=True)]


def cube_root(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Rand: m_i ∝ (c_i²Σ_i)^{1/3}, at least 1, clipped at the half-row's size, the others sharing what is left.

    At most `count` in all, which must be at least the number of living half-rows; rounding down leaves less than one
    of it per half-row.
    """
    mass = torch.cat([_by_half(_open_scores(layer), layer.weight).flatten() for layer in layers])
    size = torch.cat([_by_half(layer.open(), layer.weight).flatten() for layer in layers])
    wish = (torch.cat([layer.costs.flatten() for layer in layers]) ** 2 * mass).pow(1 / 3)

    def given(tau: float) -> Tensor:
        return torch.minimum(size, (tau * wish).clamp(min=1))

    low, high = 0.0, float(size.sum()) / float(wish[wish > 0].min())
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(given(middle).sum()) < count else (low, middle)
    whole = given(high * (1 + 1e-12)).floor()  # 1e-12: what should be whole may lie a rounding below
    return [part.reshape(2, -1) for part in whole.split([layer.costs.numel() for layer in layers])]


def _prices(layers: Sequence[Measured]) -> list[Tensor]:
    """Costs as parts of the largest; above 2⁻⁶⁰, so that their products with sensitivities are normal in float32."""
    largest = max((float(layer.costs.max()) for layer in layers), default=0.0) or 1.0
    return [(layer.costs / largest).clamp(min=2.0**-60) for layer in layers]


def _scaled(layer: Measured, factor: Tensor) -> Tensor:
    """Open sensitivities, times a factor (2, outputs) of their half-row."""
    scores = _open_scores(layer)
    plus, minus = factor.to(scores.dtype).unsqueeze(2)
    return scores.mul_(torch.where(layer.weight > 0, plus, minus))


def _dear(layers: Sequence[Measured]) -> list[Tensor]:
    """What dropping each weight adds to Σ cost·ε at most: cost·s."""
    return [_scaled(layer, price) for layer, price in zip(layers, _prices(layers), strict=True)]


def _open_scores(layer: Measured) -> Tensor:
    """Sensitivities of the weights that may be pruned, 0 elsewhere; floored, so positive where it matters."""
    return layer.scores * layer.open()


def _by_half(values: Tensor, weight: Tensor) -> Tensor:
    """Sum (outputs, inputs) over the positive and over the negative weights of each row: (2, outputs) float64."""
    parts = [
        torch.stack(
            [torch.where(w > 0, v, 0).sum(1, dtype=torch.float64), torch.where(w < 0, v, 0).sum(1, dtype=torch.float64)]
        )
        for v, w in zip(values.split(ROWS), weight.split(ROWS), strict=True)
    ]
    return torch.cat(parts, dim=1)


M = TypeVar("M", bound=nn.Module)
Allocation = Callable[[Sequence[Measured], int], list[Tensor]]
VARIANTS = ("poisson", "det", "rand", "hybrid", "best")
ALLOCATIONS: dict[str, Allocation] = {"poisson": rate, "hybrid": rate, "det": threshold, "rand": cube_root}
ALL_ALLOCATIONS = (rate, threshold, cube_root)


@dataclass(frozen=True)
class HalfRowBounds:
    """What holds for the half-rows of one weight.

    Args:
        epsilon: (2, outputs) float64, bound on |ẑ−z|/z of W⁺ and W⁻ at a pseudo-point of S; 0 where
            kept whole, 1 where dropped.
        budget: (2, outputs) float64, weights kept (det, and where hybrid is fitted), expected
            (poisson), drawn (rand), both (hybrid).
        cost: (2, outputs) float64, what a relative error stands for: the mean of z over S, times how
            much the output moves with the row, to first order (`gains`); 0 for dead half-rows, which
            are kept whole and lie outside the guarantee.
        variant: (2, outputs) int64, index into `SippResult.VARIANTS`; their number for dead
            half-rows, one more for half-rows that were dropped since no kept path leads from them
            to the output, and two more for those that hybrid fits to S.
        delta: Probability that one half-row fails at one pseudo-point.
    """

    epsilon: Tensor
    budget: Tensor
    cost: Tensor
    variant: Tensor
    delta: float


@dataclass(frozen=True)
class SippResult(Generic[M]):
    """A pruned copy with its masks and the bounds of its half-rows.

    Args:
        model: The pruned, reweighted copy; the original is untouched.
        masks: What was kept of every weight to prune.
        bounds: Parameter name → `HalfRowBounds`.
        exact: Weights of unsupported layers: kept, so exact.
        delta: Probability that anything in `bounds` fails at one point of S fixed before the draw; 0
            for `"det"`.
        merit: Σ cost·ε over all half-rows as planned, before the draw: to first order, the absolute
            error of a sum of the outputs with random signs.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> result = sipp(network, torch.rand(16, 4), density=0.5, variant="det")
        >>> result.masks.count, result.delta
        (24, 0.0)
    """

    VARIANTS = NAMES

    model: M
    masks: Masks
    bounds: Mapping[str, HalfRowBounds]
    exact: tuple[str, ...]
    delta: float
    merit: float

    def __repr__(self) -> str:
        return f"SippResult({self.summary()})"

    @property
    def vacuous(self) -> float:
        """The share of half-rows with ε ≥ 1: there the bound says no more than for dropping the half-row."""
        epsilon = torch.cat([b.epsilon.flatten() for b in self.bounds.values()])
        return float((epsilon >= 1).double().mean())

    @property
    def scarce(self) -> tuple[str, ...]:
        """The weights of which less than a tenth of the network's density is kept, or nothing at all."""
        counts, sizes = self.masks.counts, {name: mask.numel() for name, mask in self.masks.items()}
        return tuple(n for n, kept in counts.items() if sizes[n] and kept / sizes[n] < 0.1 * self.masks.density)

    def summary(self) -> str:
        """The density, the median ε, where the guarantee says nothing, and which layers are nearly empty."""
        epsilon = torch.cat([b.epsilon.flatten() for b in self.bounds.values()])
        dead, dropped = (sum(int((b.variant == code).sum()) for b in self.bounds.values()) for code in (KEPT, DROPPED))
        counts = self.masks.counts
        scarce = ", ".join(f"{name} keeps {counts[name]} of {self.masks[name].numel()}" for name in self.scarce)
        return (
            f"density {self.masks.density:.3f}, median ε {float(epsilon.median()):.3g} at δ = {self.delta:g}; "
            f"vacuous (ε ≥ 1) on {self.vacuous:.1%} of the half-rows; {dead} dead half-rows kept, outside the "
            f"guarantee; {dropped} half-rows without a path to the output dropped; nearly empty: {scarce or 'none'}; "
            f"exact: {', '.join(self.exact) or 'none'}"
        )


def sipp(
    model: M,
    inputs: Tensor,
    *,
    density: float | None = None,
    epsilon: float | None = None,
    delta: float = 0.1,
    variant: str = "best",
    stretch: float = 1.0,
    generator: torch.Generator | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
) -> SippResult[M]:
    """Prune by sensitivity on a batch, with a bound for every half-row and no retraining.

    Args:
        model: Any module; linear and 2-d convolutional weights are pruned, others named in `exact`
            and kept.
        inputs: (batch, *item), the sample S; finite, not all equal.
        density: Kept fraction of all weights to prune, in (0, 1]: exact for `det`, and within about
            a hundredth of itself for the variants that draw. Give this or `epsilon`.
        epsilon: Relative error > 0 allowed in every half-row; each gets the smallest budget that
            reaches it, and none is dropped.
        delta: In (0, 1); at one item of S fixed before the draw, anything fails with probability at
            most this.
        variant: `"poisson"`, `"det"`, `"rand"`, `"hybrid"` (fitted to S in rows of which its
            bounds say nothing: at small densities the most accurate), or `"best"`: the plan of
            least Σ cost·ε among theirs and those that choose half-row by half-row, S2-symmetric
            included.
        stretch: C ≥ 1 with g_j(x) ≤ C s_j, from `stretch`, for points outside S.
        generator: CPU generator; needed by every variant but `det`.
        include: Shell patterns of the weights to prune, as in `prunable`.
        exclude: Patterns of what stays dense; the density does not count it.

    Returns:
        `SippResult`. Where a kept path no longer leads from a unit to the output, its incoming
        weights are dropped, and their budget is spent elsewhere; where paths cannot be followed
        (recurrent layers, routing), nothing is dropped.

    Raises:
        InvalidValueError: For bad arguments, non-finite activations (naming the layer), or a budget
            below what dead half-rows and unsupported layers take, with one draw for every other
            half-row where the variant draws.
        InvalidTypeError: For arguments of another type.
        PruneproofError: As `prunable` raises. What the model itself raises comes with a note.

    Source: S1 … S6 in theory/theorems/sensitivity/proof.md, N4 in theory/theorems/network/proof.md.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> result = sipp(nn.Linear(64, 4), torch.rand(16, 64), density=0.5, variant="det")
        >>> result.masks.count, bool((result.bounds["weight"].epsilon < 1).all())
        (128, True)
    """
    _check(inputs, density, epsilon, delta, variant, stretch, generator)
    pruned = copied("sipp", model).eval()
    supported, exact = layers(pruned, include, exclude)
    pairs = zip(supported, gains(pruned, inputs, supported), strict=True)
    measured = [measure(pruned, inputs, layer).priced(gain) for layer, gain in pairs]
    share = delta / max(1, sum(layer.events for layer in measured))
    log = math.log(2 / share)
    setting = _Setting(pruned, inputs, measured, log, stretch, _reach(pruned, inputs, measured))
    if epsilon is not None:
        choices = [least_budget(m, m.blocks(pruned, inputs), epsilon, variant, log, stretch) for m in measured]
    else:
        choices = _within(density or 0.0, setting, find_prunable("sipp", pruned, include, exclude), variant)
    merit = setting.merit(choices)
    new = setting.drawn(choices, generator or Generator())
    if epsilon is None:
        setting.drop_unread(choices, new)
    for layer, rows in zip(measured, new, strict=True):
        layer.layer.weight.data.copy_(rows.reshape_as(layer.layer.weight))
    bounds = {
        m.layer.name: HalfRowBounds(c.epsilon, c.budget, m.costs, c.variant, share)
        for m, c in zip(measured, choices, strict=True)
    }
    weights = find_prunable("sipp", pruned, include, exclude)
    masks = {n: w.detach() != 0 if n in bounds else torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()}
    pruned.train(model.training)
    return SippResult(pruned, Masks(masks), bounds, tuple(exact), 0.0 if variant == "det" else delta, merit)


def _reach(model: nn.Module, inputs: Tensor, measured: Sequence[Measured]) -> OutputReach | None:
    """What follows paths to the output; `None` where they cannot be followed."""
    try:
        reach = OutputReach("sipp", model, inputs, [layer.layer.name for layer in measured])
        reach({layer.layer.name: layer.layer.weight != 0 for layer in measured})
    except (PruneproofError, RuntimeError, TypeError, ValueError):  # the copy in double precision may not run
        return None
    return reach


@dataclass(frozen=True)
class _Setting:
    """What plans and draws of one call share."""

    model: nn.Module
    inputs: Tensor
    measured: list[Measured]
    log: float
    stretch: float
    reach: OutputReach | None

    def merit(self, choices: Sequence[Choice]) -> float:
        """Σ cost·ε."""
        return sum(float((m.costs * c.epsilon).sum()) for m, c in zip(self.measured, choices, strict=True))

    def drawn(self, choices: Sequence[Choice], generator: Generator) -> list[Tensor]:
        """New weights (outputs, inputs) of every layer."""
        pairs = zip(self.measured, choices, strict=True)
        return [pruned_rows(m, c, self.log, self.stretch, generator) for m, c in pairs]

    def with_errors(self, budgets: Sequence[Tensor], variant: str) -> list[Choice]:
        """The variant, or the best of all, with its ε at each half-row's budget."""
        pairs = zip(self.measured, budgets, strict=True)
        blocks = ((m, m.blocks(self.model, self.inputs), budget) for m, budget in pairs)
        return [least_error(m, parts, budget, variant, self.log, self.stretch) for m, parts, budget in blocks]

    def unread(self, kept: Sequence[Tensor]) -> list[Tensor]:
        """(outputs,) bool for each layer: weights of the row are kept, but no path leads on to the output."""
        if self.reach is None:
            return [torch.zeros(len(mask), dtype=torch.bool) for mask in kept]
        pairs = list(zip(self.measured, kept, strict=True))
        found = self.reach({m.layer.name: mask.reshape_as(m.layer.weight) for m, mask in pairs})
        return [mask.any(1) & ~found[m.layer.name].reshape_as(mask).any(1) for m, mask in pairs]

    def drop_unread(self, choices: Sequence[Choice], new: Sequence[Tensor]) -> None:
        """Drop rows that nothing reads, in the weights and in what is said about them."""
        for choice, weight, rows in zip(choices, new, self.unread([weight != 0 for weight in new]), strict=True):
            weight[rows] = 0.0
            choice.drop(rows)


_TRIALS = 14  # allocations tried for the variants that draw; the bracket halves at least every other time
_CLOSE = 0.002  # of the count asked for: where they stop


def _within(density: float, setting: _Setting, weights: Mapping[str, nn.Parameter], variant: str) -> list[Choice]:
    """The plan at a density: for `"best"` that of the least Σ cost·ε."""
    measured, total = setting.measured, sum(weight.numel() for weight in weights.values())
    unsupported = total - sum(m.weight.numel() for m in measured)
    fixed = unsupported + sum(m.fixed() for m in measured)
    count = min(round(density * total) - fixed, sum(int(m.open().count_nonzero()) for m in measured))
    least = 1 if variant in ("det", "poisson") else sum(int(m.alive.sum()) for m in measured)  # a draw per half-row
    if count < least:
        enough = math.ceil(1e4 * (fixed + max(least, 1)) / total) / 1e4
        raise InvalidValueError(
            f"sipp: a density of {density} leaves no weights to choose: dead half-rows and unsupported layers are "
            f"kept, and {least} more are needed. Pass at least {enough:.4f}, give a batch that reaches more units, or "
            'take variant="det" or "poisson".'
        )
    wanted = round(density * total) - unsupported
    if variant == "det":
        return _thresholded(setting, wanted, count)
    if variant != "best":
        return _spent(setting, ALLOCATIONS[variant], variant, wanted, count, least)
    plans = [_thresholded(setting, wanted, count)]
    plans += [_spent(setting, ALLOCATIONS[v], v, wanted, count, least) for v in ("poisson", "rand", "hybrid")]
    plans += [_spent(setting, allocate, "best", wanted, count, least) for allocate in ALL_ALLOCATIONS]
    return min(plans, key=setting.merit)


def _thresholded(setting: _Setting, wanted: int, count: int) -> list[Choice]:
    """Det: the highest threshold at which as many weights have a path to the output as are wanted.

    The kept weights grow with the count given out, and so do those with a path: bisection. Where a
    unit is read again, all its weights come at once; what is then missing goes to the next highest
    sensitivities of rows that are read.
    """
    measured = setting.measured
    low, high = count, sum(int(m.open().count_nonzero()) for m in measured)
    while low < high:
        middle = (low + high + 1) // 2
        kept, unread = _kept_above(setting, middle)
        if sum(int(mask[~rows].sum()) for mask, rows in zip(kept, unread, strict=True)) <= wanted:
            low = middle
        else:
            high = middle - 1
    kept, unread = _kept_above(setting, low)
    missing = wanted - sum(int(mask[~rows].sum()) for mask, rows in zip(kept, unread, strict=True))
    free = [~mask & ~rows[:, None] & mask.any(1)[:, None] for mask, rows in zip(kept, unread, strict=True)]
    spare = [scores * spot for scores, spot in zip(_dear(measured), free, strict=True)]
    missing = min(missing, sum(int(scores.count_nonzero()) for scores in spare))
    added = top_k_masks(spare, missing) if missing else [torch.zeros_like(mask) for mask in kept]
    triples = zip(measured, kept, added, strict=True)
    budgets = [_by_half((mask | more) & m.open(), m.weight) for m, mask, more in triples]
    choices = setting.with_errors(budgets, "det")
    for choice, rows in zip(choices, unread, strict=True):
        choice.drop(rows)
    return choices


def _kept_above(setting: _Setting, count: int) -> tuple[list[Tensor], list[Tensor]]:
    """What a threshold keeps, dead half-rows included, and the rows of it that nothing reads."""
    measured = setting.measured
    masks = top_k_masks(_dear(measured), count)
    kept = [mask | ((m.weight != 0) & ~m.open()) for m, mask in zip(measured, masks, strict=True)]
    return kept, setting.unread(kept)


def _spent(setting: _Setting, allocate: Allocation, variant: str, wanted: int, count: int, least: int) -> list[Choice]:
    """The budgets at which a pilot draw keeps as many weights with a path to the output as are wanted.

    The pilot's generator is its own: what it settles does not depend on the final draw.
    """
    measured = setting.measured
    most = sum(int(m.open().count_nonzero()) for m in measured)
    low, high, given = (least, 0), (most, most), count  # (given out, kept)
    tried = dict[int, tuple[int, list[Tensor]]]()
    while given not in tried and len(tried) < _TRIALS:
        budgets = allocate(measured, given)
        if variant in ("best", "hybrid"):
            choices = setting.with_errors(budgets, variant)
        else:
            choices = [fixed_variant(m, budget, variant) for m, budget in zip(measured, budgets, strict=True)]
        new = [rows != 0 for rows in setting.drawn(choices, Generator().manual_seed(0))]
        kept = sum(int(mask[~rows].sum()) for mask, rows in zip(new, setting.unread(new), strict=True))
        tried[given] = abs(kept - wanted), budgets
        if abs(kept - wanted) <= _CLOSE * wanted:
            break
        low, high = ((given, kept), high) if kept < wanted else (low, (given, kept))
        slope = (high[0] - low[0]) / max(1, high[1] - low[1])
        straight = low[0] + round((wanted - low[1]) * slope)  # a kept number between the two, if kept grew evenly
        halfway = (low[0] + high[0]) // 2
        given = straight if len(tried) % 2 and low[0] < straight < high[0] else halfway
    _, budgets = min(tried.values(), key=lambda result: result[0])
    return setting.with_errors(budgets, variant)


def _check(
    inputs: Tensor,
    density: float | None,
    epsilon: float | None,
    delta: float,
    variant: str,
    stretch: float,
    generator: torch.Generator | None,
) -> None:
    def need(condition: bool, sentence: str, remedy: str) -> None:
        if not condition:
            raise InvalidValueError(f"sipp: {sentence}. {remedy}.")

    if not isinstance(inputs, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(
            f"sipp: the inputs must be a tensor (batch, *item), got {described(inputs)}. Convert it."
        )
    both = f"density={density} and epsilon={epsilon}"
    need((density is None) != (epsilon is None), f"give a density or an epsilon, got {both}", "Give one of the two")
    need(density is None or 0 < density <= 1, f"the density must lie in (0, 1], got {density}", "Pass, say, 0.5")
    need(epsilon is None or 0 < epsilon < math.inf, f"epsilon must be above 0, got {epsilon}", "Pass, say, 0.1")
    need(0 < delta < 1, f"delta must lie in (0, 1), got {delta}", "Pass, say, 0.1")
    need(variant in VARIANTS, f"the variant must be one of {', '.join(VARIANTS)}, got {variant!r}", "Choose one")
    remedy = "Compute it by stretch(…) on held-out points"
    need(1 <= stretch < math.inf, f"the stretch must be finite and at least 1, got {stretch}", remedy)
    drawn = f'variant="{variant}" draws and needs a torch.Generator, got {described(generator)}'
    need(variant == "det" or isinstance(generator, Generator), drawn, "Pass generator=torch.Generator()")
    shape = tuple(inputs.shape)
    need(
        inputs.ndim > 1 and inputs.numel() > 0, f"the batch must be (batch, *item), not empty, got {shape}", "Add items"
    )
    need(bool(inputs.isfinite().all()), "the inputs contain NaN or infinity", "Drop those examples")
    need(len(inputs) == 1 or bool((inputs != inputs[:1]).any()), "all items are copies of one", "Add others")
    need(bool((inputs != 0).any()), "the batch is zero throughout", "Pass real examples")
