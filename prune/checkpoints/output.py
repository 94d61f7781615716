"""Files and folders that appear under their name only when they are complete.

What is written goes to `NAME.partial` beside the output, is flushed to the disk (fsync), and is renamed once. Whatever
stops the writing, a full disk or Ctrl-C, takes the partial output away; after a kill or a power failure it stays, and
nothing lies under the final name.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pruneproof.errors import FileAccessError, InvalidValueError, PruneproofError

_KINDS = {".safetensors": "safetensors", **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), "torch.save")}


def check_output(out: Path, source: Path, *, folder: bool, force: bool, nbytes: int, where: str) -> None:
    """Refuse, before any work, an output that cannot be written or would destroy something.

    Args:
        out: The file or folder to be written.
        source: What it is made from.
        folder: Whether it is a folder.
        force: Whether it may replace what is there.
        nbytes: How long it will be.
        where: The function or command that the user called, for error messages.

    Raises:
        InvalidValueError: It exists and `force` is false, it is the source or lies around or inside of it, or it is
            a folder without a checkpoint.
        FileAccessError: Its folder does not exist, or has too little room.
    """
    kind = "folder" if folder else "file"
    if not out.name:
        raise InvalidValueError(
            f"{where}: the output {out} is a folder without a name of its own. Name the new {kind}."
        )
    if not out.parent.is_dir():
        raise FileAccessError(f"{where}: the folder {out.parent} of the output {out} does not exist. Make it first.")
    real, origin = out.resolve(), source.resolve()
    if real == origin or real in origin.parents or (folder and origin in real.parents):
        raise InvalidValueError(
            f"{where}: the output {out} and the checkpoint {source} overlap. The checkpoint itself is left alone: "
            f"choose another {kind}."
        )
    endings = {_KINDS[file.suffix] for file in (real, origin) if not folder and file.suffix in _KINDS}
    if len(endings) > 1:
        raise InvalidValueError(
            f"{where}: the output {out} is written as the checkpoint {source.name} is, and must be named like it. "
            f"Let it end in {source.suffix}."
        )
    if os.path.lexists(out):
        if out.is_dir() != folder:
            raise InvalidValueError(f"{where}: the output {out} must be a {kind}, as the checkpoint is.")
        if not force:
            raise InvalidValueError(
                f"{where}: the output {out} exists. Choose another name, or have it replaced (--force)."
            )
        if folder and any(out.iterdir()) and not any(out.glob("*.safetensors")):
            raise InvalidValueError(
                f"{where}: the folder {out} holds files but no checkpoint, and is not replaced even by force. "
                "Choose another name."
            )
    partial = _partial(out)
    if os.path.lexists(partial):
        raise InvalidValueError(
            f"{where}: {partial} is left from a run that was killed, or a run that is going on writes it. Remove it "
            "if none is."
        )
    free = shutil.disk_usage(out.parent).free
    if free < nbytes:
        raise FileAccessError(
            f"{where}: the output takes {nbytes:,} bytes, and {out.parent.resolve()} has {free:,} free. Make room, or "
            "choose another disk."
        )


@contextmanager
def new_output(out: Path, *, folder: bool, where: str) -> Generator[Path]:
    """Give the temporary name under which to write; on success it becomes `out`, on failure it is removed.

    Raises:
        FileAccessError: It could not be written.
    """
    partial = _partial(out)
    try:
        if folder:
            partial.mkdir()
        yield partial
        if folder:
            for entry in [partial, *(path for path in partial.rglob("*") if path.is_dir())]:
                _flush(entry)
        _put_in_place(partial, out)
        _flush(out.parent)
    except PruneproofError:
        raise
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
        raise FileAccessError(
            f"{where}: the output {out} could not be written ({reason}). Nothing is left of it; make room, or choose "
            "another place."
        ) from None
    finally:
        _remove(partial)


def copy_entry(source: Path, target: Path) -> None:
    """Copy a file or a folder, links followed, and flush it to the disk."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    for path in [target, *target.rglob("*")] if target.is_dir() else [target]:
        _flush(path)


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _put_in_place(partial: Path, out: Path) -> None:
    """One rename; a folder that is replaced waits under another name until the new one is there."""
    if not out.is_dir():
        partial.replace(out)
        return
    old = out.with_name(f"{out.name}.replaced")
    out.rename(old)
    try:
        partial.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
