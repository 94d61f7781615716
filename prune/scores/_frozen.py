"""A model held still: modes set, random generators forked, everything put back afterwards.

Scores evaluate a model inside `frozen`: every module is in evaluation mode (no dropout) except BatchNorm, whose mode is
a choice that changes the scores:

* `batch_norm="batch"`: statistics of the pooled batch, the mode a network trains in;
* `batch_norm="running"`: the running estimates, which at initialisation are the identity.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from ...errors import PruneproofError

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]
BatchNormMode = Literal["batch", "running"]


@contextmanager
def frozen(model: nn.Module, batch_norm: BatchNormMode = "running") -> Generator[None]:
    """All modules in evaluation mode, BatchNorm as asked; modes and random generators restored on the way out."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            for module, _ in modes:
                module.training = batch_norm == "batch" and isinstance(module, _BatchNorm)
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def call(function: Callable[..., Any], inputs: Inputs) -> Any:
    """Call with one tensor, a tuple of positional or a mapping of named inputs."""
    if isinstance(inputs, Mapping):
        return function(**inputs)
    return function(*inputs) if isinstance(inputs, tuple) else function(inputs)


def check_device(where: str, model: nn.Module) -> torch.device:
    """The one device that holds every parameter and buffer."""
    devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
    if len(devices) != 1:
        received = "parameters on " + (", ".join(sorted(map(str, devices))) or "no device: there are none")
        remedy = "move the model to one device with model.to(device)"
        raise PruneproofError(where, required="all parameters on one device", received=received, remedy=remedy)
    return devices.pop()


def require_derivatives(where: str) -> None:
    """Refuse to run under `torch.inference_mode`, which records nothing to differentiate."""
    if torch.is_inference_mode_enabled():
        required, remedy = "derivatives", "call it outside the block"
        raise PruneproofError(where, required=required, received="torch.inference_mode()", remedy=remedy)
