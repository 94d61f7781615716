"""Files that are written whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import FileAccessError


@contextmanager
def whole_file(path: Path, where: str) -> Generator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends, and vanishes if it raises.

    A reader, even after a crash, sees the earlier file or the whole new one.

    Args:
        path: The final name. The file is written beside it and renamed.
        where: The function or command that the user called, for the message.

    Yields:
        The open binary file.

    Raises:
        FileAccessError: The file cannot be written: a full disk, a folder that is missing or read-only.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(target, "example") as file:
        ...     _ = file.write(b"1 2 3")
        >>> target.read_text()
        '1 2 3'
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError as error:
            raise FileAccessError(
                f"{where}: {path} cannot be written ({error.strerror or error}). Nothing was left behind; "
                "free some space or choose another path."
            ) from error
    finally:
        draft.unlink(missing_ok=True)
