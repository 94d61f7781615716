"""Masks to and from `torch.nn.utils.prune`, which keeps them as buffers `weight_mask` beside `weight_orig`."""

from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from pruneproof.errors import StateError, UnsupportedError
from pruneproof.prune.models.parameters import parameters_named, require_maskable, unwrapped

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
