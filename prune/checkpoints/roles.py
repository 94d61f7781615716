"""Which tensors of a checkpoint are weights of layers, recognised by names and shapes alone.

Without the model, a tensor named "weight" with two dimensions is taken as a linear layer and one with three to five as
a convolution. Embeddings and normalisations are recognised by the name of their module and left out.

A weight is tied if a file of `torch.save` holds it once under several names. A safetensors file holds every tensor by
itself and cannot say that: tensors of equal content are named as identical and count as separate weights, as in a model
that does not tie them. Only an output layer that repeats an embedding is left out, since models tie these two.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch

from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.prune.models.parameters import instead

from .checkpoint import Checkpoint
from .safetensors_file import StoredTensor
from .streaming import Reader, pieces

_EMBEDDING = re.compile(r"embed|^emb$|^wte$|^wpe$|^shared$|relative_attention_bias|codebook", re.IGNORECASE)
_NORM = re.compile(r"norm|^ln(_|\d|$)|^bn(_|\d|$)", re.IGNORECASE)
_EMBEDDING_BY_NAME = "embedding by its name"
_VETOES = (_EMBEDDING_BY_NAME, "excluded", "identical to")
_SAMPLE = 1 << 12  # bytes
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

Kind = Literal["linear", "convolution"]


@dataclass(frozen=True)
class Layer:
    """The weight of a layer in a checkpoint.

    Args:
        tensor: Its tensor.
        kind: What it was taken for.
        copies: The tensors of its further names: a tied weight that was saved once.
    """

    tensor: StoredTensor
    kind: Kind
    copies: tuple[StoredTensor, ...] = ()


@dataclass(frozen=True)
class Roles:
    """What was taken as what.

    Args:
        layers: The weights that may be pruned, in the order of the files.
        left_out: Name → why a tensor is not among them.
        identical: Names of layers that hold the same numbers but are not known to be tied.
    """

    layers: tuple[Layer, ...]
    left_out: dict[str, str]
    identical: tuple[tuple[str, ...], ...] = ()

    def describe(self) -> str:
        """Several lines: the layers by kind, and what was left out by reason, with names.

        Example:
            >>> from pathlib import Path
            >>> tensor = StoredTensor("head.weight", "F32", (2, 4), Path("model.safetensors"), 64, 32)
            >>> print(Roles((Layer(tensor, "linear"),), {"head.bias": "one dimension"}).describe())
            linear layers: 1 tensor, 8 weights (head.weight)
            left out, one dimension: 1 tensor (head.bias)
        """
        lines: list[str] = []
        for kind, plural in (("linear", "linear layers"), ("convolution", "convolutions")):
            chosen = [layer for layer in self.layers if layer.kind == kind]
            if chosen:
                weights = sum(layer.tensor.numel for layer in chosen)
                names = _named([layer.tensor.name for layer in chosen])
                lines.append(f"{plural}: {_tensors(len(chosen))}, {weights:,} weights {names}")
        tied = [copy.name for layer in self.layers for copy in layer.copies]
        if tied:
            lines.append(f"tied, pruned under all names: {_tensors(len(tied))} {_named(tied)}")
        same = [name for names in self.identical for name in names]
        if same:
            lines.append(
                f"identical but not known to be tied, counted one by one: {_tensors(len(same))} {_named(same)}"
            )
        for reason in dict.fromkeys(self.left_out.values()):
            names = [name for name, why in self.left_out.items() if why == reason]
            lines.append(f"left out, {reason}: {_tensors(len(names))} {_named(names)}")
        return "\n".join(lines)


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"({shown}, …)" if len(names) > 3 else f"({shown})"


def find_layers(
    checkpoint: Checkpoint, *, include: Sequence[str] = (), exclude: Sequence[str] = (), where: str = "find_layers"
) -> Roles:
    """Tell the weights of layers from everything else.

    Args:
        checkpoint: The checkpoint.
        include: Shell patterns; only tensors whose name, or the name of a module around them, matches one are taken.
            One that is spelled out in full is taken even if its module has the name of an embedding.
        exclude: Shell patterns of tensors or modules that are left out.
        where: The function or command that the user called, for error messages.

    Returns:
        The layers, and why the other tensors are none. A tied weight is one layer.

    Raises:
        InvalidValueError: A pattern matches nothing, or no layer is left.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from safetensors.torch import save_file
        >>> from pruneproof.prune.checkpoints import open_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.safetensors"
        ...     save_file({"embed.weight": torch.rand(9, 2), "head.weight": torch.rand(3, 2)}, path)
        ...     roles = find_layers(open_checkpoint(path))
        >>> [layer.tensor.name for layer in roles.layers], roles.left_out
        (['head.weight'], {'embed.weight': 'embedding by its name'})
    """
    _require_matches(checkpoint, include, exclude, where)
    kinds = dict[str, Kind]()
    left_out = dict[str, str]()
    for tensor in checkpoint.tensors:
        kind = _kind(tensor, by_name=tensor.name not in include)
        if tensor.name in checkpoint.unindexed:
            left_out[tensor.name] = "not named by the index"
        elif kind not in ("linear", "convolution"):
            left_out[tensor.name] = kind
        elif not matches(tensor.name, include or ("*",)):
            left_out[tensor.name] = "not among those to include"
        elif matches(tensor.name, exclude):
            left_out[tensor.name] = "excluded"
        else:
            kinds[tensor.name] = kind
    identical = _identical(checkpoint, kinds, left_out, include, where)
    layers = _untied(checkpoint, kinds, left_out)
    if not layers:
        what = Roles((), left_out).describe() or "it holds no tensor"
        raise InvalidValueError(
            f"{where}: {checkpoint.path} has no layer left to prune ({'; '.join(what.splitlines())}). Change the "
            "patterns, or pass the model's factory."
        )
    return Roles(layers, left_out, identical)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches a parameter's name, or the name of a module around it.

    Example:
        >>> matches("encoder.layer.0.weight", ["encoder.*.0"]), matches("encoder.weight", ["enc"])
        (True, False)
    """
    parts = name.split(".")
    around = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return any(fnmatchcase(part, pattern) for pattern in patterns for part in around)


