"""Parameters that several processes share (`DTensor`): the part that lies on this one.

A plain tensor is its own part, so that code written with these functions serves both.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import UnsupportedError


def is_sharded(tensor: Tensor) -> bool:
    """Whether the tensor is a `DTensor`."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies on this process; changes to it are changes to the tensor.

    Example:
        >>> plain = torch.ones(2)
        >>> local(plain) is plain
        True
    """
    if not is_sharded(tensor):
        return tensor
    sharded: Any = tensor
    with torch.no_grad():
        return sharded.to_local()


def local_part(whole: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor that belongs to this process if it is sharded as `like` is.

    Args:
        whole: A plain tensor of the global shape, the same on all processes.
        like: A plain tensor or a `DTensor` of that shape.
    """
    if not is_sharded(like):
        return whole
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    sharded: Any = like
    shape, offset = compute_local_shape_and_global_offset(whole.shape, sharded.device_mesh, sharded.placements)
    return whole[tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))]


def placed(part: Tensor, like: Tensor) -> Tensor:
    """This process's part of a tensor as a whole: a `DTensor` that is sharded as `like` is, or the part itself.

    Args:
        part: What belongs to this process.
        like: A plain tensor or a `DTensor`.
    """
    if not is_sharded(like):
        return part
    from torch.distributed.tensor import DTensor

    sharded: Any = like
    return DTensor.from_local(
        part, sharded.device_mesh, sharded.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor on every process; a plain one as it is."""
    if not is_sharded(tensor):
        return tensor
    sharded: Any = tensor
    with torch.no_grad():
        return sharded.full_tensor()


def require_whole(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse parameters of which each process holds a part.

    Raises:
        UnsupportedError: For a `DTensor`.
    """
    for name, tensor in tensors.items():
        if is_sharded(tensor):
            raise UnsupportedError(
                f"{where}: {name} is sharded over processes (DTensor), and what it computes needs the whole model. "
                "Call it before sharding and apply or enforce its masks afterwards, or prune by magnitude."
            )
