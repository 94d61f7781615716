"""The patches a convolution multiplies its filters with, as points of a linear map."""

import torch
from torch import Tensor

from ..errors import PruneproofError


def convolution_patches(
    inputs: Tensor,
    kernel_size: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Every patch of a batch of images as one row.

    **Arguments**
    - `inputs`: (batch, channels, height, width).
    - `kernel_size`, `stride`, `padding`, `dilation`: those of the convolution, in pixels. For a convolution in groups
      call it once per group of channels.

    Returns (batch · positions, channels · kernel height · kernel width), the order of `weight.flatten(1)`.

    Raises PruneproofError unless `inputs` has four dimensions.

    Source: a filter is a row met at every patch (sensitivity.md).

    >>> import torch
    >>> convolution_patches(torch.arange(9.0).reshape(1, 1, 3, 3), (2, 2)).tolist()[0]
    [0.0, 1.0, 3.0, 4.0]
    """
    if inputs.dim() != 4:
        raise PruneproofError(
            "convolution_patches",
            required="inputs (batch, channels, height, width)",
            received=tuple(inputs.shape),
            remedy="add the missing dimension with unsqueeze",
        )
    unfolded = torch.nn.functional.unfold(inputs, kernel_size, dilation=dilation, padding=padding, stride=stride)
    return unfolded.transpose(1, 2).flatten(0, 1)
