"""Swap linear layers for layers that store or use only kept weights, and back.

Convolutions keep their dense kernels: their pruned weights are zeros that cost as much as others, and `inspect_model`
says so. The original model is never changed.
"""

import copy

from torch import Tensor, nn

from ..errors import PruneproofError
from ..kernels import SparseWeight
from .enforcement import release
from .interop import remove_torch_prune
from .masks import Masks
from .parameters import parameters_named, unwrapped
from .sparse_layers import MaskedLinear, SparseLinear

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def sparsify(model: nn.Module, masks: Masks, *, format: str = "auto", batch: int | None = None) -> nn.Module:
    """A copy of the model whose masked linear layers are sparse or masked layers.

    **Arguments:**

    - `model`: the network; unchanged.
    - `masks`: masks of its parameters; weights of other layers are zeroed in place of being swapped.
    - `format`: `"masked"` for trainable `MaskedLinear` layers; otherwise a format of `SparseWeight`, by default
      `"auto"`, which leaves a layer dense (an `nn.Linear`) where the break-even table of its device expects no gain;
      `SparseWeight.from_dense(weight, mask).reason` says why, `inspect_model` what was left so.
    - `batch`: for `"auto"`, how many tokens a layer will mostly see at once.

    **Returns:** a new model with the outputs of the masked one, up to rounding; modes and `requires_grad` are kept.

    **Raises:** `PruneproofError` if the masks are of another model, the format cannot hold a weight, or a layer to be
    swapped has hooks (forward or backward), which would be lost.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False, False, True]] * 2)})
        >>> sparsify(net, masks, format="csr16")[0].sparse.format
        'csr16'
    """
    plain = unwrapped(model)
    parameters_named(plain, {name: mask.shape for name, mask in masks.items()}, where="sparsify")
    sparse = masks.apply_(copy.deepcopy(plain))
    release(sparse)
    layers = dict(sparse.named_modules(remove_duplicate=False))
    for name, mask in masks.items():
        owner = name.rpartition(".")[0]
        layer = layers[owner]
        if type(layer) is not nn.Linear or _is_tied(sparse, layer.weight):
            continue
        swapped = _swapped(layer, mask.to(layer.weight.device), format, batch)
        if swapped is layer:
            continue
        _refuse_hooks("sparsify", owner, layer)
        if not owner:
            return swapped
        _replace(sparse, owner, swapped)
    return sparse


def make_permanent(model: nn.Module) -> nn.Module:
    """A plain copy of a pruned model: ordinary layers with zeros, and nothing that remembers a mask.

    Undoes `sparsify`, `Masks.enforce` and `torch.nn.utils.prune`.

    **Arguments:**

    - `model`: the network; unchanged.

    **Returns:** a new model; modes and `requires_grad` are kept.

    **Raises:** `PruneproofError` if a layer to be swapped has hooks, which would be lost.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False, False, True]] * 2)})
        >>> make_permanent(sparsify(net, masks, format="masked"))
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    plain = unwrapped(model)
    # `torch.nn.utils.prune` keeps computed weights as attributes, which deepcopy refuses: copy their values instead
    computed = [v for m in plain.modules() for v in vars(m).values() if isinstance(v, Tensor) and v.grad_fn is not None]
    plain = copy.deepcopy(plain, {id(tensor): tensor.detach().clone() for tensor in computed})
    release(plain)
    remove_torch_prune(plain)
    dense = dict[nn.Module, nn.Linear]()  # a layer under two names stays one layer
    for name, layer in list(plain.named_modules(remove_duplicate=False)):
        if isinstance(layer, MaskedLinear | SparseLinear):
            _refuse_hooks("make_permanent", name, layer)
            dense[layer] = dense.get(layer) or layer.dense()
            if not name:
                return dense[layer]
            _replace(plain, name, dense[layer])
    return plain


def _swapped(layer: nn.Linear, mask: Tensor, format: str, batch: int | None) -> nn.Module:
    if format == "masked":
        return MaskedLinear(layer, mask)
    weight = SparseWeight.from_dense(layer.weight, mask, format=format, batch=batch)
    if weight.format == "dense":
        return layer
    sparse = SparseLinear(weight, layer.bias).train(layer.training)
    sparse.trainable = layer.weight.requires_grad
    return sparse


def _refuse_hooks(where: str, name: str, layer: nn.Module) -> None:
    """Refuse to replace a layer whose hooks would be lost."""
    if any(getattr(layer, kind) for kind in _HOOKS):
        required, remedy = "layers without hooks where it replaces them", "remove the hooks, set them again afterwards"
        raise PruneproofError(where, required=required, received=f"hooks on {name or 'the model'}", remedy=remedy)


def _is_tied(model: nn.Module, weight: Tensor) -> bool:
    return sum(parameter is weight for _, parameter in model.named_parameters(remove_duplicate=False)) > 1


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, layer)
