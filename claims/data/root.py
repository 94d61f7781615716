"""Where data sets that are not shipped may lie: the folder that the user gives, and where systems put them.

The environment carries the user's folder, so worker processes know it too. A cell names the data set and
its hash, never the folder: a key must not depend on where files lie.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pruneproof.errors import MissingFileError

VARIABLE = "PRUNEPROOF_DATA_ROOT"
SYSTEM_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)  # of Debian's package dataset-fashion-mnist
_BELOW = ("", "mnist", "MNIST", "MNIST/raw", "fashion-mnist", "FashionMNIST/raw", "cifar-10-batches-bin")


def find_data_root() -> Path | None:
    """The folder given by `--data-root` or the environment variable PRUNEPROOF_DATA_ROOT."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def use_data_root(folder: Path) -> None:
    """Make a folder known to this process and to those it starts.

    Args:
        folder: An existing folder.

    Raises:
        MissingFileError: If it is not a folder.
    """
    if not folder.is_dir():
        raise MissingFileError(f"--data-root: {folder} is no folder. Name the folder that holds the data sets.")
    os.environ[VARIABLE] = str(folder.resolve())


def candidate_folders(*, system: bool = False) -> Iterator[Path]:
    """The folders in which files of a data set may lie, the user's first.

    Args:
        system: Whether to look also where operating systems put data sets.
    """
    root = find_data_root()
    if root is not None:
        yield from (root / below for below in _BELOW)
    if system:
        yield from SYSTEM_FOLDERS
