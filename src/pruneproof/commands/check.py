"""Re-check a certificate file, independently of how it was found."""

import zipfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, cast

import tyro

from pruneproof.errors import FileFormatError, InvalidValueError, MissingFileError
from pruneproof.files import read_json, reading

CHECKERS = {  # a certificate's "kind" → module of pruneproof and function; it returns None or the reason for refusal
    "inequality": "theory.prover.certificate:verify",
}
CHECKERS_OF_FILES = {  # the same for certificates about other files, which they name relative to their own folder
    "network": "prune.certification.certificate:verify",
}
MAX_BYTES = 256 * 2**20

CONFIRMED, REFUSED = 0, 1


def main(
    file: Path,
    /,
    factory: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION", help_behavior_hint="")] = None,
    root: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
) -> int:
    """Re-check a certificate file, independently of how it was found.

    Exit status: 0 if the certificate shows what it says, 1 if not, 2 if the file is no certificate.

    A certificate about networks is recomputed from the files it names. That takes the code that builds them, which is
    imported and run: name it yourself, with --factory. No code is imported because a certificate names it.

    Example: pruneproof check proof.json

    Args:
        file: A certificate as written by `theory.prover.certificate.save` or `pruneproof certify`, or a bundle of it
            with its files, as written by `pruneproof certify --bundle`.
        factory: The function that builds the networks, as package.module:function; must be the one that the
            certificate names.
        root: Folder from which the certificate's paths start; the certificate's own folder if left out.
    """
    with TemporaryDirectory() as folder:
        certificate = _unpacked(file, Path(folder), root)
        status = _checked(file, certificate, factory, root)
    if certificate != file:
        print("  not checked: what bundle.json in it says, the versions that made it and the command that checks it")
    return status


def _unpacked(file: Path, folder: Path, root: Path | None) -> Path:
    """The certificate to read: the file itself, or the one in it if it is a bundle."""
    if not zipfile.is_zipfile(file):
        return file
    from pruneproof.prune.certification.bundle import unpack_bundle

    if root is not None:
        raise InvalidValueError("check: --root is for loose files, and a bundle holds its own. Leave it out.")
    return unpack_bundle(file, folder)


def _checked(file: Path, certificate: Path, factory: str | None, root: Path | None) -> int:
    data = _read(certificate)
    verify = _checker(certificate, data, factory, root)
    start = perf_counter()
    reason = verify(data)
    seconds = perf_counter() - start
    claim = f"{data.get('kind')}, {data.get('verdict')}"
    print(f"{file}: {'confirmed' if reason is None else f'refused, {reason}'} ({claim}; {seconds:.2f} s)")
    if data.get("kind") in CHECKERS:  # what was confirmed: a certificate may be about another inequality than expected
        print(f"  {import_module('pruneproof.theory.prover.certificate').claim(data)}")
    for assumption in _assumptions(data):
        print(f"  {assumption}")
    return CONFIRMED if reason is None else REFUSED


def _assumptions(data: dict[str, object]) -> list[str]:
    """What a certificate about networks was declared to rest on."""
    region = data.get("region")
    listed = cast("dict[str, object]", region).get("assumptions") if isinstance(region, dict) else None
    return [str(line) for line in cast("list[object]", listed)] if isinstance(listed, list) else []


def _read(file: Path) -> dict[str, object]:
    with reading(file, "check"):
        if file.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"check: {file} has more than {MAX_BYTES} bytes, which no certificate has.")
    return read_json(file, "check")


def _checker(
    file: Path, data: dict[str, object], factory: str | None, root: Path | None
) -> Callable[[object], str | None]:
    kind = data.get("kind")
    known = {**CHECKERS, **CHECKERS_OF_FILES}
    if not isinstance(kind, str) or kind not in known:
        raise FileFormatError(f"check: {file} is of kind {kind!r}. A certificate is of kind {' or '.join(known)}.")
    module, _, name = known[kind].partition(":")
    function = getattr(import_module(f"pruneproof.{module}"), name)
    if (factory is None) == (kind in CHECKERS_OF_FILES):
        wanted = "name the code that builds the networks, which will be run: --factory package.module:function"
        raise InvalidValueError(
            f"check: {'an inequality has no networks. Leave --factory out' if factory else wanted}."
        )
    if kind not in CHECKERS_OF_FILES:
        if root is not None:
            raise InvalidValueError("check: --root is for certificates about files, and an inequality has none.")
        return function
    if root is not None and not root.is_dir():
        raise MissingFileError(f"check: there is no folder {root}. Pass the one in which the networks lie.")
    return partial(function, folder=root or file.parent, factory=factory)
