"""A result belongs to the bytes that were read: data sets have identities, downloads are held to published hashes."""

import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pruneproof.claims.claim import Scale
from pruneproof.claims.data import download as downloads
from pruneproof.claims.data.digits import identify_digits
from pruneproof.claims.data.download import download
from pruneproof.claims.data.images import digits_label, read_images
from pruneproof.claims.data.known import CIFAR10, FASHION_MNIST, IDX_FILES, KnownSet
from pruneproof.claims.data.mnist import identify_mnist
from pruneproof.claims.data.root import SYSTEM_FOLDERS, VARIABLE
from pruneproof.claims.engine.cell import task
from pruneproof.claims.pretraining import pt5_digits
from pruneproof.cli import main
from pruneproof.errors import FileAccessError, FileFormatError, PruneproofError, UnknownNameError
from tests.claims.idx_files import write_idx


def brought(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The cells of PT5 that use the user's data."""
    monkeypatch.setenv(VARIABLE, str(folder))
    return [cell for cell in pt5_digits.grid(Scale.STANDARD, 1) if cell["data"] != digits_label()]


def keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    return {task(pt5_digits.measure, cell).key for cell in brought(folder, monkeypatch)}


def test_two_data_sets_have_no_key_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--resume` with another `--data-root` computes other cells."""
    first, second = write_idx(tmp_path / "a", 0), write_idx(tmp_path / "b", 1)
    assert keys(first, monkeypatch)
    assert not keys(first, monkeypatch) & keys(second, monkeypatch)


def test_the_same_data_elsewhere_or_compressed_keep_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, zipped = write_idx(tmp_path / "a", 0), write_idx(tmp_path / "b", 0, zipped=True)
    shutil.copytree(first, tmp_path / "c")
    assert keys(first, monkeypatch) == keys(tmp_path / "c", monkeypatch) == keys(zipped, monkeypatch)


def test_files_that_change_in_place_change_their_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = keys(write_idx(tmp_path / "a", 0), monkeypatch)
    shutil.rmtree(tmp_path / "a")
    assert not first & keys(write_idx(tmp_path / "a", 1), monkeypatch)


def test_more_images_than_there_are_cannot_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """120 images: no cell has more, and one that is made by hand is refused."""
    cells = brought(write_idx(tmp_path / "a", 0), monkeypatch)
    assert cells and all(cell["m"] <= 120 for cell in cells)
    with pytest.raises(PruneproofError, match="there are 120"):
        pt5_digits.measure(cells[0] | {"m": 12_800})


def test_the_cells_of_other_data_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell, *_) = brought(write_idx(tmp_path / "a", 0), monkeypatch)
    monkeypatch.setenv(VARIABLE, str(write_idx(tmp_path / "b", 1)))
    read_images.cache_clear()  # as in another process
    with pytest.raises(FileFormatError, match="the cell needs unknown IDX data"):
        pt5_digits.measure(cell)


def test_a_data_root_that_holds_nothing_usable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--claim", "PT5", "--data-root", "empty"]) == 2
    assert "holds neither" in capsys.readouterr().err and not (tmp_path / "report").exists()


def test_the_bundled_digits_are_known() -> None:
    assert identify_digits().known and identify_digits().train == 1437


@pytest.mark.skipif(not SYSTEM_FOLDERS[0].is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_fashion_mnist_is_known() -> None:
    identity = identify_mnist(SYSTEM_FOLDERS[0])
    assert (identity.name, identity.train, identity.test, identity.known) == ("Fashion-MNIST", 60_000, 10_000, True)


def test_unknown_data_are_listed_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert main(["data", "--data-root", str(write_idx(tmp_path / "a", 0))]) == 0
    out = capsys.readouterr().out
    assert "digits of scikit-learn: 1,437 + 360 images" in out and "unknown IDX data (sha256" in out
    assert "120 + 10 images" in out and "MNIST:" not in out.replace("Fashion-MNIST:", "")


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server on this machine with the four files of a small set, and an archive of six others."""
    folder = tmp_path / "served"
    write_idx(folder, 0, zipped=True)
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        for name in CIFAR10.files:
            member = tarfile.TarInfo(f"../cifar-10-batches-bin/{name}")
            member.size = 5
            archive.addfile(member, io.BytesIO(b"12345"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def small(folder: Path, names: list[str], **wrong: str) -> KnownSet:
    archives = {name: sha256((folder / name).read_bytes()).hexdigest() for name in names} | wrong
    return KnownSet("small", "A small set", {}, archives=archives)


IDX = [f"{name}.gz" for name in IDX_FILES]


def test_a_download_brings_all_files(address: str, tmp_path: Path) -> None:
    target = download(small(tmp_path / "served", IDX), tmp_path / "root", address=address)
    assert sorted(file.name for file in target.iterdir()) == sorted(IDX)
    assert identify_mnist(target).train == 120
    assert [folder.name for folder in (tmp_path / "root").iterdir()] == ["small"]


def test_an_archive_is_unpacked_without_its_folders(address: str, tmp_path: Path) -> None:
    """Members that would climb out of the folder do not."""
    target = download(small(tmp_path / "served", ["cifar.tar.gz"]), tmp_path / "root", address=address)
    assert sorted(file.name for file in target.iterdir()) == sorted(CIFAR10.files)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["root", "served"]


def test_a_wrong_hash_leaves_nothing_behind(address: str, tmp_path: Path) -> None:
    wrong = small(tmp_path / "served", IDX, **{IDX[2]: "0" * 64})
    with pytest.raises(FileFormatError, match="another SHA-256") as caught:
        download(wrong, tmp_path / "root", address=address)
    assert "\n" not in str(caught.value) and not (tmp_path / "root").exists()


def test_no_network_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be reached") as caught:
        download(KnownSet("small", "s", {}, archives={"a": "0" * 64}), tmp_path / "r", address="http://127.0.0.1:9/")
    assert "\n" not in str(caught.value) and not (tmp_path / "r").exists()


def test_a_full_disk_leaves_nothing_behind(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> list[Path]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads, "_fetch", full)
    with pytest.raises(FileAccessError, match="No space left"):
        download(FASHION_MNIST, tmp_path / "root", address=address)
    assert not (tmp_path / "root").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match="could not be stored"):
        download(FASHION_MNIST, tmp_path / "file" / "below", address="http://127.0.0.1:9/")


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "get", "minst", "--data-root", str(tmp_path)]) == 2
    assert "Did you mean mnist" in capsys.readouterr().err
    assert main(["data", "fetch"]) == 2
    with pytest.raises(UnknownNameError):
        downloads.known_set("imagenet")
