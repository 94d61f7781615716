"""Signals reduced to zero or one, forwards and backwards: what reaches a unit, without overflow or underflow.

The positive linear copy of a network that SynFlow and the path certificate evaluate.

Every parameter is replaced by its absolute value in double precision, every activation and dropout by the identity,
every normaliser by its scale and shift alone: BatchNorm divides by the stored standard deviation and subtracts no mean,
LayerNorm, GroupNorm, InstanceNorm and RMSNorm do not normalise. On a network of linear layers, such modules and pooling
the copy is a positively homogeneous, increasing function of its input, and R = Σ f(1) is a polynomial with non-negative
coefficients in the weights. Functions called inside `forward` (softmax, `F.gelu`) are left as they are; `F.relu` is the
identity on what they see.

Cost: one copy of the model in double precision.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.activation import __all__ as _activation_names
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]

from pruneproof.prune.masks.enforcement import release


def reduce_outputs(modules: Iterable[nn.Module]) -> None:
    """From now on every tensor that these modules give becomes x > 0 as a number, and so does its derivative.

    **Arguments:**

    - `modules`: changed in place, by a forward hook on each.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> for parameter in layer.parameters(): _ = nn.init.constant_(parameter, 1e-30)
        >>> reduce_outputs([layer])
        >>> layer(torch.ones(1)).item()
        1.0
    """
    for module in modules:
        module.register_forward_hook(lambda module, inputs, output: _reduced(output))


def _reduced(output: Any) -> Any:
    return _Indicator.apply(output) if isinstance(output, Tensor) else output


class _Indicator(torch.autograd.Function):
    """x > 0 as a number, both forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return (gradients[0] > 0).to(gradients[0].dtype)


_ATTENTION = "MultiheadAttention"
_ELEMENTWISE = tuple(getattr(nn, name) for name in _activation_names if name != _ATTENTION)
_CHANNELWISE = (_BatchNorm, _InstanceNorm, nn.GroupNorm)
_TRAILING = (nn.LayerNorm, nn.RMSNorm)


class ScaleShift(nn.Module):
    """x·scale + shift, broadcast over the channel dimension or over the trailing ones."""

    def __init__(self, scale: Tensor | None, shift: Tensor | None, *, channelwise: bool) -> None:
        super().__init__()
        self.weight = None if scale is None else nn.Parameter(scale)  # under the normaliser's own names
        self.bias = None if shift is None else nn.Parameter(shift)
        self.channelwise = channelwise

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift, shape preserved."""
        x = x if self.weight is None else x * self._shaped(self.weight, x)
        return x if self.bias is None else x + self._shaped(self.bias, x)

    def _shaped(self, values: Tensor, x: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (x.ndim - 2)) if self.channelwise else values


def linearised(model: nn.Module) -> nn.Module:
    """A positive linear copy of a model in double precision; the model itself is untouched.

    **Arguments:**

    - `model`: any module that `copy.deepcopy` can copy.

    **Returns:** a module with the same names for the parameters of linear and convolutional layers.

    Source: the linearisation of SynFlow (Tanaka et al. 2020), in evaluation mode, double precision.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, -0.5)
        >>> linearised(nn.Sequential(layer, nn.Tanh()))(torch.ones(1, 2, dtype=torch.float64)).item()
        1.0
    """
    positive = copy.deepcopy(model).double().eval()
    release(positive)  # a copy of an enforced model is enforced, and would lose derivatives
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    twins = dict[nn.Module, nn.Module]()  # a module used twice has two names and one twin
    for name, module in list(positive.named_modules(remove_duplicate=False)):
        replacement = twins.setdefault(module, _linear_twin(module))
        if replacement is module:
            continue
        if not name:
            return replacement
        parent, _, child = name.rpartition(".")
        setattr(positive.get_submodule(parent), child, replacement)
    return positive.requires_grad_(True)


def _linear_twin(module: nn.Module) -> nn.Module:
    if isinstance(module, (*_ELEMENTWISE, _DropoutNd)):
        return nn.Identity()
    if isinstance(module, _CHANNELWISE):
        return ScaleShift(_channel_scale(module), _detached(module.bias), channelwise=True)
    if isinstance(module, _TRAILING):
        return ScaleShift(_detached(module.weight), _detached(getattr(module, "bias", None)), channelwise=False)
    return module


def _channel_scale(module: nn.Module) -> Tensor | None:
    scale, variance = _detached(getattr(module, "weight", None)), getattr(module, "running_var", None)
    if variance is None:
        return scale
    deviation = torch.sqrt(variance + module.eps)
    return 1 / deviation if scale is None else scale / deviation


def _detached(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.detach()
