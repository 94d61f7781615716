"""Where the user keeps data sets that are not shipped (MNIST, CIFAR-10): a folder, or nothing.

The environment carries it, so worker processes know it too. A claim offers such cells only if the data are there, and
names the data set, never the folder, in its cells: a key must not depend on where files lie.
"""

import os
from pathlib import Path

from pruneproof.errors import PruneproofError

VARIABLE = "PRUNEPROOF_DATA_ROOT"


def find_data_root() -> Path | None:
    """The folder given by `--data-root` or the environment variable PRUNEPROOF_DATA_ROOT."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def use_data_root(folder: Path) -> None:
    """Make a folder known to this process and to those it starts.

    Raises `PruneproofError` if it is not a folder.
    """
    if not folder.is_dir():
        raise PruneproofError(
            "--data-root", required="a folder", received=str(folder), remedy="pass an existing folder"
        )
    os.environ[VARIABLE] = str(folder.resolve())
