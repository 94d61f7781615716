"""Which parameters of a model may be pruned, and which of its parameters a set of names and shapes means.

Prunable are the weights of all convolutions and linear layers, the output layer included; never biases, normalisation
or embeddings. Names are those of `named_parameters()` of the plain module: the wrappers of `torch.compile` and
`DistributedDataParallel` do not show in them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from pruneproof.errors import InvalidTypeError, PruneproofError, UnknownNameError, described, did_you_mean

_LAYERS = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


Patterns = str | Sequence[str]  # shell patterns of parameter or module names
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # of nn.MultiheadAttention


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name the weights that pruning may remove, in the order of `named_parameters()`.

    These are the weights of `nn.Linear`, of all (also transposed) convolutions, of the projections inside
    `nn.MultiheadAttention`, and of the class `Conv1D` by which Hugging Face writes a linear layer; subclasses included.
    A weight shared by several layers is named once; one shared with an embedding is an embedding.

    **Arguments:**

    - `model`: any module; looked through if wrapped by `torch.compile` or `DistributedDataParallel`.

    **Returns:** parameter name → the model's own parameter.

    **Raises:** `PruneproofError` if there is none, if one has not been initialised (lazy modules), or if one is
    computed by `torch.nn.utils.prune`.

    Example:
        >>> list(prunable(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))))
        ['0.weight', '3.weight']
    """
    plain = unwrapped(model)
    weights = {id(weight) for module in plain.modules() for weight in _weights(module)}
    weights -= {id(module.weight) for module in plain.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    found = {name: parameter for name, parameter in plain.named_parameters() if id(parameter) in weights}
    originals = [
        f"{prefix}.{name}_orig".lstrip(".") for prefix, m in plain.named_modules() for name in _weight_names(m)
    ]
    _refuse_computed(plain, originals, where="prunable")
    if not found:
        raise PruneproofError(
            "prunable",
            required="a model with a linear or convolution weight",
            received=type(plain).__name__,
            remedy="pass scores of your own choice of parameters to select",
        )
    for name, parameter in found.items():
        if isinstance(parameter, UninitializedParameter):
            raise PruneproofError(
                "prunable", required="initialised weights", received=f"lazy {name}", remedy="run one forward pass first"
            )
    return found


def _weight_names(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module, _LAYERS) or type(module).__name__ == "Conv1D":
        return ("weight",)
    return _PROJECTIONS if isinstance(module, nn.MultiheadAttention) else ()


def _weights(module: nn.Module) -> Iterator[nn.Parameter]:
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    for name in _weight_names(module):
        if name in own:  # a weight that is computed (by weight norm, say) is not a parameter
            yield own[name]


def require_real(where: str, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no floating-point numbers: complex, quantised or whole.

    **Raises:** `PruneproofError`.
    """
    for name, weight in weights.items():
        if not weight.is_floating_point():
            required, remedy = "weights that are real floating-point numbers", "convert the model first"
            raise PruneproofError(where, required=required, received=f"{name} of {weight.dtype}", remedy=remedy)


def _refuse_computed(model: nn.Module, names: Iterable[str], *, where: str) -> None:
    """Refuse if one of the names is a `weight_orig` of the model: `torch.nn.utils.prune` computes that weight."""
    known = dict(unwrapped(model).named_parameters(remove_duplicate=False))
    for name in names:
        if name in known and name.endswith("_orig"):
            remedy = "call make_permanent first"
            received = f"{name}, left by torch.nn.utils.prune"
            raise PruneproofError(where, required="weights that are parameters", received=received, remedy=remedy)


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

    **Arguments:**

    - `model`: any module, possibly wrapped.
    - `shapes`: parameter name → shape. A tied weight may go by any of its names, but only by one.
    - `where`: the public function that asks, for the error message.

    **Returns:** the same names → the model's own parameters.

    **Raises:** `PruneproofError`.
    """
    known = dict(unwrapped(model).named_parameters(remove_duplicate=False))
    for name, shape in shapes.items():
        if name not in known:
            _refuse_computed(model, [f"{name}_orig"], where=where)
            names = f"Its names look like {next(iter(known))}" if known else "It has no parameters"
            raise UnknownNameError(
                f"{where}: the model has no parameter {name!r}.{did_you_mean(name, known)} {names}; make the masks "
                "from this model."
            )
        if known[name].shape != shape:
            raise PruneproofError(
                where,
                required=f"shape {tuple(known[name].shape)} for {name}",
                received=tuple(shape),
                remedy="make the masks from this model",
            )
    found = {name: known[name] for name in shapes}
    if len({id(parameter) for parameter in found.values()}) < len(found):
        raise PruneproofError(
            where, required="one name per tied weight", received=list(found), remedy="keep one of the names"
        )
    return found


def chosen_weights(model: nn.Module, include: Patterns, exclude: Patterns, *, where: str) -> dict[str, nn.Parameter]:
    """The prunable weights that the patterns leave, in the order of `prunable`.

    A shell pattern (`*`, `?`, `[…]`, case matters; `*` also runs over dots) matches the name of a
    parameter or of a module, and a module covers all parameters inside it. A tied weight goes by
    each of its names.

    Args:
        model: Any module, possibly wrapped.
        include: Patterns of what may be pruned; none means everything.
        exclude: Patterns of what stays dense.
        where: The public function that asks, for messages.

    Returns:
        Parameter name → the model's own parameter.

    Raises:
        UnknownNameError: A pattern matches nothing, or nothing is left.
    """
    weights = prunable(model)
    names: dict[int, list[str]] = {}
    for name, parameter in unwrapped(model).named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    everything = [name for several in names.values() for name in several]
    kept = dict(weights)
    included, excluded = _patterns(include, "include", where), _patterns(exclude, "exclude", where)
    if included:
        _refuse_unmatched(included, [n for w in weights.values() for n in names[id(w)]], "include", where)
        kept = {name: w for name, w in kept.items() if any(_matches(n, included) for n in names[id(w)])}
    if excluded:
        _refuse_unmatched(excluded, everything, "exclude", where)
        kept = {name: w for name, w in kept.items() if not any(_matches(n, excluded) for n in names[id(w)])}
    if not kept:
        raise UnknownNameError(
            f"{where}: the patterns leave nothing to prune (include={included or 'everything'}, exclude={excluded}). "
            f"The model has {len(weights)} prunable weights, the first of them {next(iter(weights))}."
        )
    return kept


def _patterns(patterns: Patterns, argument: str, where: str) -> list[str]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(listed, list | tuple) or not all(isinstance(pattern, str) for pattern in listed):
        raise InvalidTypeError(
            f"{where}: {argument} must be one shell pattern or a list of them, got {described(patterns)}. "
            f'Pass, for example, {argument}=["lm_head", "*.attention.*"].'
        )
    return list(listed)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    parts = name.split(".")
    prefixes = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatchcase(prefix, pattern) for prefix in prefixes for pattern in patterns)


def _with_modules(names: Sequence[str]) -> list[str]:
    """The names of the parameters and of the modules that hold them."""
    parts = [name.split(".") for name in names]
    return list(dict.fromkeys(".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)))


def _refuse_unmatched(patterns: Sequence[str], names: Sequence[str], argument: str, where: str) -> None:
    for pattern in patterns:
        if not any(_matches(name, [pattern]) for name in names):
            raise UnknownNameError(
                f"{where}: the {argument} pattern {pattern!r} matches no {'prunable weight' * (argument == 'include')}"
                f"{'parameter or module' * (argument == 'exclude')} of the model."
                f"{did_you_mean(pattern, _with_modules(names))} Its names look like {names[0]}."
            )
