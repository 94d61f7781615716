"""Progressive pruning: score, select among the survivors, zero the rest, and again along a schedule of densities.

The masks are nested: a weight once pruned scores −∞ and is not selected again. The loop works on a
copy. Cost: one scoring and one selection per density, and one copy of the model.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, described
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import unwrapped

from .selection import Scores, layouts_of, select

Score = Callable[[nn.Module], dict[str, Tensor]]


def prune_progressively(
    model: nn.Module, score: Score, densities: Iterable[float], *, scope: str = "global"
) -> tuple[Masks, ...]:
    """Compose a score, a scope and a schedule into nested masks, one per density.

    Args:
        model: The network to score; it is copied and left untouched.
        score: `model -> {name: tensor}`, higher is kept; called on a copy whose pruned weights are
            zero.
        densities: Kept fractions in (0, 1], not increasing, e.g. `schedules.exponential(0.05, 100)`.
        scope: As in `select`.

    Returns:
        The masks after each step; the last has the last density, and each is contained in the one
        before.

    Raises:
        InvalidValueError: For no densities or increasing ones, before any work, and for a score
            that leaves out or adds parameters from one step to the next.
        PruneproofError: As `select` raises.

    Source: iterative pruning at initialisation as SynFlow does it (Tanaka et al. 2020).

    Example:
        >>> from pruneproof.prune.selection import schedules
        >>> from pruneproof.prune import scores
        >>> layer = nn.Linear(8, 2)
        >>> first, last = prune_progressively(layer, scores.magnitude, schedules.linear(0.25, 2))
        >>> first.count, last.count, (first & last) == last
        (10, 4, True)
    """
    densities = _falling(densities)
    shrinking, levels = copied("prune_progressively", unwrapped(model)), list[Masks]()
    for density in densities:
        scores = score(shrinking)
        survivors = among_survivors(scores, levels[-1], where="prune_progressively") if levels else scores
        levels.append(select(survivors, density=density, scope=scope, model=shrinking))
        levels[-1].apply_(shrinking)
    return tuple(levels)


def _falling(densities: object) -> list[float]:
    """The densities as a list, whatever holds them: a tuple, an array, a generator."""
    values = list[object](densities) if isinstance(densities, Iterable) else []
    numbers = [float(value) for value in values if isinstance(value, Real) and not isinstance(value, bool)]
    if not numbers or len(numbers) < len(values) or any(later > earlier for earlier, later in pairwise(numbers)):
        raise InvalidValueError(
            "prune_progressively: densities are numbers, at least one and none above the one before, got "
            f"{described(values or densities)}. Take them from pruneproof.prune.schedules."
        )
    return numbers


def among_survivors(scores: Mapping[str, Tensor], masks: Masks, *, where: str) -> dict[str, Tensor]:
    """Scores under which `select` prefers every survivor, at any score, to every weight pruned before.

    Args:
        scores: Name → tensor; a survivor's score of −∞ becomes the lowest finite number, below
            which is only the −∞ of what the masks prune.
        masks: What was pruned before.
        where: The public function that asks, for the error message.

    Returns:
        Name → new tensor.

    Raises:
        InvalidValueError: The scores are of other parameters than the masks.

    Example:
        >>> among_survivors({"w": torch.tensor([3.0, -torch.inf])}, Masks({"w": torch.tensor([False, True])}), where="")
        {'w': tensor([       -inf, -3.4028e+38])}
    """
    wanted = {name: tuple(mask.shape) for name, mask in masks.items()}
    given = {name: tuple(score.shape) for name, score in scores.items()}
    if given != wanted:
        off = [name for name in wanted | given if given.get(name) != wanted.get(name)]
        raise InvalidValueError(
            f"{where}: the scores must be of the {len(wanted)} parameters that the masks are of, but differ in "
            f"{', '.join(off)}. Score all of them, and no others."
        )
    return Scores({name: _demoted(score, masks[name]) for name, score in scores.items()}, layouts_of(scores))


def _demoted(score: Tensor, mask: Tensor) -> Tensor:
    if not score.is_floating_point():
        return score  # for `select` to refuse
    lowest = torch.finfo(score.dtype).min
    if score.numel() and not bool(score.min() >= lowest):
        score = score.clamp(min=lowest)
    return torch.where(mask.to(score.device), score, -torch.inf)
