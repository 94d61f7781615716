"""Files that are written whole or not at all, and files that are read or refused in one sentence."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from .errors import FileAccessError, FileFormatError, MissingFileError, PruneproofError


@contextmanager
def reading(path: Path, where: str) -> Generator[None]:
    """Say that a file is missing or cannot be read.

    Args:
        path: The file that is read in the block.
        where: The function or command that the user called, for the message.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.

    Example:
        >>> with reading(Path("nowhere.json"), "example"):
        ...     pass
        Traceback (most recent call last):
        pruneproof.errors.MissingFileError: example: there is no file nowhere.json. Check the name.
    """
    try:
        if not path.is_file():
            raise MissingFileError(f"{where}: there is no file {path}. {similar_files(path)}")
        yield
    except PruneproofError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise FileAccessError(f"{where}: {path} cannot be read ({reason}). Check its permissions.") from error


def similar_files(path: Path) -> str:
    """What to do about a file that is not there: the names in its folder that resemble it.

    Args:
        path: The file that was asked for.

    Returns:
        A sentence.

    Example:
        >>> similar_files(Path("nowhere/model.safetensors"))
        'The folder nowhere does not exist either.'
    """
    if path.is_dir():
        return "It is a folder: name a file in it."
    if not path.parent.is_dir():
        return f"The folder {path.parent} does not exist either."
    from difflib import get_close_matches  # only where a name is wrong

    files = sorted(islice(path.parent.iterdir(), 1000), reverse=True)
    stems = {file.stem.casefold(): str(file) for file in files if file.is_file()}  # the suffix alone is no resemblance
    close = get_close_matches(path.stem.casefold(), stems)
    return f"Did you mean {' or '.join(stems[stem] for stem in close)}?" if close else "Check the name."


def read_json(path: Path, where: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        where: The function or command that the user called, for the message.

    Returns:
        Its content.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
        FileFormatError: It is not JSON, or no object.
    """
    with reading(path, where):
        text = path.read_bytes()
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where}: {path} is not JSON ({error}). Save or download it again.") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{where}: {path} holds no JSON object. Save or download it again.")
    return cast("dict[str, Any]", content)


def require_file_name(path: Path, where: str) -> None:
    """Refuse a path that a file cannot be written to because it is a folder or has no name, such as `.`.

    Args:
        path: Where a file is to be written.
        where: The function or command that the user called, for the message.

    Raises:
        FileAccessError: It is such a path.

    Example:
        >>> require_file_name(Path("."), "example")
        Traceback (most recent call last):
        pruneproof.errors.FileAccessError: example: . is a folder, and a file is to be written. Name the file.
    """
    if not path.name or path.is_dir():
        raise FileAccessError(f"{where}: {path} is a folder, and a file is to be written. Name the file.")


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
        FileAccessError: The file cannot be written: a full disk, a folder that is missing or read-only, or the
            name of a folder.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(target, "example") as file:
        ...     _ = file.write(b"1 2 3")
        >>> target.read_text()
        '1 2 3'
    """
    require_file_name(path, where)
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
