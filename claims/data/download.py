"""Download published data sets against stored hashes; what arrives damaged or half leaves nothing behind."""

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from pruneproof.environment import require
from pruneproof.errors import FileAccessError, FileFormatError, UnknownNameError, did_you_mean

from .known import KNOWN, KnownSet


def known_set(key: str) -> KnownSet:
    """A data set that can be downloaded.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    by_key = {known.key: known for known in KNOWN}
    if key not in by_key:
        raise UnknownNameError(
            f"data get: no data set is called {key}.{did_you_mean(key, by_key)} The sets are {', '.join(by_key)}."
        )
    return by_key[key]


def download(known: KnownSet, root: Path, *, address: str | None = None, progress: bool = False) -> Path:
    """Download a data set into a folder of its own below a data root.

    Args:
        known: Which one.
        root: The data root; made if absent.
        address: Where its archives lie, if not at their published address.
        progress: Whether to show a bar on standard error.

    Returns:
        The folder, which holds all files, or is as it was if this raises.

    Raises:
        FileFormatError: If a file that arrives has another hash than the published one.
        FileAccessError: If the network, the folder or the disk fails.
        MissingPackageError: If pooch is not installed.
    """
    require("data get", "pooch")
    target = root / ("cifar-10-batches-bin" if known.key == "cifar-10" else known.key)
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    draft: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{known.key}-", dir=root))
        files = _fetch(known, draft, address or known.address, progress)
        target.mkdir(exist_ok=True)
        for file in files:
            file.replace(target / file.name)
    except OSError as error:
        if isinstance(error, FileAccessError):
            raise
        raise FileAccessError(
            f"data get: {known.name} could not be stored in {root}: {error.strerror or error}. "
            "Check permissions and free space, or pass --data-root with another folder."
        ) from None
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return target


def _fetch(known: KnownSet, draft: Path, address: str, progress: bool) -> list[Path]:
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    fetcher = pooch.create(draft, address, registry=dict(known.archives or {}), retry_if_failed=1)
    downloader: Any = pooch.HTTPDownloader(progressbar=progress, timeout=30)  # not what pooch 1.9's own types ask for
    fetched: list[Path] = []
    for name in fetcher.registry:
        try:
            fetched.append(Path(fetcher.fetch(name, downloader=downloader)))
        except requests.RequestException as error:
            raise FileAccessError(
                f"data get: {address}{name} cannot be reached ({type(error).__name__}). "
                "Check the network, or copy the files yourself and pass --data-root."
            ) from None
        except ValueError:
            raise FileFormatError(
                f"data get: {address}{name} has another SHA-256 than the published {known.name}. "
                "Nothing was kept; try again later, or copy the files from elsewhere."
            ) from None
    return [
        file
        for archive in fetched
        for file in (_unpacked(archive) if archive.suffixes[-2:] == [".tar", ".gz"] else [archive])
    ]


def _unpacked(archive: Path) -> list[Path]:
    """The data files of an archive, written beside it without its folders."""
    files: list[Path] = []
    with tarfile.open(archive) as content:
        for member in content:
            data = content.extractfile(member) if member.isfile() and member.name.endswith(".bin") else None
            if data is not None:
                file = archive.with_name(Path(member.name).name)
                with file.open("wb") as out:
                    shutil.copyfileobj(data, out)
                files.append(file)
    archive.unlink()
    return files
