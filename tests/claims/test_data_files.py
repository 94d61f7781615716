"""MNIST and CIFAR-10 are read from small files in their original formats, and anything else is refused."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pruneproof.claims.data.cifar import TEST_FILE, TRAIN_FILES, find_cifar10, flipped_and_shifted, read_cifar10
from pruneproof.claims.data.mnist import find_mnist, read_mnist
from pruneproof.claims.data.root import VARIABLE
from pruneproof.errors import FileFormatError, PruneproofError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2], dtype=np.uint8)


def idx(values: np.ndarray) -> bytes:
    """Two zero bytes, type 8, number of dimensions, big-endian sizes, values."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_mnist(folder: Path, *, zipped: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 5), ("t10k", 2)):
        for kind, values in (("images-idx3-ubyte", PIXELS[:count]), ("labels-idx1-ubyte", LABELS[:count])):
            content = gzip.compress(idx(values)) if zipped else idx(values)
            (folder / f"{part}-{kind}{'.gz' if zipped else ''}").write_bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "mnist", "MNIST/raw"])
def test_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, inside: str) -> None:
    write_mnist(tmp_path / inside, zipped=zipped)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_mnist() == tmp_path / inside
    split = read_mnist()
    assert split.train_x.shape == (5, 28, 28) and split.test_x.shape == (2, 28, 28)
    assert torch.equal((split.train_x * 255).round().byte(), torch.from_numpy(PIXELS[:5]))
    assert split.train_y.tolist() == LABELS[:5].tolist() and split.test_y.tolist() == LABELS[:2].tolist()


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "header cut": lambda content: content[:9],
    "values cut": lambda content: content[:-1],
    "too long": lambda content: content + b"\0",
    "another type": lambda content: content[:2] + b"\x0d" + content[3:],
    "little-endian sizes": lambda content: content[:4] + content[7:3:-1] + content[8:],
    "huge sizes": lambda content: content[:4] + b"\xff" * 12 + content[16:],
    "not gzip": lambda content: b"\x1f\x8b nonsense",
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_idx_file_is_refused(tmp_path: Path, fault: str, zipped: bool) -> None:
    write_mnist(tmp_path, zipped=zipped)
    file = tmp_path / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    broken = BROKEN[fault](idx(PIXELS[:5]))
    file.write_bytes(gzip.compress(broken) if zipped and fault != "not gzip" else broken)
    with pytest.raises(FileFormatError, match="IDX file train-images"):
        read_mnist(tmp_path)


def test_mnist_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_mnist(tmp_path, zipped=False)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:3]))
    with pytest.raises(PruneproofError, match="2 images, 3 labels"):
        read_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(PruneproofError, match="--data-root"):
        read_mnist(tmp_path)


def write_cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Six files of three records: a byte of label, then red, green and blue planes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 10, (6, 3), dtype=np.uint8)
    images = generator.integers(0, 256, (6, 3, 3, 32, 32), dtype=np.uint8)
    for file, label, image in zip((*TRAIN_FILES, TEST_FILE), labels, images, strict=True):
        records = (bytes([number]) + picture.tobytes() for number, picture in zip(label, image, strict=True))
        (folder / file).write_bytes(b"".join(records))
    return images, labels


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    images, labels = write_cifar(tmp_path / inside)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_cifar10() == tmp_path / inside
    with pytest.warns(UserWarning, match="not CIFAR-10 but unknown data in CIFAR-10's format"):  # three records a file
        split = read_cifar10()
    assert torch.equal((split.train_x * 255).round().byte(), torch.from_numpy(images[:5].reshape(15, 3, 32, 32)))
    assert split.train_y.tolist() == labels[:5].flatten().tolist() and split.test_y.tolist() == labels[5].tolist()
    assert split.train_x.dtype == torch.float32 and split.train_y.dtype == torch.int64


def test_a_broken_cifar_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path)
    whole = (tmp_path / TEST_FILE).read_bytes()
    for content in (b"", whole[:-1], bytes([10]) + whole[1:], b"\x80" + whole):
        (tmp_path / TEST_FILE).write_bytes(content)
        with pytest.raises(PruneproofError, match="binary version of CIFAR-10"):
            read_cifar10(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_cifar10() is None
    with pytest.raises(PruneproofError, match="--data-root"):
        read_cifar10()


def test_flips_and_shifts_move_whole_images() -> None:
    """Every result is one of the 9 × 9 × 2 windows of the padded image, and both flips and most shifts occur."""
    image = torch.arange(1.0, 2 * 36 + 1).view(1, 2, 6, 6)
    padded = torch.nn.functional.pad(image, [4] * 4)[0]
    windows = {}
    for down in range(9):
        for right in range(9):
            window = padded[:, down : down + 6, right : right + 6]
            windows[window.numpy().tobytes()] = (down, right, False)
            windows[window.flip(2).contiguous().numpy().tobytes()] = (down, right, True)
    drawn = flipped_and_shifted(image.expand(2000, 2, 6, 6), torch.Generator().manual_seed(0))
    seen = {windows[picture.contiguous().numpy().tobytes()] for picture in drawn}
    assert len(seen) == 162  # each of 162 is missed with probability (1 − 1/162)^2000 < 5e-6
    assert drawn.shape == (2000, 2, 6, 6)
    again = flipped_and_shifted(image.expand(2000, 2, 6, 6), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
