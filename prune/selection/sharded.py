"""Exactly k of many scores that several processes share, without gathering them.

The k-th largest key is found sixteen bits at a time, as in `kernels.top_k`, from histograms that are
summed over all processes: one all-reduce of 65,536 counters for each sixteen bits of the dtype. Ties
at the threshold go to the lowest global index: one all-reduce counts them by tensor, and in the
tensor in which they run out a bisection over the row-major index finds where, with one all-reduce of
a number for each bit of its size. An entry that several processes hold is counted on the first of
them. Masks come back whole, the same on every process.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.kernels.top_k import (
    _digit_counts,  # pyright: ignore[reportPrivateUsage]
    _float,  # pyright: ignore[reportPrivateUsage]
    _keys,  # pyright: ignore[reportPrivateUsage]
)
from pruneproof.prune.models.shards import is_sharded, local, placed, whole

_DIGIT = 16
_CHUNK = 1 << 20
_BITS = {torch.float16: 16, torch.bfloat16: 16, torch.float32: 32, torch.float64: 64}


def sharded_top_k(where: str, tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Mark the k largest entries over all tensors, plain or `DTensor`; every process calls it alike.

    Args:
        where: The public function that asks, for error messages.
        tensors: Scores; plain ones are the same on all processes.
        k: How many entries survive.

    Returns:
        One whole bool tensor per input, the same on every process.

    Raises:
        UnsupportedError: The tensors lie on several device meshes.
        InvalidValueError: A score is NaN.
    """
    mesh = _mesh(where, tensors)
    parts = [_Part(tensor, mesh) for tensor in tensors]
    common = tensors[0].dtype
    for tensor in tensors[1:]:
        common = torch.promote_types(common, tensor.dtype)
    broken = torch.tensor([int(any(bool(part.values.isnan().any()) for part in parts))])
    if int(_summed(broken, mesh)):
        raise InvalidValueError(f"{where}: scores with NaN cannot be ordered. Find out where the NaN comes from.")
    threshold, ties = _kth_largest(parts, k, common, mesh)
    masks = [part.values.to(common) > threshold.to(part.values.device) for part in parts]
    equal = [part.values.to(common) == threshold.to(part.values.device) for part in parts]
    counts = _summed(torch.tensor([int(e[p.counted].sum()) for e, p in zip(equal, parts, strict=True)]), mesh)
    for mask, tied, part, count in zip(masks, equal, parts, counts.tolist(), strict=True):
        if 0 < ties < count:
            tied &= part.index < _cut(part, tied, ties, mesh)
        if ties > 0:
            mask |= tied
        ties -= min(ties, count)
    return [whole(placed(mask, tensor)) for mask, tensor in zip(masks, tensors, strict=True)]


def _mesh(where: str, tensors: Sequence[Tensor]) -> Any:
    sharded: list[Any] = [tensor for tensor in tensors if is_sharded(tensor)]
    mesh = sharded[0].device_mesh
    if any(tensor.device_mesh != mesh for tensor in sharded):
        raise UnsupportedError(
            f"{where}: the parameters lie on several device meshes, over which no ranking is defined. "
            "Shard all of them on one mesh, or prune before sharding."
        )
    return mesh


class _Part:
    """What this process holds of a tensor: values, global row-major indices, and which of them it counts."""

    def __init__(self, tensor: Tensor, mesh: Any) -> None:
        from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

        self.values = local(tensor).detach()
        coordinate = mesh.get_coordinate() or [0] * mesh.ndim
        shape, offset = tuple(tensor.shape), (0,) * tensor.ndim
        replicated = range(mesh.ndim)
        if is_sharded(tensor):
            sharded: Any = tensor
            shape, offset = compute_local_shape_and_global_offset(tensor.shape, mesh, sharded.placements)
            replicated = [d for d, placement in enumerate(sharded.placements) if placement.is_replicate()]
        first = all(coordinate[dimension] == 0 for dimension in replicated)
        self.counted = slice(None) if first else slice(0, 0)
        self.size = tensor.numel()
        self.index = torch.zeros(shape, dtype=torch.int64)
        step = 1
        for dimension in reversed(range(tensor.ndim)):
            along = (torch.arange(shape[dimension]) + offset[dimension]) * step
            self.index += along.reshape(-1, *[1] * (tensor.ndim - 1 - dimension))
            step *= tensor.shape[dimension]
        self.index = self.index.to(self.values.device)


def _summed(numbers: Tensor, mesh: Any) -> Tensor:
    """The sum over all processes of the mesh."""
    for dimension in range(mesh.ndim):
        group = mesh.get_group(dimension)
        moved = numbers.to(mesh.device_type)
        dist.all_reduce(moved, group=group)
        numbers = moved.cpu()
    return numbers


def _kth_largest(parts: Sequence[_Part], k: int, dtype: torch.dtype, mesh: Any) -> tuple[Tensor, int]:
    """The k-th largest value, with how many of the entries equal to it are among the k largest."""
    prefix, wanted, width = 0, k, _BITS[dtype]
    for shift in range(width - _DIGIT, -1, -_DIGIT):
        top = shift == width - _DIGIT
        histogram = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        for part in parts:
            for chunk in part.values[part.counted].reshape(-1).split(_CHUNK):
                histogram += _digit_counts(_keys(chunk, dtype), shift, None if top else prefix).cpu()
        at_least = _summed(histogram, mesh).flip(0).cumsum(0)
        rank = int(torch.searchsorted(at_least, wanted))
        wanted -= int(at_least[rank - 1]) if rank else 0
        digit = (1 << _DIGIT) - 1 - rank
        prefix = digit - (1 << (_DIGIT - 1)) if top else (prefix << _DIGIT) | digit  # the leading digit is signed
    return _float(prefix, dtype), wanted


def _cut(part: _Part, tied: Tensor, ties: int, mesh: Any) -> int:
    """The least index below which exactly `ties` of the tied entries lie."""
    indices = part.index[part.counted][tied[part.counted]]
    low, high = 0, part.size
    while low < high:
        middle = (low + high) // 2
        below = int(_summed(torch.tensor([int((indices < middle).sum())]), mesh))
        low, high = (middle + 1, high) if below < ties else (low, middle)
    return low
