"""Run code that is the user's own (a model, a loss) and tell in one line what it did not accept.

A model held still: modes set, random generators forked, everything put back afterwards.

Scores evaluate a model inside `frozen`: every module is in evaluation mode (no dropout) except BatchNorm, whose mode is
a choice that changes the scores:

* `batch_norm="batch"`: statistics of the pooled batch, the mode a network trains in;
* `batch_norm="running"`: the running estimates, which at initialisation are the identity.

The pooled loss of a model as a pure function of its prunable weights.

SNIP and GraSP differentiate this function. Evaluating it leaves the model as it was: parameters are replaced by
detached copies, buffers by clones, modes and random generators are put back (`_frozen`).

`chunk` bounds memory: the gradient of a mean over examples is the weighted mean of the chunks' gradients, so the result
is the pooled one, term by term. That needs a loss that is a mean and examples that do not see each other, so BatchNorm
on batch statistics is refused, and so is a loss whose chunks do not average to its pooled value.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from pruneproof.errors import PruneproofError

LONGEST = 200  # characters of a message that are shown
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)  # how torch refuses its arguments


@contextmanager
def trial(where: str, *, required: str, remedy: str) -> Generator[None]:
    """Turn what torch raises about wrong arguments into a `PruneproofError`; lack of memory is left as it is."""
    try:
        yield
    except (PruneproofError, torch.OutOfMemoryError):
        raise
    except REFUSALS as error:
        raise PruneproofError(where, required=required, received=brief(error), remedy=remedy) from error


def brief(error: BaseException) -> str:
    """An exception's type and message in one line, shortened.

    Example:
        >>> brief(ValueError("two\\n\\tlines"))
        'ValueError: two lines'
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


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


Readout = Callable[[Any], Tensor]
