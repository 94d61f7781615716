"""Magnitude: the score of a weight is its absolute value."""

from torch import Tensor, nn

from pruneproof.errors import require_type
from pruneproof.prune.models.parameters import prunable


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Score each prunable weight by its absolute value.

    **Arguments:**

    - `model`: any module with a linear or convolution weight.

    **Returns:** parameter name → score, of the parameter's shape, dtype and device. The model is not changed.

    **Raises:** `PruneproofError` if nothing is prunable.

    Source: the oldest score there is; in this form Han et al., "Learning both weights and connections", 2015.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[-3.0, 2.0]]))
        >>> magnitude(layer)
        {'weight': tensor([[3., 2.]])}
    """
    require_type("magnitude", model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}
