"""`pruneproof::masked_linear` and its two derivative operations, closed under differentiation.

With F(x, W) = x(W∘M)ᵀ, B(dy, W) = dy(W∘M), D(dy, x) = (dyᵀx)∘M, each is linear in either argument and
    ∂F = (B, D),   ∂B(·; g) = (F(g, W), D(dy, g)),   ∂D(·; G) = (F(x, G), B(dy, G)),
so autograd of any order stays within the three. Only x, W and the packed bits are saved: the masked copy of W that the
library product needs lives for the duration of one call.
"""

from typing import Any

import torch
from torch import Tensor

from . import masked_reference as reference
from .masked_plan import OP, plan_masked


@torch.library.custom_op("pruneproof::masked_linear", mutates_args=())
def masked_forward(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    tiles: Tensor | None,
    starts: Tensor | None,
    precision: str,
    mask_grad: bool,
) -> Tensor:
    """Y (tokens, out) from x (tokens, in); `tiles`, `starts` list the non-empty blocks of the mask, if worth using."""
    choice = plan_masked(OP, weight, x.shape[0], tiles)
    if choice.backend == "reference":
        return reference.forward(x, weight, words, bias)
    from . import masked_launch as launch

    if choice.implementation == "premask":
        return launch.premasked_forward(x, weight, words, bias, precision)
    return launch.fused_forward(x, weight, words, bias, tiles, starts, precision)


@torch.library.custom_op("pruneproof::masked_linear_input_gradient", mutates_args=())
def masked_input_gradient(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    """Dx (tokens, in)."""
    if plan_masked(OP, weight, dy.shape[0], None).backend == "reference":
        return reference.input_gradient(dy, weight, words)
    from . import masked_launch as launch

    return launch.premasked_input_gradient(dy, weight, words, precision)


@torch.library.custom_op("pruneproof::masked_linear_weight_gradient", mutates_args=())
def masked_weight_gradient(dy: Tensor, x: Tensor, words: Tensor, precision: str, masked: bool) -> Tensor:
    """DW (out, in), zero outside the mask if `masked`."""
    if not masked or plan_masked(OP, x, dy.shape[0], None).backend == "reference":
        return reference.weight_gradient(dy, x, words, masked)
    from . import masked_launch as launch

    return launch.weight_gradient(dy, x, words, precision)


@masked_forward.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    tiles: Tensor | None,
    starts: Tensor | None,
    precision: str,
    mask_grad: bool,
) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


@masked_input_gradient.register_fake
def _(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    return dy.new_empty(dy.shape[0], weight.shape[1])


@masked_weight_gradient.register_fake
def _(dy: Tensor, x: Tensor, words: Tensor, precision: str, masked: bool) -> Tensor:
    return x.new_empty(dy.shape[1], x.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, words, bias, _, _, ctx.precision, ctx.mask_grad = inputs
    ctx.biased = bias is not None
    ctx.save_for_backward(x, weight, words)


def _forward_derivative(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, words = ctx.saved_tensors
    dx = masked_input_gradient(dy, weight, words, ctx.precision) if ctx.needs_input_grad[0] else None
    dw = masked_weight_gradient(dy, x, words, ctx.precision, ctx.mask_grad) if ctx.needs_input_grad[1] else None
    return dx, dw, None, dy.sum(0) if ctx.biased else None, None, None, None, None


def _save_input_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, weight, words, ctx.precision = inputs
    ctx.save_for_backward(dy, weight, words)


def _input_gradient_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, weight, words = ctx.saved_tensors
    first = masked_forward(g, weight, words, None, None, None, ctx.precision, True)
    return first, masked_weight_gradient(dy, g, words, ctx.precision, True), None, None


def _save_weight_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, x, words, ctx.precision, ctx.masked = inputs
    ctx.save_for_backward(dy, x, words)


def _weight_gradient_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, x, words = ctx.saved_tensors
    if not ctx.masked:
        return x @ g.mT, dy @ g, None, None, None
    first = masked_forward(x, g, words, None, None, None, ctx.precision, True)
    return first, masked_input_gradient(dy, g, words, ctx.precision), None, None, None


masked_forward.register_autograd(_forward_derivative, setup_context=_save)
masked_input_gradient.register_autograd(_input_gradient_derivative, setup_context=_save_input_gradient)
masked_weight_gradient.register_autograd(_weight_gradient_derivative, setup_context=_save_weight_gradient)


def _leading(values: tuple[Any, ...], dims: tuple[Any, ...]) -> list[Any]:
    """Move each mapped dimension to the front; unmapped tensors broadcast."""
    return [v if d is None else v.movedim(d, 0) for v, d in zip(values, dims, strict=True)]


@masked_forward.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    x, weight, words, bias, *_ = _leading(args, in_dims)
    return _batched(reference.forward(x, weight, words, bias), info.batch_size), 0


@masked_input_gradient.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    dy, weight, words, _ = _leading(args, in_dims)
    return _batched(reference.input_gradient(dy, weight, words), info.batch_size), 0


@masked_weight_gradient.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    dy, x, words, _, masked = _leading(args, in_dims)
    return _batched(reference.weight_gradient(dy, x, words, masked), info.batch_size), 0


def _batched(result: Tensor, size: int) -> Tensor:
    return result if result.dim() == 3 else result.expand(size, *result.shape)