def _require_matches(checkpoint: Checkpoint, include: Sequence[str], exclude: Sequence[str], where: str) -> None:
    """Refuse a pattern that matches no name."""
    names = [tensor.name for tensor in checkpoint.tensors]
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(matches(name, [pattern]) for name in names):
                weights = [t.name for t in checkpoint.tensors if _kind(t, by_name=True) in ("linear", "convolution")]
                raise InvalidValueError(
                    f"{where}: the {option} pattern {pattern!r} matches no tensor of the checkpoint."
                    f"{instead(pattern, names, weights)}"
                )


def _kind(tensor: StoredTensor, *, by_name: bool) -> str:
    """Linear or convolution, or why it is neither; the module's name counts if `by_name`."""
    *modules, last = tensor.name.split(".")
    module = modules[-1] if modules else ""
    dimensions = len(tensor.shape)
    if last != "weight":
        return 'not named "weight"'
    if tensor.dtype not in _FLOATS:
        return f"stored as {tensor.kind}"
    if not 2 <= dimensions <= 5:
        return "one dimension" if dimensions == 1 else f"{dimensions} dimensions"
    if not tensor.numel:
        return "no entries"
    if by_name and _EMBEDDING.search(module):
        return _EMBEDDING_BY_NAME
    if by_name and _NORM.search(module):
        return "normalisation by its name"
    return "linear" if dimensions == 2 else "convolution"


