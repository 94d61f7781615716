"""The layers that `sparsify` puts in place of linear ones: with a packed mask, or without the zeros."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..kernels import BitMask, SparseWeight, masked_linear, sparse_linear


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
        self.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out), in the dtype of `torch.autocast` where that is on."""
        mask = BitMask(self.words, self.shape)
        return _as_autocast(lambda x, w, bias: masked_linear(x, w, mask, bias), x, self.weight, self.bias)

    def dense(self) -> nn.Linear:
        """An ordinary layer with zeros where the mask is off."""
        weight = torch.where(BitMask(self.words, self.shape).unpack(), self.weight.detach(), 0)
        return _plain(weight, self.bias, self.weight.requires_grad, self.training)


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
        """(…, in) → (…, out), in the dtype of `torch.autocast` where that is on."""
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
