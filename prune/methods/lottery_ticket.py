"""Iterative magnitude pruning: train, prune the smallest weights, rewind, and train again, down a list of densities.

Frankle & Carbin (2019) rewind the weights to their initial values; Frankle et al. (2020) to an early iteration of the
dense training; Renda et al. (2020) rewind the learning-rate schedule only and keep the trained weights. Cost: one
training per density plus one; memory: one copy of the model's state, for rewinding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruneproof.checks import require_choice, require_integer
from pruneproof.errors import InvalidValueError, described
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.parameters import Patterns, find_prunable, unwrapped, weights_by_name
from pruneproof.prune.scores import magnitude
from pruneproof.prune.selection.budget import kept_count
from pruneproof.prune.selection.progressive import among_survivors
from pruneproof.prune.selection.selection import select

Train = Callable[[nn.Module, int, int], object]
Score = Callable[[nn.Module], Mapping[str, Tensor]]
_REWINDS = ("weights", "learning_rate")


@dataclass(frozen=True, eq=False)
class Round:
    """One round of `imp`: the masks, and what training under them returned.

    Args:
        index: 0 for the dense network, then 1, 2, …
        masks: What is kept, contained in what the round before kept.
        trained: The value `train` returned when it reached the last iteration: an accuracy, a
            history, anything.

    Example:
        >>> level = next(imp(nn.Linear(4, 2), lambda model, start, stop: stop, [0.5], iterations=9))
        >>> level.index, level.masks.density, level.trained
        (0, 1.0, 9)
    """

    index: int
    masks: Masks
    trained: object


def imp(
    model: nn.Module,
    train: Train,
    densities: Sequence[float],
    *,
    iterations: int,
    rewind: str = "weights",
    rewind_to: int = 0,
    score: Score = magnitude,
    include: Patterns = (),
    exclude: Patterns = (),
) -> Iterator[Round]:
    """Find lottery tickets: yield the trained network at full density and then at each of the densities.

    Between two levels the weights with the lowest scores among those left are pruned, over all layers at once, and the
    rest is rewound. When a level is yielded, `model` holds that level's trained weights and its masks are enforced;
    evaluate or copy it then. After the last level, or when the generator is closed or dropped before (by `break`, say),
    nothing is enforced any more: call `level.masks.enforce(model)` to train on.

    Args:
        model: Trained in place.
        train: `train(model, start, stop)` trains the model from iteration `start` up to `stop`, with
            the learning rate that belongs to these iterations, in place; what it returns at the
            last iteration goes into the round. Round 0 is trained in two calls, (0, rewind_to) and
            (rewind_to, iterations), if rewind_to > 0: a `train` that keeps its optimiser between
            them trains as if undisturbed. Later rounds start at rewind_to; use a fresh optimiser.
        densities: Kept fractions of the weights that are pruned, falling, in (0, 1); e.g.
            `[0.8**n for n in range(1, 13)]` or `schedules.exponential(0.05, 10)`. Each count is
            rounded from the total, as in `select`.
        iterations: The length of a full training.
        rewind: `"weights"` sets weights and buffers back to their values at iteration rewind_to of
            round 0; `"learning_rate"` keeps the trained values. Both train again from iteration
            rewind_to.
        rewind_to: An iteration, at least 0 and less than `iterations`.
        score: What decides, higher is kept; by default the magnitudes. It scores at least the
            weights that are pruned.
        include: Shell patterns of what may be pruned, as in `prunable`.
        exclude: Patterns of what stays dense; the densities do not count it.

    Returns:
        An iterator over `Round`s, len(densities) + 1 of them.

    Raises:
        InvalidValueError: For arguments out of range, when called, with the model untouched; later
            for a score of other parameters.
        PruneproofError: As `prunable` raises.

    Source: Frankle & Carbin 2019; Frankle et al. 2020 (rewinding); Renda et al. 2020 (learning-rate rewinding).

    Example:
        >>> def train(model, start, stop):
        ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        ...     for _ in range(start, stop):
        ...         optimizer.zero_grad()
        ...         model(torch.eye(4)).square().sum().backward()
        ...         optimizer.step()
        ...     return stop - start
        >>> [(level.masks.count, level.trained) for level in imp(nn.Linear(4, 2), train, [0.5, 0.25], iterations=3)]
        [(8, 3), (4, 3), (2, 3)]
    """
    weights = find_prunable("imp", model, include, exclude)
    total = sum(weight.numel() for weight in weights.values())
    _check(densities, iterations, rewind, rewind_to)
    counts = [kept_count(density, total, where="imp") for density in densities]
    masks = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()})
    return _rounds(model, train, masks, counts, iterations, rewind == "weights", rewind_to, score)


def _rounds(
    model: nn.Module,
    train: Train,
    masks: Masks,
    counts: list[int],
    iterations: int,
    rewound: bool,
    rewind_to: int,
    score: Score,
) -> Iterator[Round]:
    left_out = weights_by_name(unwrapped(model)).keys() - masks.keys()
    if rewind_to:
        train(model, 0, rewind_to)
    early = _state(model) if rewound else None
    for index, count in enumerate([None, *counts]):
        if count is not None:
            scored = {name: values for name, values in score(model).items() if name not in left_out}
            masks = select(among_survivors(scored, masks, where="imp"), count=count)
            if early is not None:
                _restore(model, early)
        with masks.enforce(model):
            trained = train(model, rewind_to, iterations)
            yield Round(index, masks, trained)


def _state(model: nn.Module) -> list[Tensor]:
    plain = unwrapped(model)
    return [tensor.detach().clone() for tensor in (*plain.parameters(), *plain.buffers())]


@torch.no_grad()
def _restore(model: nn.Module, state: list[Tensor]) -> None:
    plain = unwrapped(model)
    for tensor, early in zip((*plain.parameters(), *plain.buffers()), state, strict=True):
        tensor.copy_(early)


def _check(densities: Sequence[float], iterations: int, rewind: str, rewind_to: int) -> None:
    wrong = not isinstance(densities, Sequence) or any(not isinstance(d, int | float) for d in densities)
    if wrong or not densities or any(later >= earlier for earlier, later in pairwise([1.0, *densities])):
        raise InvalidValueError(
            f"imp: densities must be numbers below 1, at least one, and falling, got {described(densities)}. "
            "Pass, for example, densities=[0.5, 0.25]."
        )
    require_choice("imp", "rewind", rewind, _REWINDS)
    require_integer("imp", "iterations", iterations)
    require_integer("imp", "rewind_to", rewind_to, least=0, most=iterations - 1)
