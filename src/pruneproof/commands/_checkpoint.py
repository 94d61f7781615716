"""A model from its factory and its weights from a safetensors file; nothing is unpickled."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PruneproofError

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_model(checkpoint: Path, factory: str) -> "nn.Module":
    """Call `package.module:function`, which returns a module, and load the checkpoint into it.

    Raises `PruneproofError` if either cannot be found or they do not fit.
    """
    from safetensors.torch import load_model as load

    model = _build(factory)
    readable(checkpoint)
    try:
        load(model, checkpoint)
    except (RuntimeError, ValueError) as error:
        remedy = "pass the factory of this checkpoint"
        raise PruneproofError(
            str(checkpoint), required="the factory's weights", received=str(error), remedy=remedy
        ) from None
    return model


def tensors(checkpoint: Path) -> "dict[str, Tensor]":
    """All tensors of a safetensors file.

    Raises `PruneproofError` if it is missing or not one.
    """
    from safetensors.torch import load_file

    readable(checkpoint)
    return load_file(checkpoint)


def readable(checkpoint: Path) -> None:
    """Refuse a file that is missing, truncated or not safetensors."""
    from safetensors import SafetensorError, safe_open

    remedy = "pass a complete safetensors file"
    if not checkpoint.is_file():
        raise PruneproofError(str(checkpoint), required="a file", received="none", remedy=remedy)
    try:
        with safe_open(checkpoint, framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise PruneproofError(str(checkpoint), required="safetensors", received=str(error), remedy=remedy) from None


def _build(factory: str) -> "nn.Module":
    from torch import nn

    module, _, function = factory.partition(":")
    remedy = "pass package.module:function, importable from here"
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a factory may lie beside the checkpoint
    try:
        built = getattr(import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise PruneproofError(
            "--factory", required="a factory", received=f"{factory}: {error}", remedy=remedy
        ) from None
    if not isinstance(built, nn.Module):
        raise PruneproofError("--factory", required="a torch module", received=type(built).__name__, remedy=remedy)
    return built
