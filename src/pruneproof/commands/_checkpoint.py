"""A model from its factory and its weights from a safetensors file; nothing is unpickled."""

from pathlib import Path
from typing import TYPE_CHECKING

from pruneproof.errors import PruneproofError

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_model(checkpoint: Path, factory: str) -> "nn.Module":
    """Call `package.module:function`, which returns a module, and load the checkpoint into it.

    Raises `PruneproofError` if either cannot be found or they do not fit.
    """
    from safetensors.torch import load_model as load

    from pruneproof.prune.models.checkpoint import build_network
    from pruneproof.prune.models.evaluation import brief

    readable(checkpoint)
    model = build_network(factory, where="--factory")
    try:
        load(model, checkpoint)
    except (RuntimeError, PruneproofError, ValueError) as error:
        remedy = "pass the factory of this checkpoint"
        raise PruneproofError(
            str(checkpoint), required="the factory's weights", received=brief(error), remedy=remedy
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
