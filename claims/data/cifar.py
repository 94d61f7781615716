"""CIFAR-10 in its original binary format, from the user's data root; nothing is downloaded.

A record is one byte of label and 3,072 bytes of image (1,024 red, 1,024 green, 1,024 blue, row by row); five files
`data_batch_1.bin` … `data_batch_5.bin` to train on and `test_batch.bin` to test on (Krizhevsky 2009).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruneproof.errors import PruneproofError

from .digits import Split
from .root import find_data_root

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32
_SHIFT = 4  # pixels, as published


def find_cifar10() -> Path | None:
    """The folder that holds the six files: the data root itself or its `cifar-10-batches-bin`."""
    root = find_data_root()
    folders = [] if root is None else [root, root / "cifar-10-batches-bin"]
    return next((f for f in folders if all((f / name).is_file() for name in (*TRAIN_FILES, TEST_FILE))), None)


def read_cifar10(folder: Path | None = None) -> Split:
    """Read all six files.

    **Arguments**

    - `folder`: where they lie; by default found under the data root.

    Returns images (n, 3, 32, 32) float32 in [0, 1] and int64 labels.
    Raises `PruneproofError` if there is no such folder, or a file is truncated or holds another format.
    """
    found = folder or find_cifar10()
    if found is None:
        remedy = "pass --data-root with a folder that holds cifar-10-batches-bin"
        raise PruneproofError("read_cifar10", required=f"{TRAIN_FILES[0]} …", received="none", remedy=remedy)
    parts = [_records(found / name) for name in TRAIN_FILES]
    test_x, test_y = _records(found / TEST_FILE)
    return Split(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]), test_x, test_y)


def _records(file: Path) -> tuple[Tensor, Tensor]:
    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        remedy = "unpack the binary version of CIFAR-10 there"
        raise PruneproofError("read_cifar10", required=file.name, received=str(error), remedy=remedy) from None
    if content.size == 0 or content.size % _RECORD or content[::_RECORD].max() > 9:
        remedy = "use the binary version of CIFAR-10, unpacked"
        required = f"records of {_RECORD} bytes with labels 0 to 9"
        raise PruneproofError("read_cifar10", required=required, received=f"{file.name}: something else", remedy=remedy)
    records = torch.from_numpy(content.reshape(-1, _RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32).float() / 255, records[:, 0].long()


def flipped_and_shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and shift each by up to four pixels, filling with zeros.

    **Arguments**

    - `images`: (n, channels, height, width).
    - `generator`: a CPU generator, the only source of randomness.
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
