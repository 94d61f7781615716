"""MNIST in its original IDX format, plain or gzipped, from the user's data root; nothing is downloaded.

An IDX file starts with two zero bytes, a type code (8: unsigned bytes) and the number of dimensions, then each
dimension as a big-endian 32-bit integer, then the values (LeCun, Cortes, Burges).
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruneproof.errors import PruneproofError

from .digits import Split
from .root import find_data_root

_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_DIMENSIONS = {"images": 3, "labels": 1}
_UNSIGNED_BYTES = 8
_LIMIT = 1 << 30  # values; MNIST has 47 million


def find_mnist() -> Path | None:
    """The folder that holds the four files: the data root itself, its `mnist`, `MNIST` or `MNIST/raw`."""
    root = find_data_root()
    folders = [] if root is None else [root, root / "mnist", root / "MNIST", root / "MNIST" / "raw"]
    return next((folder for folder in folders if all(_file(folder, name) for name in _NAMES)), None)


def read_mnist(folder: Path | None = None) -> Split:
    """Read all four files.

    **Arguments**

    - `folder`: where they lie; by default found under the data root.

    Returns images (n, height, width) float32 in [0, 1] and int64 labels.
    Raises `PruneproofError` if there is no such folder, or a file is truncated or holds another format.
    """
    found = folder or find_mnist()
    files = [None if found is None else _file(found, name) for name in _NAMES]
    if any(file is None for file in files):
        remedy = "pass --data-root with a folder that holds the four IDX files"
        received = str(found) if found else "no data root with them"
        raise PruneproofError("read_mnist", required=", ".join(_NAMES), received=received, remedy=remedy)
    values = [read_idx(file, _DIMENSIONS[name.split("-")[1]]) for file, name in zip(files, _NAMES, strict=True) if file]
    train_x, train_y, test_x, test_y = values
    _check_pairs(train_x, train_y)
    _check_pairs(test_x, test_y)
    return Split(train_x.float() / 255, train_y.long(), test_x.float() / 255, test_y.long())


def read_idx(file: Path, dimensions: int) -> Tensor:
    """Read one IDX file of unsigned bytes with a known number of dimensions.

    Raises `PruneproofError` if it is unreadable, truncated, too long or of another kind.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        header = 4 + 4 * dimensions
        magic = struct.unpack(">I", content[:4])[0]
        sizes = struct.unpack(f">{dimensions}I", content[4:header])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _refusal(file, str(error)) from None
    if magic != (_UNSIGNED_BYTES << 8 | dimensions):
        raise _refusal(file, f"magic number {magic:#010x}")
    if prod(sizes) > _LIMIT or len(content) - header != prod(sizes):
        raise _refusal(file, f"{len(content) - header} bytes for {' × '.join(map(str, sizes))} values")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8, offset=header).copy()).reshape(sizes)


def _file(folder: Path, name: str) -> Path | None:
    kind = "idx3-ubyte" if name.endswith("images") else "idx1-ubyte"
    spellings = (f"{name}-{kind}", f"{name}.{kind}", f"{name}-{kind}.gz", f"{name}.{kind}.gz")
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)


def _check_pairs(images: Tensor, labels: Tensor) -> None:
    if len(images) != len(labels) or len(labels) == 0 or labels.max() > 9:
        received = f"{len(images)} images, {len(labels)} labels"
        remedy = "use the four files of one data set"
        raise PruneproofError("read_mnist", required="a label 0 to 9 per image", received=received, remedy=remedy)


def _refusal(file: Path, received: str) -> PruneproofError:
    remedy = "use the original file, or download it again"
    return PruneproofError("read_mnist", required=f"the IDX file {file.name}", received=received, remedy=remedy)
