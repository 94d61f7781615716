"""Refuse features and targets that no selection can be made from, before any work is done on them."""

import torch
from torch import Tensor

from ..errors import PruneproofError
from .backend import FLOATS


def require_tensor(
    where: str, tensor: object, name: str, shape: tuple[int | None, ...], device: torch.device | None = None
) -> None:
    """Refuse anything but a non-empty floating-point tensor of this shape, on this device, whose squares can be summed.

    **Arguments**

    - `where`: the public function that refuses. `name`: what the tensor is, with its axes.
    - `tensor`: what was received. `shape`: required lengths, None for any. `device`: required device, None for any.

    Raises `PruneproofError`. Costs one pass and no memory.

    Example:
        >>> require_tensor("Gram.update", torch.ones(2), "target (points,)", (None,))
    """
    require_summable(where, require_layout(where, tensor, name, shape, device), name)


def require_layout(
    where: str, tensor: object, name: str, shape: tuple[int | None, ...], device: torch.device | None = None
) -> Tensor:
    """The part of `require_tensor` that looks at no value, hence can be traced: dtype, shape and device."""
    if not isinstance(tensor, Tensor) or tensor.dtype not in FLOATS:
        received = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise PruneproofError(where, required=f"{name} as a floating-point tensor", received=received, remedy="convert")
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.numel() == 0:
        wanted = " x ".join("any" if want is None else str(want) for want in shape)
        received, remedy = f"shape {tuple(tensor.shape)}", "give one row per neuron and at least one point"
        raise PruneproofError(where, required=f"{name} of shape {wanted}, not empty", received=received, remedy=remedy)
    if device is not None and tensor.device != device:
        remedy = f"move it with .to('{device}')"
        raise PruneproofError(where, required=f"{name} on {device}", received=str(tensor.device), remedy=remedy)
    return tensor


def require_summable(where: str, tensor: Tensor, name: str) -> None:
    """Refuse NaN, infinities, and values so large that a sum of their squares overflows."""
    low, high = (float(extreme) for extreme in torch.aminmax(tensor.detach()))  # propagates NaN, allocates nothing
    limit = max(torch.finfo(tensor.dtype).max, torch.finfo(torch.float32).max)  # half types are summed in float32
    largest = max(-low, high)
    if not largest * largest * tensor.shape[-1] < limit:  # also when NaN, which compares false; a power would raise
        received, remedy = f"values from {low} to {high}", "remove NaN and inf, rescale what is left"
        raise PruneproofError(where, required=f"finite {name} with summable squares", received=received, remedy=remedy)
