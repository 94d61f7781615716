"""Swap linear layers for layers that store or use only kept weights, and back.

Convolutions keep their dense kernels: their pruned weights are zeros that cost as much as others, and `inspect_model`
says so. The original model is never changed.
"""

import copy

import torch
from torch import Tensor, nn

from ..kernels import BitMask, SparseWeight, masked_linear, sparse_linear
from .enforcement import release
from .interop import remove_torch_prune
from .masks import Masks
from .parameters import parameters_named, unwrapped


class MaskedLinear(nn.Module):
    """A linear layer with a packed mask: trainable, exact zeros outside the mask whatever the weight holds there.

    **Arguments:**

    - `linear`: the layer whose weight and bias are used, not copied.
    - `mask`: bool (out, in).

    Example:
        >>> layer = MaskedLinear(nn.Linear(3, 2, bias=False), torch.eye(2, 3) > 0)
        >>> layer(torch.tensor([0.0, 0.0, 1.0])).abs().sum().item()
        0.0
    """

    words: Tensor

    def __init__(self, linear: nn.Linear, mask: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        packed = BitMask.pack(mask.to(linear.weight.device))
        self.shape = packed.shape
        self.register_buffer("words", packed.words)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return masked_linear(x, self.weight, BitMask(self.words, self.shape), self.bias)

    def dense(self) -> nn.Linear:
        """An ordinary layer with zeros where the mask is off."""
        return _plain(torch.where(BitMask(self.words, self.shape).unpack(), self.weight, 0), self.bias)


class SparseLinear(nn.Module):
    """A linear layer for inference whose zeros are not stored.

    **Arguments:**

    - `weight`: a `SparseWeight` (out, in); its parts become buffers, so the layer moves and saves like any other.
    - `bias`: (out,) or None.

    Example:
        >>> layer = SparseLinear(SparseWeight.from_dense(torch.eye(2, 3), format="csr16"), None)
        >>> layer(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [1.0, 2.0]
    """

    def __init__(self, weight: SparseWeight, bias: Tensor | None) -> None:
        super().__init__()
        self.format, self.shape, self.reason, self.count = weight.format, weight.shape, weight.reason, len(weight.parts)
        for index, part in enumerate(weight.parts):
            self.register_buffer(f"part{index}", part)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @property
    def sparse(self) -> SparseWeight:
        """The weight in its format."""
        parts = tuple(self.get_buffer(f"part{index}") for index in range(self.count))
        return SparseWeight(self.format, self.shape, parts, self.reason)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return sparse_linear(x, self.sparse, self.bias)

    def dense(self) -> nn.Linear:
        """An ordinary layer with the same weight."""
        return _plain(self.sparse.to_dense(), self.bias)


def sparsify(model: nn.Module, masks: Masks, *, format: str = "auto", batch: int | None = None) -> nn.Module:
    """A copy of the model whose masked linear layers are sparse or masked layers.

    **Arguments:**

    - `model`: the network; unchanged.
    - `masks`: masks of its parameters; weights of other layers are zeroed in place of being swapped.
    - `format`: `"masked"` for trainable `MaskedLinear` layers; otherwise a format of `SparseWeight`, by default
      `"auto"`, which leaves a layer dense (an `nn.Linear`) where the break-even table of its device expects no gain;
      `SparseWeight.from_dense(weight, mask).reason` says why, `inspect_model` what was left so.
    - `batch`: for `"auto"`, how many tokens a layer will mostly see at once.

    **Returns:** a new model with the same outputs as the masked one, up to rounding.

    **Raises:** `PruneproofError` if the masks are of another model, or the format cannot hold a weight.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False, False, True]] * 2)})
        >>> sparsify(net, masks, format="csr16")[0].sparse.format
        'csr16'
    """
    plain = unwrapped(model)
    parameters_named(plain, {name: mask.shape for name, mask in masks.items()}, where="sparsify")
    sparse = masks.apply_(copy.deepcopy(plain))
    release(sparse)
    layers = dict(sparse.named_modules())
    for name, mask in masks.items():
        owner = name.rpartition(".")[0]
        layer = layers[owner]
        if type(layer) is not nn.Linear or _is_tied(sparse, layer.weight):
            continue
        swapped = _swapped(layer, mask.to(layer.weight.device), format, batch)
        if swapped is not layer and not owner:
            return swapped
        if swapped is not layer:
            _replace(sparse, owner, swapped)
    return sparse


def make_permanent(model: nn.Module) -> nn.Module:
    """A plain copy of a pruned model: ordinary layers with zeros, and nothing that remembers a mask.

    Undoes `sparsify`, `Masks.enforce` and `torch.nn.utils.prune`.

    **Arguments:**

    - `model`: the network; unchanged.

    **Returns:** a new model.

    Example:
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
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, MaskedLinear | SparseLinear):
            if not name:
                return layer.dense()
            _replace(plain, name, layer.dense())
    return plain


def _swapped(layer: nn.Linear, mask: Tensor, format: str, batch: int | None) -> nn.Module:
    if format == "masked":
        return MaskedLinear(layer, mask)
    weight = SparseWeight.from_dense(layer.weight, mask, format=format, batch=batch)
    return layer if weight.format == "dense" else SparseLinear(weight, layer.bias)


def _is_tied(model: nn.Module, weight: Tensor) -> bool:
    return sum(parameter is weight for _, parameter in model.named_parameters(remove_duplicate=False)) > 1


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, layer)


def _plain(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, columns = weight.shape
    linear = nn.Linear(columns, out, bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
    return linear
