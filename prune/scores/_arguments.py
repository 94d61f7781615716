"""Refuse a model, loss or batch of the wrong kind, and an empty batch, before a score is computed."""

from collections.abc import Iterable, Mapping
from typing import cast

from torch import Tensor, nn

from ...errors import PruneproofError, described, require_type


def require_arguments(where: str, model: object, loss: object, batch: object) -> None:
    """Refuse what `snip` and `grasp` cannot score with; nothing is computed.

    **Arguments:** those of `scores.snip`, and `where`, the public function that refuses.

    **Raises:** `PruneproofError`.

    Example:
        >>> require_arguments("snip", nn.Linear(2, 1), nn.functional.mse_loss, ([[0.0, 1.0]], None))
    """
    require_type(where, model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    if isinstance(loss, type) or not callable(loss):
        remedy = "pass (output, targets) -> scalar, such as cross_entropy or an instance of CrossEntropyLoss"
        raise PruneproofError(where, required="a callable loss, not a class", received=described(loss), remedy=remedy)
    if not isinstance(batch, tuple | list) or len(cast("tuple[object, ...]", batch)) != 2:
        required, remedy = "a batch", "pass the pair (inputs, targets)"
        raise PruneproofError(where, required=required, received=described(batch), remedy=remedy)
    for tensor in _tensors(batch[0]):
        if tensor.ndim and len(tensor) == 0:
            required, received = "a batch of at least one example", f"inputs of shape {tuple(tensor.shape)}"
            raise PruneproofError(where, required=required, received=received, remedy="pass a batch that is not empty")


def _tensors(inputs: object) -> Iterable[Tensor]:
    """The tensors of a tensor, a tuple (positional) or a mapping (named)."""
    if isinstance(inputs, Tensor):
        return [inputs]
    values: Iterable[object] = []
    if isinstance(inputs, Mapping):
        values = cast("Mapping[str, object]", inputs).values()
    elif isinstance(inputs, tuple | list):
        values = cast("tuple[object, ...]", inputs)
    return [value for value in values if isinstance(value, Tensor)]
