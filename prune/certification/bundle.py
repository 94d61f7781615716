"""A certificate with all that checking it takes, as one zip file: both networks' weights, the inputs, the versions.

The code that builds the networks is not in it: the reader names a factory, having read it. A bundle comes from a
stranger, so nothing of it is unpacked before its members are known to be the five that belong there, once each and
uncompressed: no name can lead out of the folder, and what is unpacked is no larger than the file itself.
"""

import json
import platform
import shutil
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pruneproof._version import __version__
from pruneproof.errors import FileFormatError
from pruneproof.files import whole_file

from .certificate import read_certificate

CERTIFICATE, ABOUT = "certificate.json", "bundle.json"
WEIGHTS = {"original": "original.safetensors", "pruned": "pruned.safetensors"}
INPUTS = "inputs.safetensors"
MEMBERS = (CERTIFICATE, ABOUT, *WEIGHTS.values(), INPUTS)


def write_bundle(path: Path, content: dict[str, Any], *, original: Path, pruned: Path, data: Path) -> None:
    """Pack a certificate with the files that it is about, atomically.

    Args:
        path: The zip file to write.
        content: As `build_certificate` returns it, with the factories named.
        original, pruned, data: The safetensors files of both networks and of the inputs.

    Raises:
        FileAccessError: A file cannot be read or written.
    """
    packed = {
        **content,
        **{part: {**content[part], "checkpoint": name} for part, name in WEIGHTS.items()},
        "data": {**content["data"], "file": INPUTS},
    }
    factory = content["original"]["factory"]
    about = {
        "factory": factory,
        "check": f"pruneproof check {path.name} --factory {factory}",
        "versions": {"pruneproof": __version__, "torch": version("torch"), "python": platform.python_version()},
    }
    with whole_file(path, "certify") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(CERTIFICATE, json.dumps(packed, indent=1, allow_nan=False))
        archive.writestr(ABOUT, json.dumps(about, indent=1))
        for name, source in zip((*WEIGHTS.values(), INPUTS), (original, pruned, data), strict=True):
            archive.write(source, name)


def unpack_bundle(path: Path, folder: Path) -> Path:
    """Unpack a bundle into a folder, after its members have been checked.

    Args:
        path: The zip file.
        folder: An empty folder.

    Returns:
        The certificate in it.

    Raises:
        FileFormatError: The members are not those of a bundle, a member is damaged, or the certificate is about files
            that are not in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            for name in MEMBERS:
                with archive.open(name) as member, (folder / name).open("wb") as file:
                    shutil.copyfileobj(member, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"check: {path} is a damaged bundle ({error}). Ask for it again.") from error
    content = read_certificate(folder / CERTIFICATE)
    named = {part: _file(content, part, "checkpoint") for part in WEIGHTS}
    if named != WEIGHTS or _file(content, "data", "file") != INPUTS:
        raise FileFormatError(f"check: the certificate in {path} is about files outside of it. Ask for a whole bundle.")
    return folder / CERTIFICATE


def _file(content: dict[str, Any], part: str, key: str) -> object:
    fields = content.get(part)
    return fields.get(key) if isinstance(fields, dict) else None


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = sorted(member.filename for member in members)
    if names != sorted(MEMBERS):
        raise FileFormatError(
            f"check: a bundle holds {', '.join(sorted(MEMBERS))}, once each, but {path} holds "
            f"{', '.join(map(ascii, names[:8])) or 'nothing'}. Nothing was unpacked. Pack it with certify --bundle."
        )
    packed = [member.filename for member in members if member.compress_type or member.flag_bits & 1]
    size = sum(member.file_size for member in members)
    if packed or size > path.stat().st_size:
        what = f"{packed[0]} is compressed or encrypted" if packed else f"its members say they have {size} bytes"
        raise FileFormatError(
            f"check: the members of a bundle are stored as they are, but in {path} {what}. Nothing was unpacked. "
            "Pack it with certify --bundle."
        )
