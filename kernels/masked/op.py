"""How a masked linear map would run: reference, fused kernel, fused kernel with a skip list, or mask once and multiply.

The thresholds are data (`measured.json`), one row per GPU name; `default` is a prediction from the roofline and
says so in the reason.

`pruneproof::masked_linear` and its two derivative operations, closed under differentiation.

With F(x, W) = x(W∘M)ᵀ, B(dy, W) = dy(W∘M), D(dy, x) = (dyᵀx)∘M, each is linear in either argument and
    ∂F = (B, D),   ∂B(·; g) = (F(g, W), D(dy, g)),   ∂D(·; G) = (F(x, G), B(dy, G)),
so autograd of any order stays within the three. Only x, W and the packed bits are saved: the masked copy of W that the
library product needs lives for the duration of one call.

y = x (W∘M)ᵀ + b for a packed mask M, differentiable, with exact zeros where M is off. See masked.md.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError
from pruneproof.kernels.backend import FLOATS, Choice, choose, require_tensors
from pruneproof.kernels.bits import BitMask, pack_words
from pruneproof.kernels.measured import thresholds

from . import reference
from .launch import skip_list

OP = "masked_linear"


def plan_masked(op: str, weight: Tensor, tokens: int, tiles: Tensor | None) -> Choice:
    """The choice for `tokens` rows of input; `tiles` is the mask's skip list, or None."""
    base = choose(op, weight)
    if base.backend == "reference":
        return base
    row, measured = thresholds(weight.device)
    most = row["fused_tokens" if weight.element_size() == 2 else "fused_tokens_float32"]
    if tiles is not None:
        name, why = "skip", "the mask has empty blocks"
    elif tokens <= most:
        name, why = "fused", f"at most {most} tokens: reading the weight once decides"
    else:
        name, why = "premask", f"more than {most} tokens: the library product decides"
    source = "measured on this GPU" if measured else "predicted, not measured on this device"
    return Choice(op, base.backend, name, f"{base.reason}; {why} ({source})")


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
    from . import launch

    if choice.implementation == "premask":
        return launch.premasked_forward(x, weight, words, bias, precision)
    return launch.fused_forward(x, weight, words, bias, tiles, starts, precision)


@torch.library.custom_op("pruneproof::masked_linear_input_gradient", mutates_args=())
def masked_input_gradient(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    """Dx (tokens, in)."""
    if plan_masked(OP, weight, dy.shape[0], None).backend == "reference":
        return reference.input_gradient(dy, weight, words)
    from . import launch

    return launch.premasked_input_gradient(dy, weight, words, precision)


@torch.library.custom_op("pruneproof::masked_linear_weight_gradient", mutates_args=())
def masked_weight_gradient(dy: Tensor, x: Tensor, words: Tensor, precision: str, masked: bool) -> Tensor:
    """DW (out, in), zero outside the mask if `masked`."""
    if not masked or plan_masked(OP, x, dy.shape[0], None).backend == "reference":
        return reference.weight_gradient(dy, x, words, masked)
    from . import launch

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


PRECISIONS = ("ieee", "tf32", "tf32x3")


def masked_linear(
    x: Tensor,
    weight: Tensor,
    mask: Tensor | BitMask,
    bias: Tensor | None = None,
    *,
    precision: str | None = None,
    mask_grad: bool = True,
) -> Tensor:
    """Linear map with a masked weight: `x @ where(mask, weight, 0).T + bias`.

    **Arguments**
    - `x`: (…, in); `weight`: (out, in); `bias`: (out,) or None; one floating dtype (float64, float32, float16,
      bfloat16), one device.
    - `mask`: bool (out, in), or a `BitMask` of that shape (cheaper: packed once, and its empty blocks are skipped).
    - `precision`: for float32 on a GPU, "ieee", "tf32" or "tf32x3"; None follows
      `torch.get_float32_matmul_precision()`. The reference always computes in the input's own precision.
    - `mask_grad`: if True, the gradient of `weight` is zero outside the mask; if False it is the dense dYᵀX, as the
      training of scores needs.

    Returns (…, out). A masked entry is an exact zero even where the weight is inf or NaN. An infinite or NaN input may
    give NaN in any output, as in the dense product. Differentiable to any order in x, weight and bias; under `vmap` it
    is a batched product. The error of an output is at most γ_{in+1}·(|x||W∘M|ᵀ + |b|) plus one rounding to the dtype,
    γ_n = n·u/(1 − n·u) with u the unit roundoff of the accumulation (float32 for 16-bit types).

    Raises PruneproofError for mismatched shapes, dtypes or devices.

    Source: masked.md.

    >>> import torch
    >>> weight = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
    >>> masked_linear(torch.ones(1, 2), weight, torch.tensor([[True, False], [True, True]]))
    tensor([[1., 5.]])
    """
    _refuse_bad(x, weight, mask, bias)
    words, tiles, starts = _packed(mask)
    flat = x.reshape(prod(x.shape[:-1]), x.shape[-1])
    y = masked_forward(flat, weight, words, bias, tiles, starts, _precision(precision), mask_grad)
    return y.reshape(*x.shape[:-1], weight.shape[0])


def plan(x: Tensor, weight: Tensor, mask: Tensor | BitMask, bias: Tensor | None = None) -> Choice:
    """What `masked_linear` would run."""
    return plan_masked(OP, weight, prod(x.shape[:-1]), _packed(mask)[1])


def _packed(mask: Tensor | BitMask) -> tuple[Tensor, Tensor | None, Tensor | None]:
    if isinstance(mask, Tensor):
        return pack_words(mask), None, None
    tiles = skip_list(mask)
    return (mask.words, None, None) if tiles is None else (mask.words, *tiles)


def _precision(requested: str | None) -> str:
    if requested is None:
        return "default"  # resolved when it runs: reading torch's setting here would break a compiled graph
    if requested not in PRECISIONS:
        raise PruneproofError(OP, required=f"a precision in {PRECISIONS}", received=requested, remedy="pass None")
    return requested


def _refuse_bad(x: Tensor, weight: Tensor, mask: Tensor | BitMask, bias: Tensor | None) -> None:
    bits = mask.words if isinstance(mask, BitMask) else mask
    require_tensors(OP, x=x, weight=weight, mask=bits, **({} if bias is None else {"bias": bias}))
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        raise PruneproofError(
            OP,
            required="x (…, in) and weight (out, in)",
            received=f"{tuple(x.shape)} and {tuple(weight.shape)}",
            remedy="check the last dimension of x",
        )
    if tuple(mask.shape) != tuple(weight.shape) or (bias is not None and tuple(bias.shape) != (weight.shape[0],)):
        raise PruneproofError(
            OP,
            required=f"a mask of shape {tuple(weight.shape)} and a bias of shape ({weight.shape[0]},) or None",
            received=f"{tuple(mask.shape)} and {None if bias is None else tuple(bias.shape)}",
            remedy="pass the mask of this very weight",
        )
    if isinstance(mask, Tensor) and mask.dtype != torch.bool:
        raise PruneproofError(OP, required="a bool mask or a BitMask", received=mask.dtype, remedy="pass mask.bool()")
    others = [x] if bias is None else [x, bias]
    devices = {t.device for t in (weight, bits, *others)}
    if len(devices) > 1 or any(t.dtype != weight.dtype for t in others) or weight.dtype not in FLOATS:
        raise PruneproofError(
            OP,
            required="x, weight and bias of one floating dtype, with the mask on one device",
            received=", ".join(f"{t.dtype} on {t.device}" for t in (weight, bits, *others)),
            remedy="convert with .to(…)",
        )
