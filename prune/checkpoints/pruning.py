"""Prune a checkpoint into a new one: the same files, header byte for byte, with zeros where weights are pruned."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError
from pruneproof.prune.masks.masks import Masks

from .checkpoint import Checkpoint, open_checkpoint
from .output import check_output, copy_entry, new_output
from .roles import Roles, find_layers, require_outputs_first
from .safetensors_file import StoredTensor
from .selection import (
    GivenMasks,
    MagnitudeScores,
    Method,
    RandomScores,
    Recorded,
    Selection,
    scanned_bytes,
    select_streamed,
)
from .streaming import Piece, Progress, Reader, Writer, one_thread, pieces

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class PrunedLayer:
    """What is left of one tensor.

    Args:
        name: Its name in the checkpoint.
        shape: Its dimensions.
        kept: How many weights are kept.
        total: How many there are.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    total: int


@dataclass(frozen=True)
class PrunedCheckpoint:
    """A pruned checkpoint that has been written.

    Args:
        path: The file or folder.
        layers: The tensors that were pruned, each tied weight once.
        roles: What was taken as what; `None` if masks were given.
        copied: Side files and folders that were copied.
        left: Entries of the folder that were not: hidden folders and other files of weights.
    """

    path: Path
    layers: tuple[PrunedLayer, ...]
    roles: Roles | None
    copied: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """How many weights are kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """How many weights could have been pruned."""
        return sum(layer.total for layer in self.layers)

    @property
    def density(self) -> float:
        """The kept fraction."""
        return self.kept / self.total


def prune_checkpoint(
    path: Path,
    out: Path,
    *,
    density: float | None = None,
    method: Method = "magnitude",
    scope: str = "global",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    generator: torch.Generator | None = None,
    masks: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    where: str = "prune_checkpoint",
) -> PrunedCheckpoint:
    """Prune a checkpoint by its weights alone, without its model and in bounded memory.

    Counts and ties are exact: with `scope="global"` the masks are those of `pruneproof.kernels.top_k_masks` on the
    absolute values of all layers, in the order of the files. Files are read once per histogram (one for 16-bit
    weights, two for float32) and once more while they are written; memory holds a few pieces of 8 MB, whatever the
    size. Names, dtypes, metadata, shards and side files stay as they are.

    Args:
        path: A safetensors file or a folder, as in `open_checkpoint`.
        out: The file or folder to write.
        density: The kept fraction of all weights of layers, in (0, 1]; not needed with a pattern.
        method: `"magnitude"` or `"random"`.
        scope: `"global"`, `"layer"`, `"erk"`, `"row"` (one density for every output) or a pattern such as `"2:4"`.
        include: Shell patterns of tensors or modules, as in `find_layers`.
        exclude: The same, for what is left out.
        generator: The source of randomness, for `"random"` alone.
        masks: Where to write the masks too, if anywhere; they take a byte of memory per weight.
        force: Whether to replace an output that exists.
        progress: Called again and again with the number of bytes read so far and in all.
        where: The function or command that the user called, for error messages.

    Returns:
        What was kept, tensor by tensor.

    Raises:
        InvalidValueError: An argument is out of range, the output exists, or a weight is NaN.
        MissingFileError: Something does not exist.
        FileFormatError: Something is malformed.
        FileAccessError: Something cannot be read or written; no output is left then.

    Example:
        >>> import tempfile
        >>> from safetensors.torch import load_file, save_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dense, pruned = Path(folder) / "dense.safetensors", Path(folder) / "pruned.safetensors"
        ...     save_file({"head.weight": torch.tensor([[1.0, -3.0], [2.0, 0.5]])}, dense)
        ...     report = prune_checkpoint(dense, pruned, density=0.5)
        ...     load_file(pruned)
        {'head.weight': tensor([[ 0., -3.],
                [ 2.,  0.]])}
        >>> report.kept, report.total
        (2, 4)
    """
    checkpoint = open_checkpoint(path, where=where)
    check_output(out, path, folder=checkpoint.is_folder, force=force, nbytes=checkpoint.nbytes, where=where)
    roles = find_layers(checkpoint, include=include, exclude=exclude, where=where)
    in_rows = scope == "row" or ":" in scope
    if in_rows:
        require_outputs_first(checkpoint, roles.layers, scope=scope, where=where)
    reader = Reader(where, progress)
    reader.expected = checkpoint.nbytes
    if method == "random":
        if generator is None:
            raise InvalidValueError(f"{where}: the method random needs a generator. Pass torch.Generator().")
        scores = RandomScores([layer.tensor for layer in roles.layers], generator)
    else:
        scores = MagnitudeScores(reader)
        reader.expected += scanned_bytes(roles.layers, scope)
    with nullcontext() if in_rows else one_thread():  # sorting rows is worth more threads
        selection = select_streamed(roles.layers, scores, density=density, scope=scope, where=where)
        if masks is None:
            return _written(checkpoint, out, selection, roles, reader, where)
        recorded = Recorded(selection, [layer.tensor for layer in roles.layers])
        report = _written(checkpoint, out, recorded, roles, reader, where)
    Masks(recorded.masks).save(masks)
    return report


def write_masked(
    checkpoint: Checkpoint, out: Path, masks: dict[str, Tensor], *, progress: Progress | None = None, where: str
) -> PrunedCheckpoint:
    """Write a copy of a checkpoint with given masks; `check_output` has been called.

    Args:
        checkpoint: The dense checkpoint.
        out: The file or folder to write.
        masks: Name of a tensor in the checkpoint → what to keep of it.
        progress: Called again and again with the number of bytes read so far and in all.
        where: The function or command that the user called, for error messages.

    Returns:
        What was kept of each layer, and which files were copied.
    """
    reader = Reader(where, progress)
    reader.expected = checkpoint.nbytes
    with one_thread():
        return _written(checkpoint, out, GivenMasks(masks), None, reader, where)


def _written(
    checkpoint: Checkpoint,
    out: Path,
    selection: Selection,
    roles: Roles | None,
    reader: Reader,
    where: str,
) -> PrunedCheckpoint:
    counts = dict[str, int]()
    copied: list[Path] = []
    left: list[Path] = []
    with new_output(out, folder=checkpoint.is_folder, where=where) as partial:
        if checkpoint.saved is not None:
            _save_torch_file(checkpoint, partial, selection, counts, reader)
        else:
            _write_files(checkpoint, partial, selection, counts, reader)
        if checkpoint.is_folder:
            copied, left = checkpoint.side_files()
            for entry in copied:
                copy_entry(entry, partial / entry.name)
    copies = set() if roles is None else {copy.name for layer in roles.layers for copy in layer.copies}
    layers = [
        PrunedLayer(tensor.name, tensor.shape, counts[tensor.name], tensor.numel)
        for tensor in checkpoint.tensors
        if tensor.name in counts and tensor.name not in copies
    ]
    names = [tuple(entry.name for entry in entries) for entries in (copied, left)]
    return PrunedCheckpoint(out, tuple(layers), roles, *names)


def _write_files(
    checkpoint: Checkpoint, partial: Path, selection: Selection, counts: dict[str, int], reader: Reader
) -> None:
    """Copy all files, with zeros where weights are pruned."""
    begun = 0
    with Writer() as writer:

        def begin_until(path: Path | None) -> None:
            nonlocal begun
            while begun < len(checkpoint.files) and (not begun or checkpoint.files[begun - 1].path != path):
                file = checkpoint.files[begun]
                writer.begin_file(partial / file.path.name if checkpoint.is_folder else partial, file.header)
                begun += 1

        for piece, content in _pruned_pieces(checkpoint.tensors, selection, counts, reader):
            begin_until(piece.tensor.file)
            writer.write(content)
        begin_until(None)


def _save_torch_file(
    checkpoint: Checkpoint, target: Path, selection: Selection, counts: dict[str, int], reader: Reader
) -> None:
    """Prune the tensors in memory, and save the object that holds them."""
    pruned = [tensor for tensor in checkpoint.tensors if selection.unit(tensor) is not None]
    for piece, content in _pruned_pieces(pruned, selection, counts, reader):
        tensor = piece.tensor
        assert tensor.content is not None
        first = piece.first * (tensor.nbytes // tensor.numel)
        tensor.content[first : first + len(content)] = content
    with target.open("xb") as file:
        torch.save(checkpoint.saved, file)
        file.flush()
        os.fsync(file.fileno())


def _pruned_pieces(
    tensors: Sequence[StoredTensor], selection: Selection, counts: dict[str, int], reader: Reader
) -> Iterator[tuple[Piece, Tensor]]:
    """All pieces with their bytes, zeros where weights are pruned; counts what each tensor keeps."""
    units = {tensor.name: selection.unit(tensor) for tensor in tensors}
    keep: Callable[[Piece, Tensor], Tensor] | None = None
    for piece, content in reader.read(p for tensor in tensors for p in pieces(tensor, units[tensor.name] or 1)):
        tensor = piece.tensor
        if units[tensor.name] is None:
            yield piece, content
            continue
        if piece.first == 0:
            keep = selection.begin(tensor)
            counts[tensor.name] = selection.kept(tensor) or 0
        assert keep is not None
        kept = keep(piece, content)
        if selection.kept(tensor) is None:
            counts[tensor.name] += int(kept.count_nonzero())
        content.view(_INTEGERS[tensor.nbytes // tensor.numel]).mul_(kept)  # bits: what is pruned is +0, also −x and NaN
        yield piece, content
