"""Share a budget among all half-rows of a network, without a solver (N4 in theory/theorems/network/proof.md).

Each function takes the layers and a whole number of weights, and returns one budget (2, outputs) per layer.

SiPP: prune every row by the sensitivities of its weights on a batch, and say how wrong each row can be.

BatchNorm needs no folding: sensitivities do not change when a row is scaled. Biases are kept. Cost: two forward passes
per layer, one (max, ×) product for the sensitivities, about two matrix products (outputs, inputs) × (inputs, points)
per candidate for the bound. Memory: a copy of the model, its sensitivities, and blocks of 128 rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import prunable

from .choices import KEPT, NAMES, Choice, least_budget, least_error, pruned_rows
from .half_rows import ROWS
from .measuring import Measured, layers, measure


def threshold(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Det: one global threshold on s; exactly `count` weights."""
    masks = top_k_masks([_open_scores(layer) for layer in layers], count)
    return [_by_half(mask, layer.weight) for mask, layer in zip(masks, layers, strict=True)]


def rate(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Poisson: bisect on τ so that Σ min(1, τ s) = `count` over the network."""
    scores = [_open_scores(layer) for layer in layers]

    def expected(tau: float) -> float:
        parts = (part for s in scores for part in s.split(ROWS))
        return sum(float((tau * part).clamp_(max=1.0).sum(dtype=torch.float64)) for part in parts)

    low, high = 0.0, 1.0
    while expected(high) < count * (1 - 1e-9) and high < 1e18:
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
VARIANTS = ("poisson", "det", "rand", "hybrid", "best")
ALLOCATIONS = {"poisson": (rate,), "hybrid": (rate,), "det": (threshold,), "rand": (cube_root,)}
ALL_ALLOCATIONS = (rate, threshold, cube_root)


@dataclass(frozen=True)
class HalfRowBounds:
    """What holds for the half-rows of one weight.

    Arguments:
        epsilon: (2, outputs) float64, bound on |ẑ−z|/z of W⁺ and W⁻ at a pseudo-point of S; 0 where kept whole.
        budget: (2, outputs) float64, weights kept (det), expected (poisson), drawn (rand), both (hybrid).
        cost: (2, outputs) float64, the mean of z over S: what a relative error stands for; 0 for dead half-rows, which
            are kept whole and lie outside the guarantee.
        variant: (2, outputs) int64, index into `SippResult.VARIANTS`; their number for dead half-rows.
        delta: probability that one half-row fails at one pseudo-point.
    """

    epsilon: Tensor
    budget: Tensor
    cost: Tensor
    variant: Tensor
    delta: float


@dataclass(frozen=True)
class SippResult(Generic[M]):
    """A pruned copy with its masks and the bounds of its half-rows.

    Arguments:
        model: the pruned, reweighted copy; the original is untouched.
        masks: what was kept of every prunable weight.
        bounds: parameter name → `HalfRowBounds`.
        exact: prunable weights of unsupported layers: kept, so exact.
        delta: probability that anything in `bounds` fails at one point of S fixed before the draw; 0 for `"det"`.

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

    @property
    def merit(self) -> float:
        """Σ cost·ε over all half-rows: the absolute error of all pre-activations, to first order."""
        return sum(float((b.cost * b.epsilon).sum()) for b in self.bounds.values())

    @property
    def vacuous(self) -> float:
        """The share of half-rows with ε ≥ 1: there the bound says no more than for dropping the half-row."""
        epsilon = torch.cat([b.epsilon.flatten() for b in self.bounds.values()])
        return float((epsilon >= 1).double().mean())

    def summary(self) -> str:
        """The density, the median ε, and where the guarantee says nothing."""
        epsilon = torch.cat([b.epsilon.flatten() for b in self.bounds.values()])
        dead = sum(int((b.variant == KEPT).sum()) for b in self.bounds.values())
        return (
            f"density {self.masks.density:.3f}, median ε {float(epsilon.median()):.3g} at δ = {self.delta:g}; "
            f"vacuous (ε ≥ 1) on {self.vacuous:.1%} of the half-rows; {dead} dead half-rows kept, outside the "
            f"guarantee; exact: {', '.join(self.exact) or 'none'}"
        )


def sipp(
    model: M,
    inputs: Tensor,
    *,
    density: float | None = None,
    epsilon: float | None = None,
    delta: float = 0.1,
    variant: str = "poisson",
    stretch: float = 1.0,
    generator: torch.Generator | None = None,
) -> SippResult[M]:
    """Prune by sensitivity on a batch, with a bound for every half-row and no retraining.

    Arguments:
        model: any module; linear and 2-d convolutional weights are pruned, others named in `exact` and kept.
        inputs: (batch, *item), the sample S; finite, not all equal.
        density: kept fraction of all prunable weights, in (0, 1]: exact for `det`, expected for `poisson`, at most for
            `rand` and `hybrid` (draws may meet); `best` mixes them. Give this or `epsilon`.
        epsilon: relative error > 0 allowed in every half-row; each gets the smallest budget that reaches it.
        delta: in (0, 1); at one item of S fixed before the draw, anything fails with probability at most this.
        variant: `"poisson"`, `"det"`, `"rand"`, `"hybrid"`, or `"best"`: half-row by half-row, S2-symmetric included.
        stretch: C ≥ 1 with g_j(x) ≤ C s_j, from `stretch`, for points outside S.
        generator: CPU generator; needed by every variant but `det`.

    Raises PruneproofError for bad arguments, non-finite activations (naming the layer), or a budget below what dead
    half-rows and unsupported layers take, with one draw for every other half-row where the variant draws.
    Source: S1 … S6 in theory/theorems/sensitivity/proof.md, N4 in theory/theorems/network/proof.md.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> result = sipp(nn.Linear(64, 4), torch.rand(16, 64), density=0.5, variant="det")
        >>> result.masks.count, bool((result.bounds["weight"].epsilon < 1).all())
        (128, True)
    """
    _check(inputs, density, epsilon, delta, variant, stretch, generator)
    pruned = copied(model).eval()
    found, others = layers(pruned)
    measured = [measure(pruned, inputs, layer) for layer in found]
    share = delta / max(1, sum(layer.events for layer in measured))
    log = math.log(2 / share)
    if epsilon is not None:
        choices = [least_budget(m, m.blocks(pruned, inputs), epsilon, variant, log, stretch) for m in measured]
    else:
        choices = _within(density or 0.0, pruned, inputs, measured, variant, log, stretch)
    bounds: dict[str, HalfRowBounds] = {}
    for one, choice in zip(measured, choices, strict=True):
        new = pruned_rows(one, choice, log, stretch, generator or torch.Generator())
        one.layer.weight.data.copy_(new.reshape_as(one.layer.weight))
        bounds[one.layer.name] = HalfRowBounds(choice.epsilon, choice.budget, one.costs, choice.variant, share)
    weights = prunable(pruned)
    masks = {n: w.detach() != 0 if n in bounds else torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()}
    pruned.train(model.training)
    return SippResult(pruned, Masks(masks), bounds, tuple(others), 0.0 if variant == "det" else delta)


def _within(
    density: float, model: nn.Module, inputs: Tensor, measured: list[Measured], variant: str, log: float, stretch: float
) -> list[Choice]:
    """The choices at a budget, under the allocation with the least Σ cost·ε."""
    total = sum(weight.numel() for weight in prunable(model).values())
    unsupported = total - sum(m.weight.numel() for m in measured)
    fixed = unsupported + sum(m.fixed() for m in measured)
    count = min(round(density * total) - fixed, sum(int(m.open().count_nonzero()) for m in measured))
    drawn = 1 if variant in ("det", "poisson") else sum(int(m.alive.sum()) for m in measured)  # a draw per half-row
    if count < drawn:
        least = math.ceil(1e4 * (fixed + max(drawn, 1)) / total) / 1e4
        raise PruneproofError(
            "sipp",
            required=f"a density of at least {least:.4f}: dead half-rows and unsupported layers are kept, {drawn} more",
            received=density,
            remedy='raise it, give a batch that reaches more units, or take "det" or "poisson"',
        )
    best: tuple[float, list[Choice]] | None = None
    for allocate in ALLOCATIONS.get(variant, ALL_ALLOCATIONS):
        budgets = allocate(measured, count)
        choices = [
            least_error(m, m.blocks(model, inputs), budget, variant, log, stretch)
            for m, budget in zip(measured, budgets, strict=True)
        ]
        merit = sum(float((m.costs * c.epsilon).sum()) for m, c in zip(measured, choices, strict=True))
        best = (merit, choices) if best is None or merit < best[0] else best
    assert best is not None
    return best[1]


def _check(
    inputs: Tensor,
    density: float | None,
    epsilon: float | None,
    delta: float,
    variant: str,
    stretch: float,
    generator: torch.Generator | None,
) -> None:
    def need(condition: bool, required: str, received: object, remedy: str) -> None:
        if not condition:
            raise PruneproofError("sipp", required=required, received=received, remedy=remedy)

    both = f"density={density}, epsilon={epsilon}"
    need((density is None) != (epsilon is None), "density or epsilon", both, "give one of the two")
    need(density is None or 0 < density <= 1, "a density in (0, 1]", density, "pass e.g. 0.5")
    need(epsilon is None or 0 < epsilon < math.inf, "epsilon > 0", epsilon, "pass e.g. 0.1")
    need(0 < delta < 1, "delta in (0, 1)", delta, "pass e.g. 0.1")
    need(variant in VARIANTS, f"one of {', '.join(VARIANTS)}", variant, "choose one")
    need(1 <= stretch < math.inf, "a finite stretch ≥ 1", stretch, "compute it by stretch(…) on held-out points")
    need(variant == "det" or generator is not None, "a torch.Generator", None, "pass generator=torch.Generator()")
    need(inputs.ndim > 1 and inputs.numel() > 0, "a non-empty batch (batch, *item)", tuple(inputs.shape), "add items")
    need(bool(inputs.isfinite().all()), "finite inputs", "NaN or inf", "drop those examples")
    need(len(inputs) == 1 or bool((inputs != inputs[:1]).any()), "items that differ", "copies of one", "add others")
    need(bool((inputs != 0).any()), "a batch that is not zero throughout", "zeros", "pass real examples")
