"""Progressive pruning: score, select among the survivors, zero the rest, and again along a schedule of densities.

The masks are nested: a weight once pruned scores −∞ and is not selected again. The loop works on a copy.
Cost: one scoring and one selection per density, and one copy of the model.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import PruneproofError
from .masks import Masks
from .parameters import unwrapped
from .selection import select

Score = Callable[[nn.Module], dict[str, Tensor]]


def prune_progressively(
    model: nn.Module, score: Score, densities: Sequence[float], *, scope: str = "global"
) -> tuple[Masks, ...]:
    """Compose a score, a scope and a schedule into nested masks, one per density.

    **Arguments:**

    - `model`: the network to score; it is copied and left untouched.
    - `score`: `model -> {name: tensor}`, higher is kept; called on a copy whose pruned weights are zero.
    - `densities`: kept fractions in (0, 1], not increasing, e.g. `schedules.exponential(0.05, 100)`.
    - `scope`: as in `select`.

    **Returns:** the masks after each step; the last has the last density, and each is contained in the one before.

    **Raises:** `PruneproofError` for no densities or increasing ones, before any work, and as `select` does.

    Source: iterative pruning at initialisation as SynFlow does it (Tanaka et al. 2020).

    Example:
        >>> from pruneproof.prune import schedules, scores
        >>> layer = nn.Linear(8, 2)
        >>> first, last = prune_progressively(layer, scores.magnitude, schedules.linear(0.25, 2))
        >>> first.count, last.count, (first & last) == last
        (10, 4, True)
    """
    if not densities or any(later > earlier for earlier, later in pairwise(densities)):
        remedy = "take one from pruneproof.prune.schedules"
        required = "at least one density, none above the one before"
        raise PruneproofError("prune_progressively", required=required, received=densities, remedy=remedy)
    shrinking, levels = copy.deepcopy(unwrapped(model)), list[Masks]()
    for density in densities:
        scores = score(shrinking)
        survivors = _demoted(scores, levels[-1]) if levels else scores
        levels.append(select(survivors, density=density, scope=scope))
        levels[-1].apply_(shrinking)
    return tuple(levels)


def _demoted(scores: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    return {name: torch.where(masks[name], score, -torch.inf) for name, score in scores.items()}
