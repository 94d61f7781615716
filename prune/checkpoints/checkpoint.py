"""A checkpoint as people have it: one safetensors file, or a folder with an index, shards and side files."""

from dataclasses import dataclass, field
from pathlib import Path

from pruneproof.errors import FileFormatError, MissingFileError
from pruneproof.files import read_json
from pruneproof.prune.models.checkpoint import is_torch_file

from .safetensors_file import SafetensorsFile, StoredTensor, read_header
from .torch_file import read_torch_file

_INDEX = ".safetensors.index.json"
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model on the disk, checked but not read.

    Args:
        path: The file or the folder.
        files: The safetensors files, in the order of their names.
        index: The index of the shards, if there is one.
        unindexed: Names of tensors that the shards hold but the index does not name.
        saved: The object in a file of `torch.save`, whose tensors are in memory.
    """

    path: Path
    files: tuple[SafetensorsFile, ...]
    index: Path | None = None
    unindexed: frozenset[str] = frozenset()
    saved: object = field(default=None, repr=False)

    @property
    def is_folder(self) -> bool:
        """Whether it was given as a folder."""
        return self.path.is_dir()

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All tensors, file by file in the order of their data: the order in which ties are broken."""
        return tuple(tensor for file in self.files for tensor in file.tensors)

    @property
    def nbytes(self) -> int:
        """The length of all safetensors files."""
        return sum(file.nbytes for file in self.files)

    def side_files(self) -> tuple[list[Path], list[Path]]:
        """What else lies in the folder.

        Returns:
            The files and sub-folders that belong to a copy of the checkpoint, and those that do not: hidden
            folders, and other files of weights, which would still hold the dense model.
        """
        weights = {file.path.name for file in self.files}
        others = sorted(entry for entry in self.path.iterdir() if entry.name not in weights)
        left = [entry for entry in others if _is_weights(entry) or (entry.is_dir() and entry.name.startswith("."))]
        return [entry for entry in others if entry not in left], left


def open_checkpoint(path: Path, *, where: str = "open_checkpoint") -> Checkpoint:
    """Find and check the files of a checkpoint; only headers are read, except of files of `torch.save`.

    Args:
        path: A safetensors file, a folder that holds one, a folder with an index and its shards, or a file of
            `torch.save` with a state dict, which is loaded with `weights_only=True`.
        where: The function or command that the user called, for error messages.

    Returns:
        The checkpoint. Nothing stays open.

    Raises:
        MissingFileError: The path, or a shard that the index names, does not exist.
        FileFormatError: A file is truncated, malformed or of another format, or index and shards disagree.
        FileAccessError: A file cannot be read.

    Example:
        >>> import tempfile, torch
        >>> from safetensors.torch import save_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_file({"weight": torch.ones(2, 3)}, Path(folder) / "model.safetensors")
        ...     checkpoint = open_checkpoint(Path(folder))
        >>> [(tensor.name, tensor.kind, tensor.shape) for tensor in checkpoint.tensors]
        [('weight', 'F32', (2, 3))]
    """
    if path.is_file() and is_torch_file(path):
        file, saved = read_torch_file(path, where=where)
        return Checkpoint(path, (file,), saved=saved)
    if not path.is_dir():
        return Checkpoint(path, (read_header(path, where=where),))
    index = _only(sorted(path.glob(f"*{_INDEX}")), path, where)
    if index is None:
        file = _only(sorted(path.glob("*.safetensors")), path, where)
        if file is None:
            raise MissingFileError(
                f"{where}: the folder {path} holds no safetensors file, only {_listed(path)}. Pass the folder of a "
                "model saved in safetensors; a file of torch.save is passed by its own name."
            )
        return Checkpoint(path, (read_header(file, where=where),))
    weight_map = _weight_map(index, where)
    missing = [name for name in sorted(set(weight_map.values())) if not (path / name).is_file()]
    if missing:
        raise MissingFileError(
            f"{where}: {index} names {', '.join(missing)}, which the folder does not hold. Download or copy the "
            "missing shards."
        )
    files = tuple(read_header(path / name, where=where) for name in sorted(set(weight_map.values())))
    unindexed = _compared(weight_map, files, index, where)
    return Checkpoint(path, files, index, unindexed)


def _only(candidates: list[Path], folder: Path, where: str) -> Path | None:
    if len(candidates) > 1:
        names = ", ".join(file.name for file in candidates)
        raise FileFormatError(
            f"{where}: the folder {folder} holds several checkpoints: {names}. Pass one of the files, or move the "
            "others away."
        )
    return candidates[0] if candidates else None


def _listed(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:5]) or "nothing"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _weight_map(index: Path, where: str) -> dict[str, str]:
    """The index's map from tensor to shard; shards lie in the same folder, under plain names."""
    weight_map = read_json(index, where).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FileFormatError(f'{where}: {index} has no "weight_map". Download or save it again.')
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
            raise FileFormatError(
                f"{where}: {index} says that {name} lies in {file!r}, which is no file name. Shards lie beside their "
                "index."
            )
    return weight_map


def _compared(
    weight_map: dict[str, str], files: tuple[SafetensorsFile, ...], index: Path, where: str
) -> frozenset[str]:
    """Refuse an index that names what its shards do not hold; returns what they hold beyond it."""
    held = {(tensor.name, file.path.name) for file in files for tensor in file.tensors}
    absent = [f"{name} in {file}" for name, file in weight_map.items() if (name, file) not in held]
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise FileFormatError(
            f"{where}: {index} names {', '.join(absent[:3])}{more}, but the shards do not hold them. Index and shards "
            "are of different models: download or save them again."
        )
    unindexed = held - set(weight_map.items())
    twice = sorted(name for name, _ in unindexed if name in weight_map)
    if twice:
        raise FileFormatError(
            f"{where}: two shards hold {twice[0]}, and {index} names one of them. Download or save them again."
        )
    return frozenset(name for name, _ in unindexed)


def _is_weights(entry: Path) -> bool:
    return entry.is_file() and (
        entry.suffix in _OTHER_WEIGHTS or (entry.name.endswith(".index.json") and _INDEX not in entry.name)
    )
