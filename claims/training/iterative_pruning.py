"""Iterative pruning of R replicates as one program: train, drop a share of the survivors, retrain, at exact counts.

Retraining rules: "rewind" restores the parameters of a chosen iteration of the dense run (iteration 0: the lottery
ticket) and repeats the rest of the schedule; "learning-rate-rewind" keeps the trained weights and repeats the schedule
from that iteration; "fine-tune" keeps them and trains at the last learning rate; "from-scratch" draws new weights for
every level.
Scores: |w| ("magnitude"), |w ∂L/∂w| over the whole training set ("gradient"), uniform ("random").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

from .replicates import Replicates, initial_replicates
from .trainer import Recipe, Trainer

Score = Literal["magnitude", "gradient", "random"]
Retraining = Literal["rewind", "learning-rate-rewind", "fine-tune", "from-scratch"]


@dataclass(frozen=True)
class Level:
    """The trained networks of one density.

    Args:
        density: kept share of the prunable weights, the same for all replicates up to rounding to whole weights.
        kept: (R,) int64 surviving weights, exact.
        mask: (R, P) bool; biases are always kept.
        nets: the trained networks, a copy.
        distance: (R,) ‖w − w_initial‖₂ over all parameters, pruned weights counted as zero (He et al., ICML 2022), from
            the initial networks, or from the draw of the level if it was trained "from-scratch".
    """

    density: float
    kept: Tensor
    mask: Tensor
    nets: Replicates
    distance: Tensor


def prune_iteratively(
    nets: Replicates,
    data: tuple[Tensor, Tensor],
    recipe: Recipe,
    densities: Sequence[float],
    *,
    score: Score = "magnitude",
    retraining: Retraining = "rewind",
    rewind_to: int = 0,
) -> Iterator[Level]:
    """Train densely, then once per density on a decreasing path, yielding every level as it is done.

    Args:
        nets: R initial networks; left unchanged.
        data: inputs (n, features) or (R, n, features), and labels (n,) or (R, n).
        recipe: the training schedule of every level.
        densities: strictly decreasing kept shares in (0, 1]; the first level is 1 if the dense result is wanted. Each
            level keeps max(1, round(density · weights)) weights per replicate.
        score: what is kept: the highest of "magnitude", "gradient" or "random".
        retraining: what happens after pruning; see the module.
        rewind_to: iteration of the dense run whose parameters are restored, or whose learning rate is.

    Raises:
        InvalidValueError: before any training, for densities that do not decrease in (0, 1], an unknown rule or a
            rewinding point outside the schedule.

    Example:
        >>> nets = initial_replicates([(2, 4, 2)] * 2, seeds=[0, 1])
        >>> points, labels = torch.eye(2), torch.tensor([0, 1])
        >>> [level.kept.tolist() for level in prune_iteratively(nets, (points, labels), Recipe(epochs=9), [1.0, 0.5])]
        [[16, 16], [8, 8]]
    """
    densities = [float(density) for density in densities]
    _check(densities, score, retraining)
    trainer = Trainer(nets.over(nets.parameters.clone()), *data, recipe)
    if not 0 <= rewind_to < trainer.iterations:
        raise InvalidValueError(
            f"prune_iteratively: rewind_to must lie in 0 … {trainer.iterations - 1}, got {rewind_to}. Count iterations."
        )
    return _levels(trainer, nets, data, densities, score, retraining, rewind_to)


def _levels(
    trainer: Trainer,
    nets: Replicates,
    data: tuple[Tensor, Tensor],
    densities: Sequence[float],
    score: Score,
    retraining: Retraining,
    rewind_to: int,
) -> Iterator[Level]:
    trainer.run(0, rewind_to)
    early = trainer.nets.parameters.clone()
    trainer.run(rewind_to)
    prunable = nets.prunable
    mask, initial = torch.ones_like(prunable), nets.parameters
    for position, density in enumerate(densities):
        kept = _counts(prunable, density)
        if density < 1:
            mask = ~prunable | _highest(_scores(trainer, prunable & mask, score, position), kept)
            if retraining == "from-scratch":
                initial = _drawn(nets, position)
            trainer = _retrain(trainer, initial, early, mask, data, retraining, rewind_to)
        result = trainer.nets.over(trainer.nets.parameters.clone())
        distance = torch.linalg.vector_norm(result.parameters - initial, dim=1)
        yield Level(density, kept, mask, result, distance)


def geometric_densities(share: float, lowest: float) -> list[float]:
    """1, 1 − share, (1 − share)², … down to the last value not below `lowest`.

    Raises:
        InvalidValueError: for a share outside (0, 1) or a lowest density outside (0, 1].

    Example:
        >>> geometric_densities(0.5, 0.2)
        [1.0, 0.5, 0.25]
    """
    if not (0 < share < 1 and 0 < lowest <= 1):
        raise InvalidValueError(
            f"geometric_densities: the share must lie in (0, 1) and the lowest density in (0, 1], got {share} and "
            f"{lowest}. Name the share that every level drops and the density to end at."
        )
    path = [1.0]
    while path[-1] * (1 - share) >= lowest:
        path.append(path[-1] * (1 - share))
    return path


def _counts(prunable: Tensor, density: float) -> Tensor:
    return (density * prunable.sum(1).double()).round().long().clamp(min=1)


def _highest(scores: Tensor, counts: Tensor) -> Tensor:
    """Mask (R, P) of exactly `counts` (R,) highest scores per row, ties to the lowest index."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(scores.shape[1], device=scores.device)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, rank < counts[:, None])


