"""Exactly k of many scores that several processes share, without gathering them.

The k-th largest key is found sixteen bits at a time, as in `kernels.top_k`, from histograms that are
summed over all processes: one all-reduce of 65,536 counters for each sixteen bits of the dtype. Ties
at the threshold go to the lowest global index: one all-reduce counts them by tensor, and in the
tensor in which they run out a bisection over the row-major index finds where, with one all-reduce of
a number for each bit of its size. An entry that several processes hold is counted on the first of
them. Masks come back whole, the same on every process.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.kernels.top_k import (
    _digit_counts,  # pyright: ignore[reportPrivateUsage]
    _float,  # pyright: ignore[reportPrivateUsage]
    _keys,  # pyright: ignore[reportPrivateUsage]
)
from pruneproof.prune.models.shards import all_reduced, is_sharded, local, placed, whole

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
    """
    mesh = _mesh(where, tensors)
    parts = [_Part(tensor, mesh) for tensor in tensors]
    common = tensors[0].dtype
    for tensor in tensors[1:]:
        common = torch.promote_types(common, tensor.dtype)
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


def require_agreement(where: str, scores: Mapping[str, Tensor], budget: str) -> None:
    """Refuse, on every process alike, scores that cannot be ranked together.

    Args:
        where: The public function that asks, for error messages.
        scores: Parameter name → score, at least one of them a `DTensor`.
        budget: What is to be kept.

    Raises:
        InvalidValueError: A process holds NaN, or not the same names, shapes, budget, or values
            of what is not sharded, as another one.
        UnsupportedError: The tensors lie on several device meshes.
    """
    mesh = _mesh(where, list(scores.values()))
    broken = [name for name, score in scores.items() if bool(local(score).isnan().any())]
    facts = [
        [name, tuple(score.shape), score.dtype, getattr(score, "placements", ())] for name, score in scores.items()
    ]
    differ = 0
    for dimension in range(mesh.ndim):
        content = hashlib.sha256(repr((facts, budget)).encode())
        for score in scores.values():
            if not is_sharded(score) or score.placements[dimension].is_replicate():  # pyright: ignore[reportAttributeAccessIssue]
                content.update(local(score).detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        mine = int.from_bytes(content.digest()[:7], "big")
        highest, lowest = all_reduced(torch.tensor([mine, -mine]), mesh, [dimension], "MAX").tolist()
        differ += highest != -lowest
    differ, found = _summed(torch.tensor([differ, len(broken)]), mesh).tolist()
    if differ:
        raise InvalidValueError(
            f"{where}: the processes hold different models or ask for different masks. Load the same weights and pass "
            "the same arguments on all of them."
        )
    if found:
        where_it_is = f"of {broken[0]}" if broken else "on another process"
        raise InvalidValueError(f"{where}: the scores {where_it_is} contain NaN. Look for the layer that overflows.")


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
    return all_reduced(numbers, mesh, range(mesh.ndim))


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
