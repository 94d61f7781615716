"""One safetensors file as it lies on the disk: its header byte for byte, and where each tensor's data are."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pruneproof.errors import FileFormatError
from pruneproof.files import reading
from pruneproof.prune.models.checkpoint import not_safetensors

KINDS = {  # the header's name of a dtype → the dtype
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Args:
        name: As in the header.
        kind: The dtype as the header writes it, such as `"BF16"`.
        shape: Its dimensions.
        file: The file that holds it.
        start: Where its data begin in the file, in bytes.
        nbytes: The length of its data.
        content: Its bytes, where they are in memory already.
        tied_to: The name of an earlier tensor with which it shares its memory; files of torch.save keep that.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    file: Path
    start: int
    nbytes: int
    content: Tensor | None = field(default=None, compare=False, repr=False)
    tied_to: str | None = None

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype in torch, `None` if torch has none for it."""
        return KINDS.get(self.kind)

    @property
    def numel(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SafetensorsFile:
    """A safetensors file whose header has been checked against its length.

    Args:
        path: The file.
        header: Everything before the data, as it is in the file.
        metadata: The header's `__metadata__`.
        tensors: The tensors in the order of their data.
        nbytes: The length of the whole file.
    """

    path: Path
    header: bytes
    metadata: dict[str, str]
    tensors: tuple[StoredTensor, ...]
    nbytes: int


def read_header(path: Path, *, where: str) -> SafetensorsFile:
    """Read and check the header of a safetensors file; no data are read.

    Args:
        path: The file.
        where: The function or command that the user called, for error messages.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
        FileFormatError: It is truncated, malformed or of another format.
    """
    try:
        with reading(path, where), safe_open(path, framework="pt") as opened:  # checks offsets, lengths and shapes
            metadata = dict(opened.metadata() or {})
        with reading(path, where), path.open("rb") as file:
            size = file.read(8)
            header = size + file.read(int.from_bytes(size, "little"))
    except SafetensorError as error:
        raise not_safetensors(path, error, where=where) from None
    entries = json.loads(header[8:])
    tensors = [
        StoredTensor(
            name=name,
            kind=entry["dtype"],
            shape=tuple(entry["shape"]),
            file=path,
            start=len(header) + entry["data_offsets"][0],
            nbytes=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in entries.items()
        if name != "__metadata__"
    ]
    for tensor in tensors:
        if math.prod(max(size, 1) for size in tensor.shape) >= 2**63:  # torch multiplies out strides, of empty ones too
            raise FileFormatError(f"{where}: {path} gives {tensor.name} the shape {tensor.shape}, which no tensor has.")
    tensors.sort(key=lambda tensor: (tensor.start, tensor.nbytes))
    return SafetensorsFile(path, header, metadata, tuple(tensors), path.stat().st_size)
