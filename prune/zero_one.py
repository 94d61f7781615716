"""Signals reduced to zero or one, forwards and backwards: what reaches a unit, without overflow or underflow."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


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