def _untied(checkpoint: Checkpoint, kinds: dict[str, Kind], left_out: dict[str, str]) -> tuple[Layer, ...]:
    """Join the names of tied weights; what is an embedding or excluded under one of them is so under all."""
    groups = dict[str, list[StoredTensor]]()
    for tensor in checkpoint.tensors:
        groups.setdefault(tensor.tied_to or tensor.name, []).append(tensor)
    layers: list[Layer] = []
    for group in groups.values():
        chosen = [tensor for tensor in group if tensor.name in kinds]
        vetoes = [each.name for each in group if left_out.get(each.name, "").startswith(_VETOES)]
        if vetoes:
            left_out |= {tensor.name: f"tied to {vetoes[0]}" for tensor in chosen}
        elif chosen:
            copies = [tensor for tensor in group if tensor is not chosen[0]]
            for tensor in copies:
                left_out.pop(tensor.name, None)
            layers.append(Layer(chosen[0], kinds[chosen[0].name], tuple(copies)))
    return tuple(layers)


def _identical(
    checkpoint: Checkpoint, kinds: dict[str, Kind], left_out: dict[str, str], include: Sequence[str], where: str
) -> tuple[tuple[str, ...], ...]:
    """Find layers of equal content that are not tied, and leave out those that repeat an embedding."""
    found: list[tuple[str, ...]] = []
    for group in _equal_tensors(checkpoint, kinds, left_out, where):
        embedding = next((each.name for each in group if left_out.get(each.name) == _EMBEDDING_BY_NAME), None)
        names = [tensor.name for tensor in group if tensor.name in kinds]
        repeating = [name for name in names if embedding is not None and name not in include]
        for name in repeating:
            del kinds[name]
            left_out[name] = f"identical to {embedding}"
        if embedding is None and len(names) > 1:
            found.append(tuple(names))
    return tuple(found)


def _equal_tensors(
    checkpoint: Checkpoint, kinds: dict[str, Kind], left_out: dict[str, str], where: str
) -> list[list[StoredTensor]]:
    """Group the candidates, and the embeddings that they may repeat, by their content; tied ones count once."""
    similar = dict[tuple[str, tuple[int, ...], bytes], list[list[StoredTensor]]]()
    for tensor in checkpoint.tensors:
        if tensor.tied_to or (tensor.name not in kinds and left_out[tensor.name] != _EMBEDDING_BY_NAME):
            continue
        groups = similar.setdefault((tensor.kind, tensor.shape, _sample(tensor)), [])
        group = next((group for group in groups if _equal(group[0], tensor, where)), None)
        if group is None:
            group = list[StoredTensor]()
            groups.append(group)
        group.append(tensor)
    return [group for groups in similar.values() for group in groups]


def _sample(tensor: StoredTensor) -> bytes:
    """Some bytes from the middle of the tensor: most tensors that differ differ there."""
    if tensor.content is not None:
        return tensor.content[tensor.nbytes // 2 :][:_SAMPLE].numpy().tobytes()
    with tensor.file.open("rb") as file:
        file.seek(tensor.start + tensor.nbytes // 2)
        return file.read(min(_SAMPLE, tensor.nbytes - tensor.nbytes // 2))


def _equal(first: StoredTensor, second: StoredTensor, where: str) -> bool:
    parts = zip(Reader(where).read(pieces(first)), Reader(where).read(pieces(second)), strict=True)
    return all(torch.equal(a, b) for (_, a), (_, b) in parts)


def require_outputs_first(checkpoint: Checkpoint, layers: Sequence[Layer], *, scope: str, where: str) -> None:
    """Refuse a scope that counts along rows if a bias shows that a weight's rows are inputs.

    Raises:
        UnsupportedError: As for the `Conv1D` of GPT-2 and transposed convolutions, whose biases are as long as
            the second dimension.
    """
    shapes = {tensor.name: tensor.shape for tensor in checkpoint.tensors}
    for layer in layers:
        name, (rows, columns, *_) = layer.tensor.name, layer.tensor.shape
        bias = shapes.get(f"{name.removesuffix('weight')}bias")
        if bias == (columns,) != (rows,):
            raise UnsupportedError(
                f"{where}: scope {scope} counts along the inputs of each output, but the weight {name} of shape "
                f"{tuple(layer.tensor.shape)} has {columns} outputs, as its bias shows: it is stored the other way "
                "round, as in GPT-2 and in transposed convolutions. Pass the model's factory, so that its layers "
                "are known."
            )