def _scores(trainer: Trainer, alive: Tensor, score: Score, level: int) -> Tensor:
    """Scores (R, P), −1 where a weight is already pruned or cannot be."""
    parameters = trainer.nets.parameters
    if score == "random":
        scores = torch.stack([_uniform(parameters.shape[1], seed, level) for seed in trainer.nets.seeds])
        scores = scores.to(parameters.device)
    elif score == "gradient":
        scores = (parameters * _whole_gradient(trainer)).abs()
    else:
        scores = parameters.abs()
    return scores.where(alive, -1.0)


def _whole_gradient(trainer: Trainer) -> Tensor:
    """Gradients (R, P) of the mean loss over all examples, by batches of the recipe, whose buffers exist already."""
    parameters = trainer.nets.parameters
    total = torch.zeros_like(parameters)
    for batch in torch.arange(trainer.examples, device=parameters.device).split(trainer.recipe.batch):
        share = len(batch) / trainer.examples
        total.add_(trainer.gradients(batch.expand(len(parameters), -1)), alpha=share)
    return total


def _drawn(nets: Replicates, level: int) -> Tensor:
    """New initial parameters (R, P), others at every level."""
    seeds = [seed + 1_000_003 * (level + 1) for seed in nets.seeds]
    drawn = initial_replicates(nets.sizes, seeds, bias=bool(nets.biases), dtype=nets.parameters.dtype)
    return drawn.parameters.to(nets.parameters.device)


def _uniform(count: int, seed: int, level: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(1_000 * seed + level))


def _retrain(
    trainer: Trainer,
    initial: Tensor,
    early: Tensor,
    mask: Tensor,
    data: tuple[Tensor, Tensor],
    retraining: Retraining,
    rewind_to: int,
) -> Trainer:
    """Apply one retraining rule; the trainer that ran is returned, since fine-tuning needs a recipe of its own."""
    if retraining == "fine-tune":
        tuned = Trainer(trainer.nets, *data, trainer.recipe.fine_tuning())
        tuned.run(mask=mask)
        return tuned
    if retraining == "from-scratch":
        trainer.restart(initial)
        trainer.run(mask=mask)
        return trainer
    trainer.restart(early if retraining == "rewind" else trainer.nets.parameters.clone())
    trainer.run(rewind_to, mask=mask)
    return trainer


def _check(densities: Sequence[float], score: Score, retraining: Retraining) -> None:
    falling = all(a > b for a, b in pairwise(densities))
    if not densities or not falling or not 0 < densities[-1] <= densities[0] <= 1:
        raise InvalidValueError(
            f"prune_iteratively: densities must decrease strictly in (0, 1], got {list(densities)}. "
            "Use geometric_densities(share, lowest)."
        )
    if score not in get_args(Score) or retraining not in get_args(Retraining):
        raise InvalidValueError(
            f"prune_iteratively: score must be one of {get_args(Score)} and retraining one of {get_args(Retraining)}, "
            f"got {score!r} and {retraining!r}."
        )
