"""Magnitude: the score of a weight is its absolute value."""

from torch import Tensor, nn

from pruneproof.prune.models.parameters import Patterns, find_prunable, layouts, require_numbers
from pruneproof.prune.selection.selection import Scores


def magnitude(model: nn.Module, *, include: Patterns = (), exclude: Patterns = ()) -> dict[str, Tensor]:
    """Score each prunable weight by its absolute value.

    Args:
        model: Any module with a weight that `prunable` names; not changed.
        include: Shell patterns of the parameters or modules to score, as in `prunable`.
        exclude: Patterns of what is left out.

    Returns:
        Parameter name → score, of the parameter's shape, dtype and device.

    Raises:
        PruneproofError: As `prunable` raises, and for weights without values or real numbers.

    Source: the oldest score there is; in this form Han et al., "Learning both weights and
    connections", 2015.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[-3.0, 2.0]]))
        >>> magnitude(layer)
        {'weight': tensor([[3., 2.]])}
    """
    weights = find_prunable("magnitude", model, include, exclude)
    require_numbers("magnitude", weights)
    return Scores({name: weight.detach().abs() for name, weight in weights.items()}, layouts(model))
