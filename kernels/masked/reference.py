"""The masked linear map in plain torch, on any leading batch dimensions.

With M the mask and ∘ the entrywise choice "w where kept, exact 0 elsewhere" (so inf and NaN cannot
leak through 0·w): forward y = x(W∘M)ᵀ + b, input gradient dX = dY(W∘M), weight gradient
dW = (dYᵀX)∘M. The choice is one bitwise "and" with integers that have all bits set where the mask
keeps the weight; they are made once per mask.
"""

from typing import Any

import torch
from torch import Tensor

from pruneproof.kernels.backend import choose
from pruneproof.kernels.bits import unpack_words
from pruneproof.kernels.remembered import Remembered
from pruneproof.kernels.transforms import mapped_gradient

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # of the same size as a weight
_remembered = Remembered()  # mask → (columns, lanes)


def masked_weight(weight: Tensor, mask: Tensor) -> Tensor:
    """W∘M as a new tensor (…, out, in); `mask` is bool (…, out, in) or the packed words of one."""
    if mask.dtype == torch.int32 and weight.dim() == mask.dim() == 2 and _by_kernel(weight):
        from .launch import apply_mask

        return apply_mask(weight, mask)
    if mapped_gradient(weight):  # which no bits can be read of
        return weight.masked_fill(lanes(mask, weight.shape[-1], torch.int8) == 0, 0)
    kept = lanes(mask, weight.shape[-1], INTEGERS[weight.element_size()])
    return (weight.view(kept.dtype) & kept).view(weight.dtype)


def _by_kernel(weight: Tensor) -> bool:
    return choose("masked_linear", weight).backend == "triton" and not torch.compiler.is_compiling()


def lanes(mask: Tensor, columns: int, integer: torch.dtype) -> Tensor:
    """Integers (…, out, in) with all bits set where the mask keeps the weight, and no bit elsewhere.

    They are remembered beside the mask as long as it lives and does not change: as many bytes as the weight.
    """
    known = _remembered.get([mask])
    if known is not None and known[0] == columns and known[1].dtype == integer:
        return known[1]
    keep = mask if mask.dtype == torch.bool else unpack_words(mask, columns)
    made = keep.to(integer).neg_()
    if mask.device.type == "cpu":
        _remembered.put([mask], (columns, made))
    return made


def forward(x: Tensor, weight: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, tokens, in) to (…, tokens, out)."""
    return linear(x, masked_weight(weight, mask), bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b, rounded to the dtype once: 16-bit types add the bias in float32."""
    if bias is None or (x.dtype in (torch.float32, torch.float64) and weight.dim() == 2 and bias.dim() == 1):
        return torch.nn.functional.linear(x, weight, bias) if weight.dim() == 2 else x @ weight.mT
    wide = torch.promote_types(x.dtype, torch.float32)
    return (x.to(wide) @ weight.to(wide).mT + bias.to(wide)[..., None, :]).to(x.dtype)


def input_gradient(dy: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Dy (…, tokens, out) to dx (…, tokens, in)."""
    return dy @ masked_weight(weight, mask)


def weight_gradient(dy: Tensor, x: Tensor, mask: Tensor, masked: bool) -> Tensor:
    """Dy (…, tokens, out) and x (…, tokens, in) to dW (…, out, in), zero outside the mask if `masked`."""
    dense = dy.mT @ x
    return masked_weight(dense, mask) if masked else dense.contiguous()


class Selection(torch.autograd.Function):
    """W∘M as a differentiable step: the value, its derivative, or both are masked.

    One masked copy serves the forward product and the input gradient, as autograd keeps it from one to
    the other. Under `weight_is_masked` the value is the weight itself, and only the gradient is masked.
    """

    @staticmethod
    def forward(weight: Tensor, mask: Tensor, value: bool, gradient: bool) -> Tensor:
        """The masked weight (…, out, in), or the weight itself."""
        return masked_weight(weight, mask) if value else weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool, bool], output: Tensor) -> None:
        """Keep the mask for both directions."""
        _, mask, _, ctx.gradient = inputs
        ctx.save_for_backward(mask)
        ctx.save_for_forward(mask)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore
        """The gradient, masked or dense; the map is its own transpose."""
        return _selected(ctx, gradients[0]), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *_: Any) -> Tensor | None:  # pyright: ignore
        """The tangent, masked or dense."""
        return None if tangent is None else _selected(ctx, tangent)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride] (the arguments of `forward`)
        info: Any, in_dims: tuple[Any, ...], weight: Tensor, mask: Tensor, value: bool, gradient: bool
    ) -> Any:
        """Mapped weights or masks (packed or not) stand in front; what is not mapped is shared."""
        front = [t if dim is None else t.movedim(dim, 0) for t, dim in zip((weight, mask), in_dims[:2], strict=True)]
        weight = front[0] if in_dims[0] is not None else front[0].expand(info.batch_size, *front[0].shape)
        return Selection.apply(weight, front[1], value, gradient), 0


def _selected(ctx: Any, tensor: Tensor) -> Any:
    (mask,) = ctx.saved_tensors
    return Selection.apply(tensor, mask, True, True) if ctx.gradient else tensor
