"""Networks and data as files, and the hashes by which a certificate names them.

A network is a factory `package.module:function` that builds the architecture (it is imported and called, so whoever
runs this names it; nothing is imported because a certificate says so), and a safetensors file with its state. A
network's hash covers the name, dtype, shape and bytes of every tensor of its state and the architecture's text; data
are hashed as a tensor too.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pruneproof.errors import (
    FileFormatError,
    InvalidTypeError,
    InvalidValueError,
    MissingPackageError,
    PruneproofError,
    StateError,
    UnknownNameError,
    did_you_mean,
    one_line,
)
from pruneproof.files import reading

_ARCHIVE = b"PK\x03\x04"
_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9"  # of torch before 1.6
_FOREIGN = {  # how files of other formats begin
    _ARCHIVE: "an archive of torch.save",
    _PICKLE: "a pickle of torch.save",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer: the weights themselves were not downloaded (git lfs pull)",
    b"<!": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML page",
}
_COMPUTED = ("inv_freq", "masked_bias")  # buffers that models used to save, and compute today


def load_network(factory: str, checkpoint: Path, *, where: str = "certify") -> nn.Module:
    """Build a network and load its state.

    Args:
        factory: `package.module:function`, callable without arguments, returning an `nn.Module`.
        checkpoint: A safetensors file with the network's state, as in `load_state`.
        where: The function or command that the user called, for error messages.

    Raises:
        PruneproofError: Either cannot be had, or they do not fit.
    """
    model = build_network(factory, where=where)
    load_state(model, load_tensors(checkpoint, where=where), source=checkpoint, where=where)
    return model.eval()


def build_network(factory: str, *, where: str) -> nn.Module:
    """Import a factory `package.module:function` and call it.

    Args:
        factory: What is imported and called; it must return an `nn.Module`.
        where: The option or function that names it, for error messages.

    Raises:
        InvalidValueError: It is not of this form.
        MissingPackageError: Its module cannot be imported.
        UnknownNameError: Its module has no such function.
        StateError: It raises.
        InvalidTypeError: It is no function, or returns something else.
    """
    module, _, name = factory.partition(":")
    if not module or not name:
        raise InvalidValueError(
            f"{where}: {factory!r} names no factory. Write the module, a colon and the function that builds the "
            "network: my_package.nets:resnet20."
        )
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a factory may lie in the working folder
    function = _factory(module, name, where)
    try:
        model = function()
    except (Exception, SystemExit) as error:
        raise StateError(f"{where}: {factory} raised {one_line(error)}. Call it in Python to see where.") from error
    if not isinstance(model, nn.Module):
        raise InvalidTypeError(
            f"{where}: {factory} returned {type(model).__name__}, not a torch.nn.Module. Let it return the network."
        )
    return model


def _factory(module: str, name: str, where: str) -> Callable[[], object]:
    """The function `name` of a module, or the reason why there is none."""
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:  # a module may raise anything; an exit would pass for success
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{module}.".startswith(f"{missing}."):
            reason = f"importing the module {module} raised {one_line(error)}. Import it in Python to see where"
        else:
            near = did_you_mean(missing, _modules_beside(missing))
            reason = (
                f"there is no module {missing}.{near} Run this in the folder that holds it, or name that in PYTHONPATH"
            )
        raise MissingPackageError(f"{where}: {reason}.") from error
    function = getattr(imported, name, None)
    if function is None:
        own = [key for key, value in vars(imported).items() if getattr(value, "__module__", None) == module]
        known = [key for key in own if callable(getattr(imported, key)) and not key.startswith("_")]
        raise UnknownNameError(
            f"{where}: the module {module} has no function {name}.{did_you_mean(name, known)} "
            f"It has {_listed(known) or 'no functions'}."
        )
    if not callable(function):
        raise InvalidTypeError(
            f"{where}: {module}:{name} is of type {type(function).__name__}. Name a function that returns the network."
        )
    return function


def _modules_beside(name: str) -> list[str]:
    """The modules that could have been meant: those of the package, or of the folders beside Python's own."""
    package, dot, _ = name.rpartition(".")
    elsewhere = [folder for folder in sys.path if not folder.startswith((sys.prefix, sys.base_prefix))]
    folders = getattr(sys.modules.get(package), "__path__", elsewhere)
    return [f"{package}{dot}{found.name}" for found in iter_modules(folders)]


