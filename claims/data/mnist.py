"""Images in the IDX format of MNIST and Fashion-MNIST, plain or gzipped, from the user's data root.

An IDX file starts with two zero bytes, a type code (8: unsigned bytes) and the number of dimensions, then each
dimension as a big-endian 32-bit integer, then the values (LeCun, Cortes, Burges).
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruneproof.errors import FileFormatError, MissingFileError

from .digits import Split
from .known import Identity, identify
from .root import candidate_folders

_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_DIMENSIONS = {"images": 3, "labels": 1}
_UNSIGNED_BYTES = 8
_LIMIT = 1 << 30  # values; MNIST has 47 million


def find_mnist(*, system: bool = False) -> Path | None:
    """The first folder that holds the four files, below the user's data root.

    Args:
        system: Whether to look also where operating systems put data sets.
    """
    return next(find_all(system=system), None)


def find_all(*, system: bool = True) -> Iterator[Path]:
    """Every folder that holds the four files."""
    seen = set[Path]()
    for folder in candidate_folders(system=system):
        if folder.resolve() not in seen and all(_file(folder, name) for name in _NAMES):
            seen.add(folder.resolve())
            yield folder


def read_mnist(folder: Path | None = None) -> Split:
    """Read all four files.

    Args:
        folder: Where they lie; by default found below the data root.

    Returns:
        Images (n, height, width) float32 in [0, 1] and int64 labels.

    Raises:
        MissingFileError: If there is no such folder.
        FileFormatError: If a file is truncated or holds another format.
    """
    train_x, train_y, test_x, test_y = (
        _parsed(file, content, _DIMENSIONS[name.split("-")[1]])
        for name, file, content in _contents(folder or find_mnist())
    )
    _check_pairs(train_x, train_y)
    _check_pairs(test_x, test_y)
    return Split(train_x.float() / 255, train_y.long(), test_x.float() / 255, test_y.long())


def identify_mnist(folder: Path | None = None) -> Identity:
    """Say which data set the four files are: a published one, or unknown IDX data with its hash.

    Args:
        folder: Where they lie; by default found below the data root.

    Raises:
        MissingFileError: If there is no such folder.
        FileFormatError: If a file is truncated or holds another format.
    """
    found = folder or find_mnist()
    files = [] if found is None else [file for name in _NAMES if (file := _file(found, name))]
    return _identified(found, tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=8)
def _identified(folder: Path | None, state: tuple[tuple[Path, int, int], ...]) -> Identity:
    """Cached as long as no file changes; `state` says when and how long each was written."""
    hashes: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, file, content in _contents(folder):
        dimensions = _DIMENSIONS[name.split("-")[1]]
        counts[name] = len(_parsed(file, content, dimensions))
        hashes[f"{name}-idx{dimensions}-ubyte"] = sha256(content).hexdigest()
    return identify("IDX data", hashes, train=counts["train-images"], test=counts["t10k-images"])


def _contents(folder: Path | None) -> Iterator[tuple[str, Path, bytes]]:
    """Name, file and decompressed content of each of the four."""
    files = [None if folder is None else _file(folder, name) for name in _NAMES]
    if folder is None or not all(files):
        where = f"{folder} does not hold them all" if folder else "no data root holds them"
        raise MissingFileError(
            f"read_mnist: the four IDX files {', '.join(_NAMES)} are needed, but {where}. "
            "Pass --data-root with the folder that holds them."
        )
    for name, file in zip(_NAMES, files, strict=True):
        if file is not None:
            yield name, file, _content(file)


def read_idx(file: Path, dimensions: int) -> Tensor:
    """Read one IDX file of unsigned bytes with a known number of dimensions.

    Args:
        file: Plain, or gzipped if its name ends in `.gz`.
        dimensions: 3 for images, 1 for labels.

    Raises:
        FileFormatError: If it is unreadable, truncated, too long or of another kind.
    """
    return _parsed(file, _content(file), dimensions)


def _content(file: Path) -> bytes:
    try:
        return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _refusal(file, str(error)) from None


def _parsed(file: Path, content: bytes, dimensions: int) -> Tensor:
    header = 4 + 4 * dimensions
    try:
        magic = struct.unpack(">I", content[:4])[0]
        sizes = struct.unpack(f">{dimensions}I", content[4:header])
    except struct.error as error:
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
        raise FileFormatError(
            f"read_mnist: every image needs a label 0 to 9, got {len(images)} images, {len(labels)} labels. "
            "Use the four files of one data set."
        )


def _refusal(file: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"read_mnist: {file} is not the IDX file {file.name} ({what}). Use the original file, or download it again."
    )
