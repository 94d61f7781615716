"""Layers that store or use only kept weights, and swapping them in for linear ones and out again.

`sparsify` puts them in: with a packed mask, or without the zeros; `make_permanent` gives ordinary
layers back. Convolutions keep their dense kernels: their pruned weights are zeros that cost as much
as others, and `inspect_model` says so. The original model is never changed.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, StateError, UnsupportedError, speaking_for
from pruneproof.kernels import BitMask, SparseWeight, masked_linear, sparse_linear
from pruneproof.prune.masks.enforcement import release
from pruneproof.prune.masks.interop import remove_torch_prune
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import parameters_named, unwrapped

SEMI_STRUCTURED = "torch-2:4"


class MaskedLinear(nn.Module):
    """A linear layer with a packed mask: trainable, exact zeros outside the mask whatever the weight holds there.

    Args:
        linear: The layer whose weight and bias are used, not copied.
        mask: Bool (out, in).

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
        self.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Args:
            x: (…, in).

        Returns:
            (…, out), in the dtype of `torch.autocast` where that is on.
        """
        mask = BitMask(self.words, self.shape)
        return _as_autocast(lambda x, w, bias: masked_linear(x, w, mask, bias), x, self.weight, self.bias)

    def dense(self) -> nn.Linear:
        """An ordinary layer with zeros where the mask is off."""
        weight = torch.where(BitMask(self.words, self.shape).unpack(), self.weight.detach(), 0)
        return _plain(weight, self.bias, self.weight.requires_grad, self.training)


class SparseLinear(nn.Module):
    """A linear layer for inference whose zeros are not stored.

    Args:
        weight: A `SparseWeight` (out, in); its parts become buffers, so the layer moves and saves
            like any other.
        bias: (out,) or None.

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
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), bias.requires_grad)
        self.trainable = True  # whether the weight of `dense()` is

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in), rebuilt: for code that reads the weight in place of calling the layer."""
        return self.sparse.to_dense()

    @property
    def sparse(self) -> SparseWeight:
        """The weight in its format."""
        return self._of(self._parts)

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return tuple(self.get_buffer(f"part{index}") for index in range(self.count))

    def _of(self, parts: tuple[Tensor, ...]) -> SparseWeight:
        return SparseWeight(self.format, self.shape, parts, self.reason)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Args:
            x: (…, in).

        Returns:
            (…, out), in the dtype of `torch.autocast` where that is on.
        """
        return _as_autocast(lambda x, bias, *parts: sparse_linear(x, self._of(parts), bias), x, self.bias, *self._parts)

    def dense(self) -> nn.Linear:
        """An ordinary layer with the same weight."""
        return _plain(self.weight, self.bias, self.trainable, self.training)


def _plain(weight: Tensor, bias: Tensor | None, trainable: bool, training: bool) -> nn.Linear:
    out, columns = weight.shape
    linear = nn.Linear(columns, out, bias=bias is not None, device="meta")  # draws nothing from the generators
    linear.weight = nn.Parameter(weight, trainable)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return linear.train(training)