def load_tensors(path: Path, *, where: str = "certify") -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Args:
        path: The file.
        where: The function or command that the user called, for error messages.

    Raises:
        MissingFileError: There is none.
        FileFormatError: It is truncated, malformed or of another format.
        FileAccessError: It cannot be read.
    """
    try:
        with reading(path, where):
            return load_file(path)
    except PruneproofError:
        raise
    except (SafetensorError, TypeError, ValueError, RuntimeError) as error:  # the last ones for shapes beyond torch
        raise not_safetensors(path, error, where=where) from None


def not_safetensors(path: Path, error: Exception, *, where: str) -> FileFormatError:
    """The refusal of a file that safetensors cannot read, which names its format if its first bytes show it."""
    with path.open("rb") as file:
        beginning = file.read(32)
    kind = next((kind for magic, kind in _FOREIGN.items() if beginning.startswith(magic)), None)
    if not beginning:
        reason = "empty. Download or save it again."
    elif kind is None and path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        reason = "neither a file of torch.save, as its name says, nor a safetensors file. Download or save it again."
    elif kind is None:
        reason = f"not a complete safetensors file ({one_line(error)}). It may be truncated: download or save it again."
    else:
        reason = f"{kind}, not a safetensors file. Save the state dict by safetensors.torch.save_file."
    return FileFormatError(f"{where}: {path} is {reason}")


def is_torch_file(path: Path) -> bool:
    """Whether a file begins as `torch.save` lets its files begin.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({}, Path(folder) / "state.pt")
        ...     is_torch_file(Path(folder) / "state.pt")
        True
    """
    with path.open("rb") as file:
        return file.read(16).startswith((_ARCHIVE, _PICKLE))


def load_inputs(path: Path, *, where: str = "certify") -> Tensor:
    """The tensor `inputs` of a safetensors file."""
    tensors = load_tensors(path, where=where)
    if "inputs" not in tensors:
        raise FileFormatError(
            f"{where}: {path} holds {_listed(tensors) or 'nothing'}, and no tensor named inputs. Save "
            "{'inputs': tensor} by safetensors.torch.save_file."
        )
    return tensors["inputs"]


def load_state(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: Path,
    allow_missing: bool = False,
    allow_extra: bool = False,
    where: str,
) -> list[str]:
    """Load a state into a model; its numbers are converted to the model's dtype.

    A tied weight may be stored under one or all of its names. What the state has beyond the model is harmless where it
    is a buffer (a tensor of integers, or one that the model computes itself), and so is an integer buffer that is not
    in it.

    Args:
        model: The model, which is changed.
        state: Name → tensor.
        source: The file or folder that it comes from, for error messages.
        allow_missing: Whether parameters may be missing, which then stay as the model has them.
        allow_extra: Whether there may be tensors that the model has not.
        where: The function or command that the user called, for error messages.

    Returns:
        One sentence for each kind of difference that was accepted.

    Raises:
        FileFormatError: Names or shapes differ in another way, or the names of a tied weight hold
            different numbers. The model is as it was.

    Example:
        >>> state = {"weight": torch.ones(1, 2), "bias": torch.ones(1), "steps": torch.tensor(3)}
        >>> load_state(nn.Linear(2, 1), state, source=Path("model.safetensors"), where="prune")
        ['buffers in the file that the model has not: steps']
    """
    own = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    _check_shapes(own, state, source, where)
    _check_tied(own, state, source, where)
    present = {id(own[name]) for name in own.keys() & state.keys()}
    missing = [name for name, value in own.items() if name not in state and id(value) not in present]
    grave = [name for name in missing if isinstance(own[name], nn.Parameter) or own[name].is_floating_point()]
    if grave and not allow_missing:
        raise FileFormatError(
            f"{where}: {source} has no {_listed(grave)}, which the model has. Pass the factory of this checkpoint, or "
            "let the model keep what the factory set (--allow-missing)."
        )
    computed = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    extra = [name for name in state if name not in own]
    unknown = [name for name in extra if name not in computed and not _is_buffer(name, state[name])]
    if unknown and not allow_extra:
        raise FileFormatError(
            f"{where}: {source} holds {_listed(unknown)}, which the model has not. Pass the factory of the whole "
            "model, or allow them to be left as they are (--allow-extra)."
        )
    try:
        model.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)
    except RuntimeError as error:
        raise FileFormatError(f"{where}: {source} does not fit the model ({one_line(error)}).") from None
    accepted = {
        "not in the file, and left as the factory set them": grave,
        "buffers that are not in the file": [name for name in missing if name not in grave],
        "in the file but not in the model, and left alone": unknown,
        "buffers in the file that the model has not": [name for name in extra if name not in unknown],
    }
    return [f"{what}: {_listed(names)}" for what, names in accepted.items() if names]


def _check_shapes(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: Path, where: str) -> None:
    differing = [
        f"{name} of shape {tuple(state[name].shape)} where the model has {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if differing:
        raise FileFormatError(f"{where}: {source} holds {_listed(differing)}. Pass the factory of this checkpoint.")


def _check_tied(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: Path, where: str) -> None:
    """Refuse if one weight of the model is stored twice with different numbers."""
    names = dict[int, str]()
    for name in own:
        first = names.setdefault(id(own[name]), name) if name in state else name
        if first != name and not torch.equal(state[first], state[name]):
            raise FileFormatError(
                f"{where}: {source} holds different numbers for {first} and {name}, which are one weight in the "
                "model. Pass the factory of a model that does not tie them."
            )


def _is_buffer(name: str, tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or name.split(".")[-1] in _COMPUTED


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:5])
    return f"{shown} and {len(every) - 5} more" if len(every) > 5 else shown


def network_hash(model: nn.Module) -> str:
    """SHA-256 of a network's state and architecture.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = network_hash(layer)
        >>> _ = layer.weight.data.add_(1e-3)
        >>> network_hash(layer) == before
        False
    """
    return _hash([("", str(model).encode()), *((name, _bytes(t)) for name, t in sorted(model.state_dict().items()))])


def data_hash(inputs: Tensor) -> str:
    """SHA-256 of a tensor's dtype, shape and bytes."""
    return _hash([("inputs", _bytes(inputs))])


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    head = f"{plain.dtype}{tuple(plain.shape)}".encode()
    return head + bytes(plain.reshape(-1).view(torch.uint8).numpy())


def _hash(parts: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in parts:  # lengths, so that no two lists of parts run together
        digest.update(f"{len(name)}:{name}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
