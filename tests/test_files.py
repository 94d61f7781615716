"""What the library writes in one piece is there whole or not at all, and a failure is one sentence."""

import resource
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sympy

from pruneproof.errors import FileAccessError
from pruneproof.files import whole_file
from pruneproof.prune.certification.certificate import write_certificate
from pruneproof.theory.prover.certificate import save
from pruneproof.theory.prover.search import prove

LONG = b"x" * 1000


@contextmanager
def room_for(size: int) -> Generator[None]:
    """No file may grow beyond this size: what a full disk does, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_bytes(path: Path) -> None:
    with whole_file(path, "write_bytes") as file:
        file.write(LONG)


def write_proof(path: Path) -> None:
    x = sympy.Symbol("x", real=True)
    save(prove(sympy.exp(x) > x, {x: (-2, 2)}), path)


def write_network_certificate(path: Path) -> None:
    write_certificate(path, {"kind": "network", "text": LONG.decode()})


WRITERS = [write_bytes, write_proof, write_network_certificate]


@pytest.mark.parametrize("write", WRITERS)
def test_an_earlier_file_survives_a_full_disk(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write(path)
    before = path.read_bytes()
    with room_for(64), pytest.raises(FileAccessError, match=r"cannot be written.*free some space"):
        write(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_leaves_nothing_behind(write: Callable[[Path], None], tmp_path: Path) -> None:
    with room_for(64), pytest.raises(FileAccessError):
        write(tmp_path / "file.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"write_bytes: .*nowhere"):
        write_bytes(tmp_path / "nowhere" / "file")


def test_an_error_inside_the_block_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path)
    with pytest.raises(ZeroDivisionError), whole_file(path, "test") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == LONG and list(tmp_path.iterdir()) == [path]
