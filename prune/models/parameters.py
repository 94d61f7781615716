"""Where the weights of a model's layers are, and which of its parameters a set of names and shapes means.

This module holds the package's one notion of a layer's weights: `prunable` names them, `Layout`
turns them into the matrix that the layer multiplies by, and a weight that is computed from other
tensors (by weight norm, spectral norm, `torch.nn.utils.prune`, …) is refused by name instead of
being passed over.

Prunable are the weights of linear, convolutional, attention and recurrent layers, the output layer
included; never biases, normalisation or embeddings. Names are those of `named_parameters()` of the
plain module: the wrappers of `torch.compile` and `DistributedDataParallel` do not show in them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from pruneproof.checks import require_type
from pruneproof.errors import (
    InvalidTypeError,
    InvalidValueError,
    StateError,
    UnknownNameError,
    UnsupportedError,
    described,
    did_you_mean,
)

from .shards import require_named

Patterns = str | Sequence[str]  # shell patterns of the names of parameters and modules

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # of nn.MultiheadAttention
_CELL = ("weight_ih", "weight_hh")


@dataclass(frozen=True)
class Layout:
    """How a weight tensor forms the (outputs, inputs × kernel) matrix by which its layer multiplies.

    Most layers store outputs first, so that flattening the other dimensions gives the matrix.
    Transposed convolutions and the `Conv1D` of Hugging Face store inputs first.

    Args:
        inputs_first: Whether dimension 0 of the tensor counts inputs.
        groups: Groups of a convolution; each reads its own inputs.

    Example:
        >>> Layout(inputs_first=True).matrix(torch.arange(6).reshape(2, 3))
        tensor([[0, 3],
                [1, 4],
                [2, 5]])
    """

    inputs_first: bool = False
    groups: int = 1

    def matrix(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as (outputs, inputs × kernel); of a bias, one row.

        Args:
            tensor: The weight, or its mask or scores.
        """
        if tensor.ndim < 2:
            return tensor.reshape(1, -1)
        if self.inputs_first:
            tensor = _groups_first(tensor, self.groups).transpose(1, 2).flatten(0, 1)
        return tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))

    def row_length(self, shape: torch.Size) -> int:
        """The number of weights of one output, the columns of the matrix."""
        if len(shape) < 2:
            return shape.numel()
        return shape[2:].numel() * (shape[0] // self.groups if self.inputs_first else shape[1])

    def tensor(self, matrix: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `matrix`.

        Args:
            matrix: (outputs, inputs × kernel).
            shape: The shape of the weight.
        """
        if len(shape) < 2 or not self.inputs_first:
            return matrix.reshape(shape)
        inputs, outputs, kernel = shape[0] // self.groups, shape[1], shape[2:]
        return matrix.reshape(self.groups, outputs, inputs, *kernel).transpose(1, 2).reshape(shape)


def _groups_first(tensor: Tensor, groups: int) -> Tensor:
    """(inputs, outputs of a group, …) as (groups, inputs of a group, outputs of a group, …)."""
    return tensor.reshape(groups, tensor.shape[0] // groups, *tensor.shape[1:])


OUTPUTS_FIRST = Layout()


def prunable(model: nn.Module, *, include: Patterns = (), exclude: Patterns = ()) -> dict[str, nn.Parameter]:
    """Name the weights that pruning may remove, in the order of `named_parameters()`.

    These are the weights of `nn.Linear`, of all (also transposed) convolutions, of the projections
    inside `nn.MultiheadAttention`, of recurrent layers and cells (`weight_ih…`, `weight_hh…`,
    `weight_hr…`), and of the class `Conv1D` by which Hugging Face writes a linear layer; subclasses
    included. A weight shared by several layers is named once; one shared with an embedding is an
    embedding.

    Args:
        model: Any module; looked through if wrapped by `torch.compile` or
            `DistributedDataParallel`.
        include: Shell patterns such as `"encoder.*"` of the parameters or modules that may be
            pruned; a module stands for all its parameters. Everything if empty.
        exclude: Patterns of what stays dense.

    Returns:
        Parameter name → the model's own parameter.

    Raises:
        UnsupportedError: A weight is computed from other tensors (weight norm, spectral norm,
            another parametrization, `torch.nn.utils.prune`), or the model is wrapped by
            `FullyShardedDataParallel`.
        StateError: A weight has not been initialised yet (lazy modules).
        UnknownNameError: A pattern matches nothing, or the patterns leave nothing to prune.
        InvalidValueError: There is nothing to prune in the model.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
        >>> list(prunable(net)), list(prunable(net, exclude="3"))
        (['0.weight', '3.weight'], ['0.weight'])
    """
    return find_prunable("prunable", model, include, exclude)


def find_prunable(
    where: str, model: nn.Module, include: Patterns = (), exclude: Patterns = ()
) -> dict[str, nn.Parameter]:
    """`prunable` on behalf of a public function, which its errors name."""
    require_type(where, model, nn.Module, "the model must be a torch.nn.Module", "Pass the module itself.")
    plain = unwrapped(model)
    require_named(where, plain)
    computed, every = computed_weights(plain), weights_by_name(plain)
    chosen = _chosen(where, plain, [*every, *(weight.name for weight in computed)], include, exclude)
    for weight in computed:
        if weight.name in chosen:
            _refuse_computed(where, weight)
    named = dict(plain.named_parameters())
    names = dict[int, list[str]]()  # a tied weight goes by each of its names
    for name, parameter in every.items():
        names.setdefault(id(parameter), []).append(name)
    weights = {n: p for n, p in named.items() if id(p) in names and all(x in chosen for x in names[id(p)])}
    if not weights and any(".quantized" in type(module).__module__ for module in plain.modules()):
        raise InvalidValueError(
            f"{where}: the layers of {type(plain).__name__} are quantised, and their packed weights cannot be pruned. "
            "Prune the model first and quantise it afterwards."
        )
    if not weights:
        raise InvalidValueError(
            f"{where}: {type(plain).__name__} has no weight of a linear, convolutional, attention or recurrent layer. "
            "Pass scores of your own choice of parameters to select."
        )
    for name, parameter in weights.items():
        if isinstance(parameter, UninitializedParameter):
            raise StateError(f"{where}: {name} has no shape yet (a lazy module). Run one forward pass first.")
    return weights


def weights_by_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of layers under all their names; one that is shared with an embedding is an embedding."""
    weights = {id(weight) for module in model.modules() for weight in _weights(module)}
    weights -= {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    return {name: p for name, p in model.named_parameters(remove_duplicate=False) if id(p) in weights}


def _chosen(where: str, model: nn.Module, weights: list[str], include: Patterns, exclude: Patterns) -> set[str]:
    """The names of weights that the patterns let be pruned; refuses patterns that match nothing or leave nothing."""
    included, excluded = _patterns(where, "include", include), _patterns(where, "exclude", exclude)
    everything = [*(name for name, _ in model.named_parameters(remove_duplicate=False)), *weights]
    for argument, patterns, names in (("include", included, weights), ("exclude", excluded, everything)):
        for pattern in patterns:
            if not any(_matches(name, [pattern]) for name in names):
                kind = "prunable weight" if argument == "include" else "parameter or module"
                raise UnknownNameError(
                    f"{where}: the {argument} pattern {pattern!r} matches no {kind} of the model."
                    f"{instead(pattern, names, weights)}"
                )
    same = dict[int, list[str]]()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        same.setdefault(id(parameter), []).append(name)
    groups = [*same.values(), *([name] for name in weights)]
    left = set(weights)
    if included:
        left &= {n for group in groups if any(_matches(name, included) for name in group) for n in group}
    left -= {n for group in groups if any(_matches(name, excluded) for name in group) for n in group}
    if weights and not left:
        raise UnknownNameError(
            f"{where}: the patterns leave nothing to prune (include={list(included) or 'everything'}, "
            f"exclude={list(excluded)}). The model has {len(weights)} prunable weights, the first of them {weights[0]}."
        )
    return left


def _patterns(where: str, argument: str, patterns: Patterns) -> tuple[str, ...]:
    given: object = patterns
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in cast("list[object]", listed)):
        raise InvalidTypeError(
            f"{where}: {argument} must be one shell pattern or a list of them, got {described(patterns)}. "
            f'Pass, for example, {argument}=["lm_head", "*.attention.*"].'
        )
    return tuple(cast("list[str]", listed))


def instead(pattern: str, names: Sequence[str], weights: Sequence[str]) -> str:
    """The end of an error about a pattern that matches nothing: what may have been meant, and what can be pruned.

    Args:
        pattern: As it was given.
        names: Of the parameters that it may match.
        weights: Names of the weights that can be pruned.

    Example:
        >>> instead("haed", ["body.weight", "head.weight", "head.bias"], ["body.weight", "head.weight"])
        ' Did you mean head? The weights that can be pruned are body.weight, head.weight.'
    """
    parts = [name.split(".") for name in names]
    known = dict.fromkeys(".".join(part[:end]) for part in parts for end in range(1, len(part) + 1))
    more = f" and {len(weights) - 3} more" if len(weights) > 3 else ""
    can = f"The weights that can be pruned are {', '.join(weights[:3])}{more}." if weights else "Nothing can be pruned."
    return f"{did_you_mean(pattern, known)} {can}"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches the name, or that of a module that holds it."""
    parts = name.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return any(fnmatchcase(each, pattern) for each in names for pattern in patterns)


def weight_names(module: nn.Module) -> tuple[str, ...]:
    """The names under which a module, if it is a layer that can be pruned, has its weights."""
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS)) or is_transposed_linear(module):
        return ("weight",)
    if isinstance(module, nn.MultiheadAttention):
        return _PROJECTIONS
    if isinstance(module, nn.RNNBase):
        names = module._flat_weights_names  # pyright: ignore[reportPrivateUsage]
        return tuple(name for name in names if name.startswith("weight"))
    return _CELL if isinstance(module, nn.RNNCellBase) else ()


def is_transposed_linear(module: nn.Module) -> bool:
    """Whether it is the linear layer of Hugging Face's GPT-2, whose weight is (inputs, outputs)."""
    return type(module).__name__.removeprefix("Parametrized") == "Conv1D"


def _weights(module: nn.Module) -> Iterator[nn.Parameter]:
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    yield from (own[name] for name in weight_names(module) if name in own)


def layouts(model: nn.Module) -> dict[str, Layout]:
    """Parameter name → how it forms its layer's matrix, where that is not `OUTPUTS_FIRST`.

    Every name of a tied weight is listed. The first of several layers decides.

    Args:
        model: Any module, possibly wrapped.

    Example:
        >>> layouts(nn.Sequential(nn.Linear(2, 2), nn.ConvTranspose1d(2, 4, 3, groups=2)))
        {'1.weight': Layout(inputs_first=True, groups=2)}
    """
    plain = unwrapped(model)
    own = dict[int, Layout]()
    for module in plain.modules():
        for weight in _weights(module):
            own.setdefault(id(weight), layout_of(module))
    every = plain.named_parameters(remove_duplicate=False)
    found = {name: own[id(parameter)] for name, parameter in every if id(parameter) in own}
    return {name: layout for name, layout in found.items() if layout != OUTPUTS_FIRST}


def layout_of(module: nn.Module) -> Layout:
    """How the weights of a layer form its matrix."""
    inputs_first = is_transposed_linear(module) or isinstance(module, _ConvTransposeNd)
    return Layout(inputs_first, module.groups if isinstance(module, _ConvNd) else 1)


@dataclass(frozen=True)
class ComputedWeight:
    """A weight of a layer that is computed from other tensors, so that no parameter holds it.

    Args:
        name: Of the weight, such as `"encoder.weight"`.
        by: What computes it.
        remedy: How to make a parameter of it, as a sentence.
        parameters: Names of the parameters that it is computed from.
    """

    name: str
    by: str
    remedy: str
    parameters: tuple[str, ...]


def computed_weights(model: nn.Module) -> list[ComputedWeight]:
    """The weights of layers that are computed from other tensors, in the order of the modules."""
    named = unwrapped(model).named_modules()
    return [weight for name, module in named for weight in _computed(name, module)]


def _computed(owner: str, module: nn.Module) -> Iterator[ComputedWeight]:
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    path = f"model.{owner}" if owner else "model"
    for name in weight_names(module):
        full = f"{owner}.{name}".lstrip(".")
        if parametrize.is_parametrized(module, name):
            steps: Any = cast(Any, module).parametrizations[name]
            by = " and ".join(type(step).__name__.lstrip("_") for step in steps)  # pyright: ignore[reportArgumentType, reportUnknownVariableType, reportGeneralTypeIssues]
            remedy = f"Call torch.nn.utils.parametrize.remove_parametrizations({path}, {name!r}) first"
            inside = tuple(f"{owner}.{key}".lstrip(".") for key, _ in module.named_parameters() if ".original" in key)
            yield ComputedWeight(full, f"the parametrization {by}", remedy, inside)
        elif name not in own and f"{name}_g" in own:
            remedy = f"Call torch.nn.utils.remove_weight_norm({path}, {name!r}) first"
            yield ComputedWeight(full, "torch.nn.utils.weight_norm", remedy, (f"{full}_g", f"{full}_v"))
        elif name not in own and f"{name}_orig" in own:
            yield _hooked(full, path, name, module)


def _hooked(full: str, path: str, name: str, module: nn.Module) -> ComputedWeight:
    """A weight with a `weight_orig` beside it: of the older spectral norm, or of `torch.nn.utils.prune`."""
    if f"{name}_mask" in dict(module.named_buffers(recurse=False)):
        remedy = "Call make_permanent first"
        return ComputedWeight(full, "torch.nn.utils.prune", remedy, (f"{full}_orig",))
    remedy = f"Call torch.nn.utils.remove_spectral_norm({path}, {name!r}) first"
    return ComputedWeight(full, "torch.nn.utils.spectral_norm", remedy, (f"{full}_orig",))


def store_computed(model: nn.Module) -> None:
    """Make parameters of all computed weights, in place, with their present values; in evaluation mode.

    Args:
        model: A copy, usually: what computed the weights is removed.
    """
    for weight in computed_weights(model):
        _store(model, weight)


def _store(model: nn.Module, weight: ComputedWeight) -> None:
    """Make a parameter of a computed weight, with its present value."""
    owner, _, name = weight.name.rpartition(".")
    module = model.get_submodule(owner)
    if parametrize.is_parametrized(module, name):
        _store_parametrized(module)
        return
    for key, hook in list(module._forward_pre_hooks.items()):  # pyright: ignore[reportPrivateUsage]
        if getattr(hook, "name", getattr(hook, "_tensor_name", None)) == name:
            hook(module, ())  # recomputes the weight; in evaluation mode it changes nothing else
            del module._forward_pre_hooks[key]  # pyright: ignore[reportPrivateUsage]
    value = cast(Tensor, getattr(module, name)).detach()
    delattr(module, name)
    for parameter in weight.parameters:
        delattr(module, parameter.rpartition(".")[2])
    module.register_parameter(name, nn.Parameter(value.clone()))


def _store_parametrized(module: nn.Module) -> None:
    """Store all parametrized tensors of a module with their present values.

    `remove_parametrizations` would take them from the class, which copies of the module share.
    """
    values = {
        name: cast(Tensor, getattr(module, name)).detach().clone()
        for name in cast("nn.ModuleDict", module.parametrizations)
    }
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


def _refuse_computed(where: str, weight: ComputedWeight) -> None:
    owner = weight.name.rpartition(".")[0] or weight.name
    raise UnsupportedError(
        f"{where}: {weight.name} is computed by {weight.by}, so no parameter of that name can be pruned. "
        f"{weight.remedy}, or leave the layer dense: exclude={owner!r}."
    )


def require_numbers(where: str, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights whose values cannot be read as real floating-point numbers of 16 bits or more.

    Raises:
        UnsupportedError: For tensors on the meta device and sparse layouts.
        InvalidTypeError: For complex, quantised, whole and eight-bit numbers.
    """
    require_values(where, weights)
    for name, weight in weights.items():
        if not weight.is_floating_point() or weight.dtype.itemsize < 2:
            raise InvalidTypeError(
                f"{where}: {name} holds {_dtype(weight)}, not real floating-point numbers of 16 bits or more. "
                "Convert the model first, for example by model.float()."
            )


def require_values(where: str, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that have no values (on the meta device) or are stored in one of torch's sparse layouts.

    Raises:
        UnsupportedError: For such a weight.
    """
    for name, weight in weights.items():
        if weight.is_meta:
            raise UnsupportedError(
                f"{where}: {name} has no values, since it is on the meta device. Load the weights first, "
                "or use model.to_empty(device=…) and fill them."
            )
        require_dense(where, name, weight)


def require_dense(where: str, name: str, weight: Tensor) -> None:
    """Refuse a weight in one of torch's sparse layouts."""
    if weight.layout != torch.strided:
        raise UnsupportedError(
            f"{where}: {name} is stored in torch's layout {str(weight.layout).removeprefix('torch.')}. "
            "Replace it by a parameter of its values, weight.to_dense(), first."
        )


def _dtype(weight: Tensor) -> str:
    return str(weight.dtype).removeprefix("torch.")


def require_maskable(where: str, parameters: Mapping[str, Tensor]) -> None:
    """Refuse parameters whose entries cannot be set to zero in place."""
    for name, parameter in parameters.items():
        require_dense(where, name, parameter)
        if parameter.is_inference() and not torch.is_inference_mode_enabled():
            raise UnsupportedError(
                f"{where}: {name} was made inside torch.inference_mode() and cannot be changed outside. "
                "Make a parameter of weight.clone() first."
            )
        if any(step == 0 and size > 1 for step, size in zip(parameter.stride(), parameter.shape, strict=True)):
            raise UnsupportedError(
                f"{where}: entries of {name} share their memory (an expanded tensor), so that one cannot be set to "
                "zero without another. Make a parameter of weight.contiguous() first."
            )
        if parameter.is_floating_point() and parameter.dtype.itemsize < 2:
            raise InvalidTypeError(
                f"{where}: torch cannot mask {name} in place, since it holds {_dtype(parameter)}. "
                "Mask a copy in a wider dtype and convert that, or leave the parameter out of the masks."
            )


def unwrapped(model: nn.Module) -> nn.Module:
    """Look through the wrappers of `torch.compile`, `DataParallel` and `DistributedDataParallel`."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = cast(nn.Module, model.module)
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = cast(nn.Module, model._orig_mod)
        else:
            return model


def parameters_named(model: nn.Module, shapes: Mapping[str, torch.Size], *, where: str) -> dict[str, nn.Parameter]:
    """Find the parameters that masks or scores speak of; refuses unknown names and other shapes.

    Args:
        model: Any module, possibly wrapped.
        shapes: Parameter name → shape. A tied weight may go by any of its names, but only by one.
        where: The public function that asks, for the error message.

    Returns:
        The same names → the model's own parameters.

    Raises:
        UnknownNameError: The model has no parameter of that name.
        InvalidValueError: A shape differs, or two names mean one tied weight.
        UnsupportedError: The weight of that name is computed from other tensors, or the model is
            wrapped by `FullyShardedDataParallel`.
    """
    plain = unwrapped(model)
    require_named(where, plain)
    known = dict(plain.named_parameters(remove_duplicate=False))
    for name, shape in shapes.items():
        if name not in known:
            _refuse_unknown(where, plain, name)
        if known[name].shape != shape:
            raise InvalidValueError(
                f"{where}: the mask of {name} has shape {tuple(shape)}, but the parameter has "
                f"{tuple(known[name].shape)}. Make the masks from this model."
            )
    named = {name: known[name] for name in shapes}
    if len({id(parameter) for parameter in named.values()}) < len(named):
        raise InvalidValueError(
            f"{where}: two of the names {', '.join(named)} mean the same tied weight. Keep one of them."
        )
    return named


def _refuse_unknown(where: str, model: nn.Module, name: str) -> None:
    for weight in computed_weights(model):
        if weight.name == name:
            raise UnsupportedError(
                f"{where}: {name} is computed by {weight.by}, so no parameter of that name can be masked. "
                f"{weight.remedy}."
            )
    known = dict(model.named_parameters(remove_duplicate=False))
    names = f"Its names look like {next(iter(known))}" if known else "It has no parameters"
    raise UnknownNameError(
        f"{where}: the model has no parameter {name!r}.{did_you_mean(name, known)} {names}; make the masks "
        "from this model."
    )
