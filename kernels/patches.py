"""The patches a convolution multiplies its filters with, as points of a linear map."""

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

from .backend import FLOATS, require_tensors

_WHERE = "convolution_patches"


def convolution_patches(
    inputs: Tensor,
    kernel_size: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Every patch of a batch of images as one row.

    Args:
        inputs: (batch, channels, height, width).
        kernel_size, stride, padding, dilation: Those of the convolution, in pixels. For a
            convolution in groups call it once per group of channels.

    Returns:
        (batch · positions, channels · kernel height · kernel width), the order of
        `weight.flatten(1)`.

    Raises:
        PruneproofError: Unless `inputs` is floating point, has four dimensions and holds at least
            one patch.

    Source: a filter is a row met at every patch (kernels/sensitivity/README.md).

    Example:
        >>> import torch
        >>> convolution_patches(torch.arange(9.0).reshape(1, 1, 3, 3), (2, 2)).tolist()[0]
        [0.0, 1.0, 3.0, 4.0]
    """
    require_tensors(_WHERE, inputs=inputs)
    if inputs.dim() != 4 or inputs.dtype not in FLOATS:
        raise InvalidValueError(
            f"{_WHERE}: the inputs must be floating images (batch, channels, height, width), got {inputs.dtype} "
            f"of shape {tuple(inputs.shape)}. Add a missing dimension with unsqueeze."
        )
    reach = [dilation[side] * (kernel_size[side] - 1) + 1 for side in (0, 1)]
    if any(reach[side] > inputs.shape[2 + side] + 2 * padding[side] for side in (0, 1)):
        raise InvalidValueError(
            f"{_WHERE}: the kernel reaches over {reach[0]} x {reach[1]} pixels, more than the padded images of "
            f"shape {tuple(inputs.shape)} have. Pass the numbers of the convolution itself."
        )
    unfolded = torch.nn.functional.unfold(inputs, kernel_size, dilation=dilation, padding=padding, stride=stride)
    return unfolded.transpose(1, 2).flatten(0, 1)
