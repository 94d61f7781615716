"""Read files piece by piece ahead of the computation, write behind it, in a fixed amount of memory.

One thread reads the next pieces while the caller works on the present one, and one writes the pieces before it. All
pieces live in a ring of a few buffers, so that memory does not depend on the size of the files. Files are read by
`readinto`, not mapped: mapped pages would count as the memory of the process.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from pruneproof.errors import FileAccessError

from .safetensors_file import StoredTensor

PIECE = 1 << 22  # bytes per piece: long enough for the disk, short enough for the memory
_AHEAD = 6  # pieces read or being read while one is computed on
_BEHIND = 4  # pieces waiting to be written

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Piece:
    """Consecutive entries of a tensor.

    Args:
        tensor: Where they come from.
        first: The index of the first one in the flattened tensor.
        count: How many there are.
    """

    tensor: StoredTensor
    first: int
    count: int


def pieces(tensor: StoredTensor, unit: int = 1) -> Iterator[Piece]:
    """Cut a tensor into pieces of whole units, such as rows; the number of entries per piece is a multiple of 8 too.

    Example:
        >>> tensor = StoredTensor("weight", "F32", (3, 1 << 20), Path("model.safetensors"), 64, 12 << 20)
        >>> [(piece.first, piece.count) for piece in pieces(tensor, 1 << 20)]
        [(0, 1048576), (1048576, 1048576), (2097152, 1048576)]
    """
    if not tensor.numel:
        return
    size = tensor.nbytes // tensor.numel
    step = math.lcm(unit, 8)
    step *= max(1, PIECE // size // step)
    for first in range(0, tensor.numel, step):
        yield Piece(tensor, first, min(step, tensor.numel - first))


@contextmanager
def one_thread() -> Generator[None]:
    """Let torch compute on one thread: between pieces, more of them would spin on the cores that read and write."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Reader:
    """Reads pieces in a thread of its own, a few ahead of the caller.

    Args:
        where: The function or command that the user called, for error messages.
        progress: Called after each piece with the number of bytes read so far and in all.
    """

    def __init__(self, where: str, progress: Progress | None = None) -> None:
        self._where = where
        self._progress = progress
        self._done = 0
        self.expected = 0  # bytes that will be read in all
        self._ring: list[bytearray] = []

    def read(self, parts: Iterable[Piece]) -> Iterator[tuple[Piece, Tensor]]:
        """Yield each piece with its bytes as a uint8 tensor, which holds until `_BEHIND` more pieces were taken."""
        waiting = deque[tuple[Piece, Future[Tensor]]]()
        files = dict[Path, FileIO]()
        with ThreadPoolExecutor(1) as pool:
            try:
                for position, piece in enumerate(parts):
                    waiting.append((piece, pool.submit(self._read, piece, position, files)))
                    if len(waiting) > _AHEAD:
                        yield self._next(waiting)
                while waiting:
                    yield self._next(waiting)
            finally:
                for _, future in waiting:
                    future.cancel()
                pool.shutdown()
                for file in files.values():
                    file.close()

    def _next(self, waiting: deque[tuple[Piece, Future[Tensor]]]) -> tuple[Piece, Tensor]:
        piece, future = waiting.popleft()
        content = future.result()
        if self._progress is not None:
            self._done += len(content)
            self._progress(self._done, max(self._done, self.expected))
        return piece, content

    def _read(self, piece: Piece, position: int, files: dict[Path, FileIO]) -> Tensor:
        tensor = piece.tensor
        size = tensor.nbytes // tensor.numel
        view = self._buffer(position, piece.count * size)
        buffer = torch.frombuffer(view, dtype=torch.uint8)
        if tensor.content is not None:
            return buffer.copy_(tensor.content[piece.first * size :][: len(view)])
        done = 0
        try:
            if tensor.file not in files:
                files[tensor.file] = FileIO(tensor.file)
            files[tensor.file].seek(tensor.start + piece.first * size)
            while done < len(view):
                got = files[tensor.file].readinto(view[done:])
                if not got:
                    raise OSError("it ended early")
                done += got
        except OSError as error:
            raise FileAccessError(
                f"{self._where}: {tensor.file} cannot be read to its end ({error}). It was changed while it was being "
                "read, or the disk has a fault."
            ) from None
        return buffer

    def _buffer(self, position: int, length: int) -> memoryview:
        """The buffer of a piece: the ring is longer than the number of pieces in use at a time."""
        slots = _AHEAD + _BEHIND + 2
        while len(self._ring) < slots:
            self._ring.append(bytearray())
        slot = position % slots
        if len(self._ring[slot]) < length:
            self._ring[slot] = bytearray(length)
        return memoryview(self._ring[slot])[:length]


def read_tensor(tensor: StoredTensor, *, where: str) -> Tensor:
    """Read one whole tensor of a dtype that torch has.

    Args:
        tensor: Where it is stored.
        where: The function or command that the user called, for error messages.

    Returns:
        A tensor in memory, of the stored dtype and shape.

    Raises:
        FileAccessError: The file cannot be read to its end.
    """
    content = torch.empty(tensor.nbytes, dtype=torch.uint8)
    size = tensor.nbytes // max(1, tensor.numel)
    for piece, part in Reader(where).read(pieces(tensor)):
        content[piece.first * size :][: len(part)] = part
    assert tensor.dtype is not None
    return content.view(tensor.dtype).view(tensor.shape)


class Writer:
    """Writes files one after the other in a thread of its own, a few pieces behind the caller.

    Files appear under their names at once: give them temporary ones. Leaving the `with` block waits until everything
    lies on the disk (fsync), which another thread waits for while the next file is written.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._flushing = ThreadPoolExecutor(1)
        self._waiting = deque[Future[None]]()
        self._flushed: list[Future[None]] = []
        self._file: FileIO | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end_file()
                for future in self._flushed:
                    future.result()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._flushing.shutdown(cancel_futures=kind is not None)
            if self._file is not None:
                self._file.close()

    def begin_file(self, path: Path, header: bytes) -> None:
        """Go on to another file, which must not exist, and write what it begins with."""
        self._end_file()
        self._file = FileIO(path, "xb")
        self._submit(memoryview(header))

    def _end_file(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        if self._file is not None:
            self._flushed.append(self._flushing.submit(_flush_and_close, self._file))
            self._file = None

    def write(self, content: Tensor) -> None:
        """Append bytes; the tensor must not change until `_BEHIND` more calls."""
        self._submit(content.numpy().data)

    def _submit(self, content: memoryview) -> None:
        assert self._file is not None
        self._waiting.append(self._pool.submit(_write_all, self._file, content))
        while len(self._waiting) > _BEHIND:
            self._waiting.popleft().result()


def _write_all(file: FileIO, content: memoryview) -> None:
    done = 0
    while done < len(content):
        done += file.write(content[done:])


def _flush_and_close(file: FileIO) -> None:
    with file:
        os.fsync(file.fileno())
