"""The file of a set of masks: one bit per weight, in safetensors.

Each mask is a one-dimensional uint8 tensor: bit i of byte j is entry 8j + i of the mask in row-major
order, and the unused bits of the last byte are zero. The metadata names the format, its version, the
shapes as JSON, and a SHA-256 digest of names, shapes and bits, so that a damaged file is refused and
never becomes other masks. A reader refuses whatever deviates and never allocates more than about
eight times the file; nothing in a file is executed.
"""

import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pruneproof.errors import (
    FileAccessError,
    FileFormatError,
    InvalidValueError,
    MissingFileError,
    PruneproofError,
    described,
    one_line,
)
from pruneproof.files import similar_files

_FORMAT, _VERSION = "pruneproof.masks", "2"
_RESERVED = "__metadata__"
_MOST_DIMENSIONS = 16
_IMPOSSIBLE = (TypeError, ValueError, RuntimeError, OverflowError)  # what readers raise on headers of no tensor


def write_masks(path: str | PathLike[str], masks: Mapping[str, Tensor]) -> None:
    """Write bool tensors as packed bits to a temporary name, flush it to the disk, and rename it over the target.

    Raises:
        FileAccessError: The file cannot be written.
        InvalidValueError: The path or a name cannot be used.
    """
    target = _path("Masks.save", path)
    if _RESERVED in masks:
        raise InvalidValueError(
            f"Masks.save: safetensors reserves the name {_RESERVED}, and a parameter has it. Name it otherwise."
        )
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()})
    packed = {name: _pack(mask) for name, mask in masks.items()}
    metadata = {"format": _FORMAT, "version": _VERSION, "shapes": shapes, "digest": digest(shapes, packed)}
    content = save(packed, metadata)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise FileAccessError(f"Masks.save: {target} cannot be written ({error}). Choose another path.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def digest(shapes: str, packed: Mapping[str, Tensor]) -> str:
    """SHA-256 of the shapes, as they stand in the header, and of the bits in the order of the names.

    Args:
        shapes: JSON of name → list of sizes.
        packed: Name → uint8 tensor.
    """
    result = hashlib.sha256(shapes.encode())
    for name in sorted(packed):
        content = packed[name].contiguous().view(torch.uint8).numpy().tobytes()
        result.update(f"{len(name)}:{name}{len(content)}:".encode())  # lengths, so that no two files run together
        result.update(content)
    return result.hexdigest()


def read_masks(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read what `write_masks` wrote, or refuse it with the reason.

    Raises:
        MissingFileError: There is no such file.
        FileFormatError: It is not what `write_masks` writes.
    """
    source = _path("Masks.load", path)
    if not source.is_file():
        raise MissingFileError(f"Masks.load: there is no file {path}. {similar_files(source)}")
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            shapes = _shapes(metadata)
            if set(file.keys()) != set(shapes):
                raise _refusal(f"its header has shapes of {sorted(shapes)}, but it holds {sorted(file.keys())}")
            packed = {name: file.get_tensor(name) for name in shapes}
    except PruneproofError:
        raise
    except (SafetensorError, OSError, *_IMPOSSIBLE) as error:
        raise _refusal(f"safetensors cannot read it ({one_line(error)})") from error
    masks = {name: _unpack(name, packed[name], shape) for name, shape in shapes.items()}
    if metadata.get("digest") != digest(metadata["shapes"], packed):
        raise _refusal("it is damaged: names, shapes and bits are not those of its digest")
    return masks


def _path(where: str, path: str | PathLike[str]) -> Path:
    """The path of a file; refuses what names none."""
    text: object = os.fspath(path) if isinstance(path, str | PathLike) else None
    if not isinstance(text, str) or "\0" in text or not Path(text).name:
        raise InvalidValueError(
            f"{where}: the path of a file is needed, a string or a PathLike, got {described(path)}. "
            "Pass, for example, 'masks.safetensors'."
        )
    return Path(text)


def _refusal(reason: str) -> FileFormatError:
    return FileFormatError(f"Masks.load: this is no file of masks: {reason}. Use a file written by Masks.save.")


def _shapes(metadata: Mapping[str, str]) -> dict[str, list[int]]:
    marks = metadata.get("format"), metadata.get("version")
    if marks[0] is None:
        raise _refusal("it holds tensors, and its header says nothing of masks")
    if marks != (_FORMAT, _VERSION):
        raise _refusal(
            f"it has the format {marks[0]!r}, version {marks[1]!r}, and not {_FORMAT!r}, version {_VERSION!r}"
        )
    try:
        shapes = json.loads(metadata.get("shapes", ""))
    except (ValueError, RecursionError) as error:
        raise _refusal(f"the shapes in its header are no JSON ({type(error).__name__})") from error
    if not isinstance(shapes, dict) or not all(map(_is_shape, shapes.values())):
        raise _refusal(f"the shapes in its header are not a list of sizes per name, but {metadata['shapes'][:80]}")
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
        raise _refusal(
            f"{name} of shape {tuple(shape)} takes {size} bytes (uint8), but it holds {packed.dtype} of shape "
            f"{tuple(packed.shape)}"
        )
    if math.prod(max(entry, 1) for entry in shape) >= 2**63:  # torch multiplies out strides, of empty tensors too
        raise _refusal(f"no tensor has the shape {tuple(shape)} of {name}")
    bits = np.unpackbits(packed.numpy(), bitorder="little")
    if bits[entries:].any():
        raise _refusal(f"there are ones after the last bit of {name}")
    return torch.from_numpy(bits[:entries].view(np.bool_)).reshape(shape)
