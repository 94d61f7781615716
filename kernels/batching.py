"""The batching rule of operations that no larger operation computes together: one call per slice, results stacked."""

from typing import Any

import torch
from torch import Tensor


def map_over_slices(operation: Any) -> None:
    """Register that rule with an operation made by `torch.library.custom_op`.

    Example:
        >>> from pruneproof.kernels.top_k import top_k_masks
        >>> torch.func.vmap(lambda row: top_k_masks([row], 1)[0])(torch.eye(2)).tolist()
        [[True, False], [False, True]]
    """

    def rule(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
        rows = [operation(*_slices(args, in_dims, index)) for index in range(info.batch_size)]
        if isinstance(rows[0], Tensor):
            return torch.stack(rows), 0
        stacked = type(rows[0])(torch.stack(parts) for parts in zip(*rows, strict=True))
        return stacked, type(stacked)(0 for _ in stacked)

    operation.register_vmap(rule)


def _slices(values: Any, dims: Any, index: int) -> list[Any]:
    return [_slice(value, dim, index) for value, dim in zip(values, dims, strict=True)]


def _slice(value: Any, dim: Any, index: int) -> Any:
    """A tensor's slice, what is not mapped as it is, lists entry by entry."""
    if isinstance(dim, list | tuple):
        return _slices(value, dim, index)
    return value if dim is None else value.select(dim, index)
