"""Running a user's model without changing it.

Scores evaluate a model inside `evaluation_mode`: every module is in evaluation mode (no dropout)
except BatchNorm, whose mode is a choice that changes the scores:

* `batch_norm="batch"`: statistics of the batch, the mode in which a network trains;
* `batch_norm="running"`: the running estimates, which at initialisation are the identity.

An exception that a model or a loss of the user raises reaches the user as it is, with a note that
says where it happened and what to check (`explained`).
"""

import copy
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from pruneproof.checks import require_type
from pruneproof.errors import InvalidValueError, PruneproofError, StateError, UnsupportedError, described

from .shards import require_whole

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]
Readout = Callable[[Any], Tensor]
BatchNormMode = Literal["batch", "running"]
M = TypeVar("M", bound=nn.Module)


@contextmanager
def explained(where: str, what: str, remedy: str) -> Generator[None]:
    """Add a note to whatever the user's own code raises, and let it pass.

    Args:
        where: The public function that was called.
        what: Whose code runs, such as `"the model"`.
        remedy: What to check, as a sentence.

    Example:
        >>> try:
        ...     with explained("snip", "the loss", "Pass one target per example."):
        ...         raise KeyError("labels")
        ... except KeyError as error:
        ...     print(error.__notes__[0])
        Raised by the loss, called by snip. Pass one target per example.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, PruneproofError):
            error.add_note(f"Raised by {what}, called by {where}. {remedy}")
        raise


def require_module(where: str, model: object) -> None:
    """Refuse what is no `torch.nn.Module`."""
    require_type(where, model, nn.Module, "the model must be a torch.nn.Module", "Pass the module itself.")


def require_logits(where: str, output: object) -> None:
    """Refuse an output that is no tensor where one is needed."""
    remedy = "Pass readout=, the function that takes the logits out of the output."
    require_type(where, output, Tensor, "the model must return a tensor", remedy)


def require_generator(where: str, generator: object) -> None:
    """Refuse what is no `torch.Generator`."""
    remedy = "Pass torch.Generator().manual_seed(seed)."
    require_type(where, generator, torch.Generator, "generator= must be a torch.Generator", remedy)


@contextmanager
def evaluation_mode(model: nn.Module, batch_norm: BatchNormMode = "running") -> Generator[None]:
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


def require_examples(where: str, inputs: object) -> None:
    """Refuse an empty batch: from no example every weight scores the same.

    Raises:
        InvalidValueError: A tensor of the inputs has no row.
    """
    for tensor in _tensors(inputs):
        if tensor.ndim and len(tensor) == 0:
            raise InvalidValueError(
                f"{where}: the batch has no example: its inputs have shape {tuple(tensor.shape)}. "
                "Pass a batch that is not empty."
            )


def wrong_inputs(inputs: object) -> str:
    """What to check when a model raises: the shapes and dtypes that it was given.

    Example:
        >>> wrong_inputs(torch.ones(8, 7))
        'Pass inputs of the shape and dtype that it takes; it was given Tensor of shape (8, 7), torch.float32.'
    """
    given = ", ".join(map(described, _tensors(inputs)))
    return f"Pass inputs of the shape and dtype that it takes{f'; it was given {given}' if given else ''}."


def require_sizes(where: str, sizes: Sequence[int]) -> None:
    """Refuse the shape of a batch without an example, or of examples without a number.

    Raises:
        InvalidValueError: A size is below 1.

    Example:
        >>> require_sizes("synflow", (0, 8))
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: synflow: the sizes of inputs must be at least 1, got 0×8. ...
    """
    if any(size < 1 for size in sizes):
        raise InvalidValueError(
            f"{where}: the sizes of inputs must be at least 1, got {'×'.join(map(str, sizes))}. "
            "Pass the shape of a batch of one example, such as (1, 3, 32, 32)."
        )


def _tensors(inputs: object) -> Iterable[Tensor]:
    """The tensors of a tensor, a tuple (positional) or a mapping (named)."""
    if isinstance(inputs, Tensor):
        return [inputs]
    values: Iterable[object] = []
    if isinstance(inputs, Mapping):
        values = cast("Mapping[str, object]", inputs).values()
    elif isinstance(inputs, tuple | list):
        values = cast("tuple[object, ...]", inputs)
    return [value for value in values if isinstance(value, Tensor)]


def call_model(function: Callable[..., Any], inputs: Inputs) -> Any:
    """Call with one tensor, a tuple of positional or a mapping of named inputs."""
    if isinstance(inputs, Mapping):
        return function(**inputs)
    return function(*inputs) if isinstance(inputs, tuple) else function(inputs)


def copied(where: str, model: M, *, dtype: torch.dtype | None = None) -> M:
    """A copy of a model, also where it stores tensors that autograd computed.

    `copy.deepcopy` refuses those (activations kept by a forward pass, weights computed by hooks);
    here they are copied by value, without their history.

    Args:
        where: The public function that was called.
        model: Any module; unchanged.
        dtype: What parameters and buffers of floating-point numbers become; as they are if left out.

    Raises:
        UnsupportedError: Processes share the model.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> layer.features = layer(torch.ones(1, 2))
        >>> bool(torch.equal(copied("pfp", layer).features, layer.features))
        True
    """
    require_whole(where, model)
    known = dict[int, Any]()
    for module in model.modules():
        for value in vars(module).values():
            _copy_history(value, known)
    if dtype is not None:
        for parameter in model.parameters():  # converted once, instead of copied and converted
            if type(parameter) is nn.Parameter and parameter.is_floating_point() and parameter.dtype != dtype:
                known[id(parameter)] = nn.Parameter(parameter.detach().to(dtype), parameter.requires_grad)
    copy_ = copy.deepcopy(model, known)
    return copy_ if dtype is None else copy_.to(dtype)


def _copy_history(value: object, known: dict[int, Any]) -> None:
    """Enter copies of the tensors with a history that an attribute holds into deepcopy's memo."""
    if isinstance(value, Tensor):
        if value.grad_fn is not None and id(value) not in known:
            known[id(value)] = value.detach().clone()
    elif isinstance(value, Mapping):
        for item in cast("Mapping[object, object]", value).values():
            _copy_history(item, known)
    elif isinstance(value, list | tuple):
        for item in cast("tuple[object, ...]", value):
            _copy_history(item, known)


def check_device(where: str, model: nn.Module, *, shards: bool = False) -> torch.device:
    """The one device that holds every parameter and buffer.

    Args:
        where: The public function that was called.
        model: The model.
        shards: Whether processes may share the parameters.

    Raises:
        InvalidValueError: They lie on several, or there are none.
        UnsupportedError: They have no values, being on the meta device.
    """
    if not shards:
        require_whole(where, model)
    devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
    if torch.device("meta") in devices:
        raise UnsupportedError(f"{where}: the model is on the meta device and has no values. Load the weights first.")
    if len(devices) != 1:
        listed = ", ".join(sorted(map(str, devices)))
        received = f"they lie on {listed}" if devices else "there are none"
        raise InvalidValueError(
            f"{where}: all parameters must lie on one device, but {received}. Move the model by model.to(device)."
        )
    return devices.pop()


def require_derivatives(where: str) -> None:
    """Refuse to run under `torch.inference_mode`, which records nothing to differentiate."""
    if torch.is_inference_mode_enabled():
        raise StateError(f"{where}: derivatives cannot be taken inside torch.inference_mode(). Call it outside.")
