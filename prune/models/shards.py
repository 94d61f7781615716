"""Parameters that several processes share (`DTensor`): the part that lies on this one.

A plain tensor is its own part, so that code written with these functions serves both.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

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


def fully_sharded(model: nn.Module) -> list[Any]:
    """The modules of a model that `fully_shard` has changed."""
    loaded: Any = sys.modules.get("torch.distributed.fsdp")
    return [] if loaded is None else [module for module in model.modules() if isinstance(module, loaded.FSDPModule)]


def reshard(model: nn.Module) -> None:
    """Show the shards again where `fully_shard` still holds whole copies, as the root does after a forward pass."""
    for module in fully_sharded(model):
        module.reshard()


def require_named(where: str, model: nn.Module) -> None:
    """Have the parameters of sharded models under their names, shards of `fully_shard` again after a forward pass.

    Raises:
        UnsupportedError: For FSDP1: each process sees flattened pieces, and would rank them by themselves.
    """
    reshard(model)
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise UnsupportedError(
                f"{where}: FullyShardedDataParallel shows each rank flattened pieces of the parameters, and a ranking "
                "of pieces is not one of the model. Prune before wrapping, or shard by "
                "torch.distributed.fsdp.fully_shard, whose parameters keep their names and shapes."
            )


def all_reduced(numbers: Tensor, mesh: Any, dimensions: Iterable[int], operation: str = "SUM") -> Tensor:
    """The sum (or `"MAX"`) over the processes along some dimensions of a mesh, on the device of `numbers`.

    Args:
        numbers: Of one shape on all processes; may be overwritten.
        mesh: A `DeviceMesh`.
        dimensions: Numbers of its dimensions.
        operation: The name of a `torch.distributed.ReduceOp`.
    """
    moved = numbers.to(mesh.device_type)
    for dimension in dimensions:
        dist.all_reduce(moved, getattr(dist.ReduceOp, operation), mesh.get_group(dimension))
    return moved.to(numbers.device)


def any_process(found: bool, tensors: Iterable[Tensor]) -> bool:
    """Whether something was found on one of the processes that share the tensors, or on this one if none do."""
    sharded: Any = next(filter(is_sharded, tensors), None)
    if sharded is None:
        return found
    mesh = sharded.device_mesh
    return bool(all_reduced(torch.tensor(int(found)), mesh, range(mesh.ndim), "MAX"))


def require_all_sharded(where: str, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuse, in a model of `fully_shard`, weights of which each process has a copy: nothing sums what is found there.

    Raises:
        UnsupportedError: For such a weight.
    """
    copies = [name for name, weight in weights.items() if not is_sharded(weight)] if fully_sharded(model) else []
    if copies:
        raise UnsupportedError(
            f"{where}: fully_shard has left out {', '.join(copies[:8])}, so that what the processes find there is not "
            "added up. Shard the whole model, or leave these weights out by exclude=."
        )


def require_whole(where: str, model: nn.Module) -> None:
    """Refuse a model of which each process holds a part.

    Raises:
        UnsupportedError: For a `DTensor`, and for FSDP1.
    """
    require_named(where, model)
    for name, tensor in model.named_parameters():
        if is_sharded(tensor):
            raise UnsupportedError(
                f"{where}: {name} is sharded over processes (DTensor), and what it computes needs the whole model. "
                "Call it before sharding and apply or enforce its masks afterwards, or prune by magnitude."
            )
