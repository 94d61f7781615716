"""What functions called inside `forward` become in the path certificate: activations the identity, maxima averages.

`linearised` replaces modules; a function such as `F.max_pool2d` or `torch.sigmoid` has none, and pooling modules call
the same functions. A maximum passes its derivative to one of several equal inputs, an average to all that are live; a
sigmoid of zero is not zero, and a saturated one passes no derivative. Attention's softmax and what a model computes by
other means (`amax`, `clamp`) are left as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..errors import PruneproofError

_POINTWISE = frozenset(
    f"{name}{suffix}"
    for name in """alpha_dropout celu dropout dropout1d dropout2d dropout3d elu feature_alpha_dropout gelu hardsigmoid
        hardswish hardtanh leaky_relu log_sigmoid logsigmoid mish relu relu6 selu sigmoid silu softplus softsign tanh
        """.split()
    for suffix in ("", "_")
)
_MAXIMA: Mapping[str, Callable[..., Tensor]] = {
    "max_pool1d": functional.avg_pool1d,
    "max_pool2d": functional.avg_pool2d,
    "max_pool3d": functional.avg_pool3d,
}
_ADAPTIVE_MAXIMA: Mapping[str, Callable[..., Tensor]] = {
    "adaptive_max_pool1d": functional.adaptive_avg_pool1d,
    "adaptive_max_pool2d": functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": functional.adaptive_avg_pool3d,
}


class PositiveFunctions(TorchFunctionMode):
    """While the block runs, pointwise functions are the identity and max pooling is average pooling.

    **Raises:** `PruneproofError` for max pooling that no average stands for: dilated, fractional, or with indices.

    Example:
        >>> import torch
        >>> with PositiveFunctions():
        ...     print(torch.sigmoid(torch.zeros(1)), functional.max_pool1d(torch.tensor([[0.0, 1.0]]), 2))
        tensor([0.]) tensor([[0.5000]])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call what stands for the function."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in _POINTWISE:
            return args[0] if args else kwargs["input"]
        if name in _MAXIMA:
            return _MAXIMA[name](*_window(name, *args, **kwargs))
        if name in _ADAPTIVE_MAXIMA:
            return _adaptive(name, *args, **kwargs)
        if "max_pool" in name:
            _refuse(name.replace("_with", " with"))
        return func(*args, **kwargs)


def _window(
    name: str,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Any, ...]:
    """The arguments of average pooling over the same windows."""
    if any(step != 1 for step in (dilation if isinstance(dilation, tuple | list) else [dilation])):
        _refuse(f"{name} with dilation {dilation}")
    return input, kernel_size, stride or kernel_size, padding, ceil_mode  # an empty stride means the kernel's size


def _adaptive(name: str, input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    return _ADAPTIVE_MAXIMA[name](input, output_size)


def _refuse(received: str) -> None:
    required, remedy = "max pooling that an average can stand for", "examine a copy of the model with average pooling"
    raise PruneproofError("connectivity", required=required, received=received, remedy=remedy)
