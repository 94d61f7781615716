"""Which implementation of an operation runs, and why.

The environment variable `PRUNEPROOF_BACKEND` is `auto` (default: Triton on a GPU, the reference elsewhere), `reference`
or `triton`. Operations decide by `choose`, and `explain_plan` reports that same decision, so the report cannot
disagree with what runs.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from importlib.util import find_spec
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from pruneproof.checks import require_choice
from pruneproof.errors import InvalidTypeError, InvalidValueError, MissingPackageError

P = ParamSpec("P")
R = TypeVar("R")
BACKENDS = ("auto", "reference", "triton")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # what operations accept


@dataclass(frozen=True)
class Choice:
    """What would run: `backend` ("reference" or "triton"), the `implementation` by name, and the `reason`.

    Example:
        >>> Choice("masked_linear", "reference", "torch", "PRUNEPROOF_BACKEND=reference").backend
        'reference'
    """

    op: str
    backend: str
    implementation: str
    reason: str


def requested_backend() -> str:
    """The value of `PRUNEPROOF_BACKEND`, not checked."""
    return os.environ.get("PRUNEPROOF_BACKEND", "auto")


def require_backend(requested: str) -> None:
    """Refuse a word that names no backend."""
    require_choice("pruneproof", "the environment variable PRUNEPROOF_BACKEND", requested, BACKENDS)


@cache
def triton_installed() -> bool:
    """Whether Triton can be imported (there is none for macOS and Windows)."""
    return find_spec("triton") is not None


def interpreting() -> bool:
    """Whether Triton bodies run in its interpreter on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def multiprocessors(device: torch.device) -> int:
    """How many multiprocessors the device has; 132, an H200's, where no device can be asked."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 132


def on_its_device(launch: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """Launch on the GPU that holds the first argument: Triton takes the current one, which may be another."""

    @wraps(launch)
    def guarded(first: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        if first.device.type != "cuda":
            return launch(first, *args, **kwargs)
        with torch.cuda.device(first.device):
            return launch(first, *args, **kwargs)

    return guarded


def device_type(tensor: Tensor) -> str:
    """`tensor.device.type`, which takes several times as long on a CPU."""
    return "cpu" if tensor.is_cpu else tensor.device.type


def choose(op: str, tensor: Tensor, *, wide: bool = False) -> Choice:
    """Reference or Triton for an operation whose first tensor is `tensor`; `wide` if its bodies compute in float64.

    Raises:
        PruneproofError: If Triton is demanded where it cannot run.
    """
    requested, has_bodies = requested_backend(), wide or tensor.dtype != torch.float64
    if requested == "triton" and has_bodies:
        _require_triton(op, tensor)
    choice = _choice if torch.compiler.is_compiling() else _remembered_choice
    return choice(op, requested, device_type(tensor), has_bodies)


def _choice(op: str, requested: str, device: str, has_bodies: bool) -> Choice:
    require_backend(requested)  # here, where it is remembered: this runs before every operation
    if requested == "reference":
        return Choice(op, "reference", "torch", "PRUNEPROOF_BACKEND=reference")
    if not has_bodies:
        return Choice(op, "reference", "torch", "float64 is the reference's type")
    if requested == "triton":
        return Choice(op, "triton", "triton", "PRUNEPROOF_BACKEND=triton")
    if device != "cuda":
        return Choice(op, "reference", "torch", f"the reference is the implementation on {device}")
    if not triton_installed():
        return Choice(op, "reference", "torch", "Triton is not installed")
    return Choice(op, "triton", "triton", "the tensor is on a GPU")


_remembered_choice = cache(_choice)


def require_tensors(op: str, **arguments: object) -> None:
    """Refuse an argument that is no tensor, by its name."""
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            raise InvalidTypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}. Convert it.")


def _require_triton(op: str, tensor: Tensor) -> None:
    if not triton_installed():
        raise MissingPackageError(
            f"{op}: PRUNEPROOF_BACKEND=triton needs Triton, which is not installed. "
            "Install triton (Linux only), or set PRUNEPROOF_BACKEND=auto."
        )
    if tensor.device.type != "cuda" and not interpreting():
        raise InvalidValueError(
            f"{op}: PRUNEPROOF_BACKEND=triton needs a CUDA tensor (or TRITON_INTERPRET=1 before Python starts), "
            f"got one on {tensor.device.type}. Set PRUNEPROOF_BACKEND=auto to run the reference."
        )
