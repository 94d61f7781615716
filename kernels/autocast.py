"""What operations do under `torch.autocast`: linear maps take part as `nn.Linear` does, exact operations do not."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """The dtype of `torch.autocast` on the device of a tensor, or None where it is off."""
    kind = tensor.device.type
    on = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else None


def cast_like_linear(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """What `torch.autocast` hands to `nn.Linear` in place of a tensor: float64 and integers stay as they are."""
    cast = tensor.is_floating_point() and tensor.dtype != torch.float64
    return tensor.to(dtype) if cast else tensor


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function whose results are promised exactly with `torch.autocast` off on every device in use."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        with ExitStack() as off:
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    off.enter_context(torch.autocast(kind, enabled=False))
            return function(*args, **kwargs)

    return exact
