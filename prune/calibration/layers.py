"""What a layer reads as rows of numbers, and what it would compute with another weight."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from pruneproof.errors import UnsupportedError
from pruneproof.kernels.patches import convolution_patches
from pruneproof.prune.models.parameters import is_transposed_linear


def is_linear(module: nn.Module) -> bool:
    """Whether the module multiplies the last dimension of its input."""
    return isinstance(module, nn.Linear) or is_transposed_linear(module)


def has_rows(module: nn.Module) -> bool:
    """Whether `rows_read` knows the module."""
    return is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d)


def rows_read(module: nn.Module, inputs: Tensor, keep: Tensor | None) -> list[Tensor]:
    """The rows that the layer multiplies by, (points, inputs of one output), one tensor for each group.

    Args:
        module: A linear layer, or a convolution in one or two dimensions.
        inputs: What it was called with.
        keep: Bool, the leading dimensions of the inputs: which rows count; `None` for all.

    Raises:
        UnsupportedError: For another kind of layer.
    """
    if is_linear(module):
        return [inputs[keep] if keep is not None else inputs.flatten(0, -2)]
    if isinstance(module, nn.Conv1d):
        images = _padded(module, inputs.unsqueeze(0) if inputs.ndim == 2 else inputs).unsqueeze(2)
        sizes = [(1, module.kernel_size[0]), (1, module.stride[0]), (1, module.dilation[0])]
    elif isinstance(module, nn.Conv2d):
        images = _padded(module, inputs.unsqueeze(0) if inputs.ndim == 3 else inputs)
        sizes = cast("list[tuple[int, int]]", [module.kernel_size, module.stride, module.dilation])
    else:
        raise UnsupportedError(f"rows_read: no rows are defined for {type(module).__name__}.")
    kernel, stride, dilation = sizes
    parts = images.chunk(module.groups, dim=1)
    return [convolution_patches(part.contiguous(), kernel, stride=stride, dilation=dilation) for part in parts]


def _padded(module: _ConvNd, inputs: Tensor) -> Tensor:
    """The input with the convolution's own padding."""
    sides: list[int] = []
    for axis in reversed(range(len(module.kernel_size))):
        if isinstance(module.padding, str):
            total = module.dilation[axis] * (module.kernel_size[axis] - 1) if module.padding == "same" else 0
            sides += [total // 2, total - total // 2]
        else:
            sides += [int(module.padding[axis])] * 2
    if not any(sides):
        return inputs
    return functional.pad(inputs, sides, mode="constant" if module.padding_mode == "zeros" else module.padding_mode)


class Alone(nn.Module):
    """A layer's own forward, past the hooks that others have put on the layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        """What the layer computes."""
        return self.layer.forward(*arguments, **named)


def output_with(module: nn.Module, weight: Tensor, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """What the layer would compute with another weight."""
    return functional_call(Alone(module), {"layer.weight": weight}, arguments, dict(named))


def without_bias(module: nn.Module, output: Tensor) -> Tensor:
    """The layer's output less its bias."""
    bias = getattr(module, "bias", None)
    if not isinstance(bias, Tensor):
        return output
    spatial = len(module.kernel_size) if isinstance(module, _ConvNd) else 0
    return output - bias.detach().reshape(-1, *[1] * spatial)
