"""CIFAR-10 in its original binary format, from the user's data root; nothing is downloaded.

A record is one byte of label and 3,072 bytes of image (1,024 red, 1,024 green, 1,024 blue, row by row); five files
`data_batch_1.bin` … `data_batch_5.bin` to train on and `test_batch.bin` to test on (Krizhevsky 2009).
"""

import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruneproof.errors import FileFormatError, MissingFileError

from .digits import Split
from .known import Identity, identify
from .root import candidate_folders

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32
_SHIFT = 4  # pixels, as published


def find_cifar10() -> Path | None:
    """The folder that holds the six files: the data root itself or its `cifar-10-batches-bin`."""
    names = (*TRAIN_FILES, TEST_FILE)
    return next((f for f in candidate_folders() if all((f / name).is_file() for name in names)), None)


def read_cifar10(folder: Path | None = None) -> Split:
    """Read all six files; warn if they are not CIFAR-10's.

    Args:
        folder: Where they lie; by default found under the data root.

    Returns:
        Images (n, 3, 32, 32) float32 in [0, 1] and int64 labels.

    Raises:
        MissingFileError: If there is no such folder.
        FileFormatError: If a file is truncated or holds another format.
    """
    contents = _contents(folder or find_cifar10())
    identity = _identity(contents)
    if not identity.known:
        warnings.warn(f"read_cifar10: these files are not CIFAR-10 but {identity.name}", stacklevel=2)
    parts = [_records(contents[name]) for name in TRAIN_FILES]
    test_x, test_y = _records(contents[TEST_FILE])
    return Split(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]), test_x, test_y)


def identify_cifar10(folder: Path | None = None) -> Identity:
    """Say whether the six files are CIFAR-10's, or unknown data in its format, with their hash.

    Args:
        folder: Where they lie; by default found under the data root.

    Raises:
        MissingFileError: If there is no such folder.
        FileFormatError: If a file is truncated or holds another format.
    """
    return _identity(_contents(folder or find_cifar10()))


def _identity(contents: Mapping[str, bytes]) -> Identity:
    hashes = {name: sha256(content).hexdigest() for name, content in contents.items()}
    train = sum(len(contents[name]) // _RECORD for name in TRAIN_FILES)
    return identify("data in CIFAR-10's format", hashes, train=train, test=len(contents[TEST_FILE]) // _RECORD)


def _contents(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        raise MissingFileError(
            f"read_cifar10: no data root holds {TRAIN_FILES[0]} and the five other files. "
            "Pass --data-root with a folder that holds cifar-10-batches-bin."
        )
    contents: dict[str, bytes] = {}
    for name in (*TRAIN_FILES, TEST_FILE):
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise MissingFileError(
                f"read_cifar10: {folder / name} cannot be read ({error.strerror or error}). "
                "Unpack the binary version of CIFAR-10 there."
            ) from None
        if not content or len(content) % _RECORD or max(content[::_RECORD]) > 9:
            raise FileFormatError(
                f"read_cifar10: {folder / name} does not hold records of {_RECORD} bytes with labels 0 to 9. "
                "Use the binary version of CIFAR-10, unpacked."
            )
        contents[name] = content
    return contents


def _records(content: bytes) -> tuple[Tensor, Tensor]:
    records = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy().reshape(-1, _RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32).float() / 255, records[:, 0].long()


def flipped_and_shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and shift each by up to four pixels, filling with zeros.

    Args:
        images: Shape (n, channels, height, width).
        generator: A CPU generator, the only source of randomness.
    """
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [_SHIFT] * 4)
    down, right = torch.randint(2 * _SHIFT + 1, (2, count), generator=generator).to(images.device)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    flip = torch.rand(count, generator=generator).to(images.device) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    example = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[example, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