def _as_autocast(product: Callable[..., Tensor], x: Tensor, *others: Tensor | None) -> Tensor:
    """Call it with what `torch.autocast` would hand to `nn.Linear`; inside that is off, and casts nothing again."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        return product(x, *others)
    dtype = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        return product(*(t.to(dtype) if t is not None and _is_cast(t) else t for t in (x, *others)))


def _is_cast(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float64


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def sparsify(model: nn.Module, masks: Masks, *, format: str = "auto", batch: int | None = None) -> nn.Module:
    """A copy of the model whose masked linear layers are sparse or masked layers.

    Args:
        model: The network; unchanged.
        masks: Masks of its parameters; weights of other layers are zeroed in place of being swapped.
        format: `"masked"` for trainable `MaskedLinear` layers; otherwise a format of `SparseWeight`,
            by default `"auto"`, which leaves a layer dense (an `nn.Linear`) where no gain is
            expected on its device; `SparseWeight.from_dense(weight, mask).reason` says why,
            `inspect_model` what was left so. `"torch-2:4"` gives a layer the semi-structured tensor of
            torch as its weight, for inference on CUDA alone; at most two of every four consecutive
            weights of a row may be kept (`scope="2:4"`).
        batch: For `"auto"`, how many tokens a layer will mostly see at once.

    Returns:
        A new model with the outputs of the masked one, up to rounding; modes and `requires_grad` are
        kept. A layer without entries stays as it is.

    Raises:
        UnknownNameError: The masks are of another model.
        StateError: A layer to be swapped has hooks (forward or backward), which would be lost.
        InvalidValueError: The format cannot hold a weight.
        UnsupportedError: `"torch-2:4"` off CUDA, or for a dtype or shape that torch does not take.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False, False, True]] * 2)})
        >>> sparsify(net, masks, format="csr16")[0].sparse.format
        'csr16'
    """
    plain = unwrapped(model)
    parameters_named(plain, {name: mask.shape for name, mask in masks.items()}, where="sparsify")
    sparse = masks.apply_(copied("sparsify", plain))
    release(sparse)
    layers = dict(sparse.named_modules(remove_duplicate=False))
    for name, mask in masks.items():
        owner = name.rpartition(".")[0]
        layer = layers[owner]
        if type(layer) is not nn.Linear or _is_tied(sparse, layer.weight) or not name.endswith("weight"):
            continue
        if not layer.weight.numel():  # nothing to store, and nothing to multiply
            continue
        if format == SEMI_STRUCTURED:
            layer.weight = nn.Parameter(_semi_structured(name, layer.weight.detach()), requires_grad=False)
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

    Args:
        model: The network; unchanged.

    Returns:
        A new model; modes and `requires_grad` are kept.

    Raises:
        StateError: A layer to be swapped has hooks, which would be lost.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False, False, True]] * 2)})
        >>> make_permanent(sparsify(net, masks, format="masked"))
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    plain = copied("make_permanent", unwrapped(model))
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


def _semi_structured(name: str, weight: Tensor) -> Tensor:
    """The weight as torch stores it for sparse tensor cores; the conversion itself would lose what does not fit."""
    if not _on_cuda(weight):
        raise UnsupportedError(
            f'sparsify: format="{SEMI_STRUCTURED}" runs on the sparse tensor cores of CUDA devices alone, and {name} '
            f'lies on {weight.device}. Move the model by model.to("cuda"), or take another format.'
        )
    if weight.shape[1] % 4 or bool(((weight != 0).reshape(-1, 4).sum(1) > 2).any()):
        raise InvalidValueError(
            f'sparsify: {name} keeps more than two of four consecutive weights somewhere. Prune with scope="2:4", or '
            "leave its mask out."
        )
    try:
        return torch.sparse.to_sparse_semi_structured(weight)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise UnsupportedError(
            f"sparsify: torch cannot store {name}, {weight.dtype} of shape {tuple(weight.shape)}, as a semi-structured "
            f"tensor ({error}). Convert the model to bfloat16, or leave its mask out."
        ) from error


def _on_cuda(weight: Tensor) -> bool:
    return weight.is_cuda


def _swapped(layer: nn.Linear, mask: Tensor, format: str, batch: int | None) -> nn.Module:
    if format == "masked":
        return MaskedLinear(layer, mask)
    with speaking_for("sparsify"):
        weight = SparseWeight.from_dense(layer.weight, mask, format=format, batch=batch)
    if weight.format == "dense":
        return layer
    sparse = SparseLinear(weight, layer.bias).train(layer.training)
    sparse.trainable = layer.weight.requires_grad
    return sparse


def _refuse_hooks(where: str, name: str, layer: nn.Module) -> None:
    """Refuse to replace a layer whose hooks would be lost."""
    if any(getattr(layer, kind) for kind in _HOOKS):
        raise StateError(
            f"{where}: {name or 'the model'} has hooks, which would be lost where another layer takes its place. "
            "Remove the hooks, and set them again afterwards."
        )


def _is_tied(model: nn.Module, weight: Tensor) -> bool:
    return sum(parameter is weight for _, parameter in model.named_parameters(remove_duplicate=False)) > 1


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, layer)
