"""Masks to and from `torch.nn.utils.prune`, and scores for Torch-Pruning.

`torch.nn.utils.prune` keeps masks as buffers `weight_mask` beside `weight_orig`. Torch-Pruning (the package
`torch-pruning`) removes whole channels together with everything that depends on them, which this library does not.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from pruneproof.errors import StateError, UnsupportedError
from pruneproof.prune.models.parameters import layout_of, parameters_named, require_maskable, unwrapped

from .masks import Masks

_SUFFIX, _ORIGINAL = "_mask", "_orig"


def to_torch_prune(model: nn.Module, masks: Masks) -> nn.Module:
    """Install masks as `torch.nn.utils.prune` would, in place; `prune.remove` and its other functions then apply.

    Args:
        model: The network; its masked parameters become `weight_orig` and its weights are computed
            from them.
        masks: Masks of its parameters.

    Returns:
        The same model.

    Raises:
        UnknownNameError: The model has no parameter of a name.
        InvalidValueError: A shape does not fit.
        UnsupportedError: A weight is tied, or is read without calling its layer, as the output
            projection of `nn.MultiheadAttention` is. The model is then unchanged.

    Example:
        >>> import torch
        >>> layer = to_torch_prune(nn.Linear(2, 1), Masks({"weight": torch.tensor([[True, False]])}))
        >>> torch_prune.is_pruned(layer), bool(layer.weight[0, 1] == 0)
        (True, True)
    """
    model = unwrapped(model)
    parameters = parameters_named(model, {n: m.shape for n, m in masks.items()}, where="to_torch_prune")
    require_maskable("to_torch_prune", parameters)
    every = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    attentions = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    projections = {id(parameter) for module in attentions for parameter in module.out_proj.parameters()}
    for name, parameter in parameters.items():
        if every.count(id(parameter)) > 1:
            raise UnsupportedError(
                f"to_torch_prune: {name} is the weight of several layers, and torch.nn.utils.prune would untie them. "
                "Use masks.enforce(model), which follows tied weights."
            )
        if id(parameter) in projections:
            raise UnsupportedError(
                f"to_torch_prune: nn.MultiheadAttention reads {name} without calling the layer that holds it, so the "
                "hook of torch.nn.utils.prune would not run. Use masks.enforce(model), or leave this mask out."
            )
    for name, mask in masks.items():
        owner, _, parameter = name.rpartition(".")
        torch_prune.custom_from_mask(model.get_submodule(owner), parameter, mask.to(parameters[name].device))
    return model


def from_torch_prune(model: nn.Module) -> Masks:
    """Read the masks that `torch.nn.utils.prune` left in a model.

    Args:
        model: A network pruned by any of that module's functions; unchanged.

    Returns:
        `Masks` under the names of the unpruned parameters (`layer.weight`, not `layer.weight_orig`).

    Raises:
        StateError: Nothing in the model is pruned by it.

    Example:
        >>> layer = torch_prune.l1_unstructured(nn.Linear(4, 2), "weight", amount=6)
        >>> from_torch_prune(layer).count
        2
    """
    masks = dict[str, Tensor]()
    for name, buffer in unwrapped(model).named_buffers():
        owner, original = name.removesuffix(_SUFFIX), name.removesuffix(_SUFFIX) + _ORIGINAL
        if name.endswith(_SUFFIX) and original in dict(unwrapped(model).named_parameters()):
            masks[owner] = buffer != 0
    if not masks:
        raise StateError(
            "from_torch_prune: torch.nn.utils.prune has left no mask (weight_mask) in the model. "
            "Read the zeros instead, for example by Masks({name: weight != 0 …})."
        )
    return Masks(masks)


def remove_torch_prune(model: nn.Module) -> None:
    """Make pruning by `torch.nn.utils.prune` permanent, in place, everywhere in a model."""
    for module in model.modules():
        masked = {
            name.removesuffix(_SUFFIX) for name, _ in module.named_buffers(recurse=False) if name.endswith(_SUFFIX)
        }
        for name in [name for name, _ in module.named_parameters(recurse=False) if name.endswith(_ORIGINAL)]:
            if name.removesuffix(_ORIGINAL) in masked:  # not the `weight_orig` of the older spectral norm
                torch_prune.remove(module, name.removesuffix(_ORIGINAL))


def torch_pruning_importance(
    model: nn.Module, score: Callable[[nn.Module], Mapping[str, Tensor]]
) -> Callable[[Any], Tensor | None]:
    """Scores as an importance of channels for the pruners of the package `torch-pruning`.

    A channel is worth the sum of the scores of all weights that go with it: rows of the layers that
    compute it and columns of those that read it. The model is scored again whenever a pruner has
    changed its shapes, so that what is gone counts no more.

    Args:
        model: The network that the pruner prunes.
        score: What to call on it, such as `scores.magnitude`, or
            `lambda model: scores.snip(model, loss, batch)`.

    Returns:
        What a pruner takes as `importance=`: group of dependencies → (channels,), or `None` for a
        group without a scored weight.

    Example:
        >>> from pruneproof.prune import scores
        >>> importance = torch_pruning_importance(nn.Linear(4, 2), scores.magnitude)

        With the package: `tp.pruner.BasePruner(model, inputs, importance=importance, pruning_ratio=0.5).step()`.
    """
    shapes, scored = dict[str, tuple[int, ...]](), dict[str, Tensor]()

    def importance(group: Any) -> Tensor | None:
        parameters = dict(model.named_parameters())
        if (now := {name: tuple(parameter.shape) for name, parameter in parameters.items()}) != shapes:
            shapes.clear()
            shapes.update(now)
            scored.clear()
            scored.update(score(model))
        names = {id(parameter): name for name, parameter in parameters.items()}
        layers = dict[str, Tensor]()
        removed = dict[tuple[str, bool], dict[int, int]]()  # layer, whether inputs → index there → channel
        for item in group:
            name = names.get(id(getattr(item.dep.layer, "weight", None)))
            if name in scored:
                layers[name] = _by_channels(scored[name], item.dep.layer)
                gone = removed.setdefault((name, "in_channels" in item.dep.pruning_fn.__name__), {})
                gone.update(zip(item.idxs, item.root_idxs, strict=True))
        total = torch.zeros(len(group[0].idxs), dtype=torch.float64)
        for name, matrix in layers.items():
            rows, to = _indices(removed.get((name, False), {}))
            columns, also_to = _indices(removed.get((name, True), {}))
            total.index_add_(0, to, matrix[rows].sum(1)).index_add_(0, also_to, matrix[:, columns].sum(0))
            twice = matrix[rows][:, columns] * (to[:, None] == also_to)
            total.index_add_(0, to, -twice.sum(1))
        return total if layers else None

    return importance


def _indices(gone: Mapping[int, int]) -> tuple[Tensor, Tensor]:
    return torch.tensor(list(gone), dtype=torch.int64), torch.tensor(list(gone.values()), dtype=torch.int64)


def _by_channels(scores: Tensor, layer: nn.Module) -> Tensor:
    """The sum of a layer's scores over the kernel, (outputs, inputs), zero between groups of a convolution."""
    layout = layout_of(layer)
    matrix = layout.matrix(scores.detach()).double().cpu()
    inputs = getattr(layer, "in_channels", matrix.shape[1]) // layout.groups
    blocks = matrix.reshape(layout.groups, len(matrix) // layout.groups, inputs, -1).sum(3)
    return torch.block_diag(*blocks)
