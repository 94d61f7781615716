"""Random: uniform scores, the control that every other score must beat."""

import torch
from torch import Tensor, nn

from pruneproof.prune.models.evaluation import require_generator
from pruneproof.prune.models.parameters import Patterns, find_prunable, layouts, require_numbers
from pruneproof.prune.models.shards import local_part, placed
from pruneproof.prune.selection.selection import Scores


def random(
    model: nn.Module, *, generator: torch.Generator, include: Patterns = (), exclude: Patterns = ()
) -> dict[str, Tensor]:
    """Score each prunable weight by an independent draw from the uniform distribution on [0, 1).

    Of sharded parameters each process keeps its part of the same draw: give all the same seed.
    Drawn in float32 on the generator's device, in the order of `named_parameters()`: one seed gives
    one answer whatever the dtype and device of the model. At 2²⁴ possible values ties occur in
    large layers; `select` breaks them by index.

    Args:
        model: Any module with a weight that `prunable` names; not changed.
        generator: The only source of randomness; it advances.
        include: Shell patterns of the parameters or modules to score, as in `prunable`.
        exclude: Patterns of what is left out.

    Returns:
        Parameter name → float32 score of the parameter's shape, on the parameter's device.

    Raises:
        PruneproofError: As `prunable` raises, and for weights without values or real numbers.

    Example:
        >>> scores = random(nn.Linear(3, 2), generator=torch.Generator().manual_seed(0))
        >>> scores["weight"].shape
        torch.Size([2, 3])
    """
    require_generator("random", generator)
    weights = find_prunable("random", model, include, exclude)
    require_numbers("random", weights)
    drawn = {
        name: placed(local_part(torch.rand(weight.shape, generator=generator, device=generator.device), weight), weight)
        for name, weight in weights.items()
    }
    return Scores({name: score.to(weights[name].device) for name, score in drawn.items()}, layouts(model))
