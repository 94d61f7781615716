"""The file of a set of masks: one bit per weight, in safetensors.

Each mask is a one-dimensional uint8 tensor: bit i of byte j is entry 8j + i of the mask in row-major order, and the
unused bits of the last byte are zero. The metadata names the format, its version, and the shapes as JSON. A reader
refuses whatever deviates and never allocates more than about eight times the file; nothing in a file is executed.
"""

import json
import math
import os
import secrets
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pruneproof.errors import PruneproofError, described

_FORMAT, _VERSION = "pruneproof.masks", "1"
_RESERVED = "__metadata__"
_MOST_DIMENSIONS = 16
_REMEDY = "use a file written by Masks.save"


def write_masks(path: str | PathLike[str], masks: Mapping[str, Tensor]) -> None:
    """Write bool tensors as packed bits to a temporary name, flush it to the disk, and rename it over the target."""
    target = _path("Masks.save", path)
    if _RESERVED in masks:
        required, remedy = f"names other than {_RESERVED}, which safetensors reserves", "name the parameter otherwise"
        raise PruneproofError("Masks.save", required=required, received=_RESERVED, remedy=remedy)
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    metadata = {"format": _FORMAT, "version": _VERSION, "shapes": json.dumps(shapes)}
    content = save({name: _pack(mask) for name, mask in masks.items()}, metadata)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise PruneproofError(
            "Masks.save", required="a folder that can be written to", received=str(error), remedy="choose another path"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_masks(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read what `write_masks` wrote, or refuse it with the reason."""
    source = _path("Masks.load", path)
    if not source.is_file():
        raise PruneproofError("Masks.load", required="a mask file", received=f"no file {path}", remedy=_REMEDY)
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            shapes = _shapes(metadata)
            if set(file.keys()) != set(shapes):
                raise _refusal("one tensor per shape", f"tensors {sorted(file.keys())}, shapes {sorted(shapes)}")
            return {name: _unpack(name, file.get_tensor(name), shape) for name, shape in shapes.items()}
    except (SafetensorError, OSError) as error:
        raise _refusal("a complete safetensors file", str(error)) from error


def _path(where: str, path: str | PathLike[str]) -> Path:
    """The path of a file; refuses what names none."""
    text: object = os.fspath(path) if isinstance(path, str | PathLike) else None
    if not isinstance(text, str) or "\0" in text or not Path(text).name:
        required, remedy = "the path of a file, str or PathLike", "pass e.g. 'masks.safetensors'"
        raise PruneproofError(where, required=required, received=described(path), remedy=remedy)
    return Path(text)


def _refusal(required: str, received: str) -> PruneproofError:
    return PruneproofError("Masks.load", required=required, received=received, remedy=_REMEDY)


def _shapes(metadata: Mapping[str, str]) -> dict[str, list[int]]:
    marks = metadata.get("format"), metadata.get("version")
    if marks != (_FORMAT, _VERSION):
        raise _refusal(f"format {_FORMAT!r} in version {_VERSION!r}", f"{marks[0]!r} in version {marks[1]!r}")
    try:
        shapes = json.loads(metadata.get("shapes", ""))
    except (PruneproofError, ValueError, RecursionError) as error:
        raise _refusal("shapes in JSON", type(error).__name__) from error
    if not isinstance(shapes, dict) or not all(map(_is_shape, shapes.values())):
        raise _refusal("a list of sizes per name", metadata["shapes"][:80])
    return shapes


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size < 2**63 for size in value)
    )


def _pack(mask: Tensor) -> Tensor:
    bits = np.packbits(mask.detach().cpu().reshape(-1).numpy(), bitorder="little")
    return torch.from_numpy(bits)


def _unpack(name: str, packed: Tensor, shape: list[int]) -> Tensor:
    entries = math.prod(shape)
    size = (entries + 7) // 8
    if packed.dtype != torch.uint8 or packed.shape != (size,):
        found = f"{packed.dtype} of shape {tuple(packed.shape)}"
        raise _refusal(f"{size} bytes (uint8) for {name} of shape {tuple(shape)}", found)
    if math.prod(max(entry, 1) for entry in shape) >= 2**63:  # torch multiplies out strides, of empty tensors too
        raise _refusal(f"a shape of {name} that a tensor can have", f"{tuple(shape)}")
    bits = np.unpackbits(packed.numpy(), bitorder="little")
    if bits[entries:].any():
        raise _refusal(f"zeros after the last bit of {name}", "ones")
    return torch.from_numpy(bits[:entries].view(np.bool_)).reshape(shape)
