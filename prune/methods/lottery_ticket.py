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

from pruneproof.errors import PruneproofError, described, require_type
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
class Level:
    """One level of `imp`: the masks, and what training under them returned.

    **Arguments**

    - `index`: 0 for the dense network, then 1, 2, …
    - `masks`: what is kept, each level contained in the one before.
    - `trained`: the value `train` returned when it reached the last iteration: an accuracy, a history, anything.

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
) -> Iterator[Level]:
    """Find lottery tickets: yield the trained network at full density and then at each of the densities.

    Between two levels the weights with the lowest scores among those left are pruned, over all layers at once, and the
    rest is rewound. When a level is yielded, `model` holds that level's trained weights and its masks are enforced;
    evaluate or copy it then. Closing the generator early ends the enforcement.

    **Arguments:**

    - `model`: trained in place.
    - `train`: `train(model, start, stop)` trains the model from iteration `start` up to `stop`, with the learning rate
      that belongs to these iterations, in place; what it returns at the last iteration goes into the level. Level 0 is
      trained in two calls, (0, rewind_to) and (rewind_to, iterations), if rewind_to > 0: a `train` that keeps its
      optimiser between them trains as if undisturbed. Later levels start at rewind_to; use a fresh optimiser.
    - `densities`: kept fractions of what is pruned, falling, in (0, 1); e.g. `[0.8**n for n in range(1, 13)]`
      or `schedules.exponential(0.05, 10)`. Each count is rounded from the total, as in `select`.
    - `iterations`: the length of a full training.
    - `rewind`: `"weights"` sets weights and buffers back to their values at iteration rewind_to of level 0;
      `"learning_rate"` keeps the trained values. Both train again from iteration rewind_to.
    - `rewind_to`: an iteration, at least 0 and less than `iterations`.
    - `score`: what decides, higher is kept; magnitudes unless told otherwise. It scores all prunable weights.

    - `include`, `exclude`: shell patterns of the weights to prune and to leave dense, as in `prunable`; the densities
      refer to what they leave, and the others have no mask.

    **Returns:** an iterator over `Level`s, len(densities) + 1 of them.

    **Raises:** `PruneproofError` for arguments out of range or a model without prunable weights, when called, with
    the model untouched; later for a score of other parameters.

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
    require_type("imp", model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    weights = find_prunable("imp", model, include, exclude)
    total = sum(weight.numel() for weight in weights.values())
    _check(densities, iterations, rewind, rewind_to)
    counts = [kept_count(density, total, where="imp", argument="densities=[0.5, 0.25]") for density in densities]
    dense = weights_by_name(unwrapped(model)).keys() - weights.keys()

    def scored(network: nn.Module) -> Mapping[str, Tensor]:
        return {name: values for name, values in score(network).items() if name not in dense}

    masks = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()})
    return _levels(model, train, masks, counts, iterations, rewind == "weights", rewind_to, scored)


def _levels(
    model: nn.Module,
    train: Train,
    masks: Masks,
    counts: list[int],
    iterations: int,
    rewound: bool,
    rewind_to: int,
    score: Score,
) -> Iterator[Level]:
    if rewind_to:
        train(model, 0, rewind_to)
    early = _state(model) if rewound else None
    for index, count in enumerate([None, *counts]):
        if count is not None:
            masks = select(among_survivors(score(model), masks, where="imp"), count=count)
            if early is not None:
                _restore(model, early)
        with masks.enforce(model):
            trained = train(model, rewind_to, iterations)
            yield Level(index, masks, trained)


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
        required, remedy = "at least one density, below 1 and falling", "pass e.g. densities=[0.5, 0.25]"
        raise PruneproofError("imp", required=required, received=described(densities), remedy=remedy)
    if rewind not in _REWINDS:
        raise PruneproofError("imp", required=f"rewind to be one of {_REWINDS}", received=rewind, remedy="choose one")
    for name, value in (("iterations", iterations), ("rewind_to", rewind_to)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise PruneproofError(
                "imp", required=f"a whole number {name}", received=described(value), remedy="count iterations"
            )
    if iterations < 1:
        required, remedy = "at least one iteration", "raise iterations"
        raise PruneproofError("imp", required=required, received=f"iterations={iterations}", remedy=remedy)
    if not 0 <= rewind_to < iterations:
        required = f"0 <= rewind_to < iterations = {iterations}"
        raise PruneproofError("imp", required=required, received=rewind_to, remedy="rewind to an earlier iteration")
