"""y = x (W∘M)ᵀ + b for a packed mask M, differentiable, with exact zeros where M is off. See README.md.

On the CPU this is one selection W∘M and torch's own product, so that every transform of torch sees
through it, or `cpu.linear` where none is at work. On a GPU it is `pruneproof::masked_linear` and its
two derivative operations, closed under differentiation. With F(x, W) = x(W∘M)ᵀ,
B(dy, W) = dy(W∘M), D(dy, x) = (dyᵀx)∘M, each is linear in either argument and
    ∂F = (B, D),   ∂B(·; g) = (F(g, W), D(dy, g)),   ∂D(·; G) = (F(x, G), B(dy, G)).
"""

import os
from functools import lru_cache
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pruneproof.checks import require_choice
from pruneproof.errors import InvalidTypeError, InvalidValueError
from pruneproof.kernels.backend import FLOATS, Choice, choose, require_tensors
from pruneproof.kernels.bits import BLOCK, BitMask, block_list, live_blocks, pack_words
from pruneproof.kernels.measured import thresholds
from pruneproof.kernels.transforms import autocast_dtype, cast_like_linear, transformable

from . import cpu, reference

OP = "masked_linear"
PRECISIONS = ("ieee", "tf32", "tf32x3")
DEBUG = "PRUNEPROOF_DEBUG"  # set to 1 to check what `weight_is_masked` claims


_skip_lists: WeakKeyDictionary[BitMask, tuple[Tensor, Tensor] | None] = WeakKeyDictionary()


def skip_list(mask: BitMask) -> tuple[Tensor, Tensor] | None:
    """(block columns int32 (live blocks,), starts int32 (rows of blocks + 1,)), or None if too few blocks are empty."""
    if torch.compiler.is_compiling() or mask.words.device.type == "meta" or len(mask.shape) != 2:
        return None  # counting the blocks would break the graph
    if mask not in _skip_lists:
        live = live_blocks(mask.words, BLOCK, BLOCK)
        if type(live) is not Tensor:  # a FakeTensor, say, which has a shape and no values to count
            return None
        worth = (
            live.numel() > 0 and live.float().mean().item() <= thresholds(mask.words.device)[0]["skip_live_fraction"]
        )
        _skip_lists[mask] = block_list(live) if worth else None
    return _skip_lists[mask]


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


def _forward_body(
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


def _input_gradient_body(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    """Dx (tokens, in)."""
    if plan_masked(OP, weight, dy.shape[0], None).backend == "reference":
        return reference.input_gradient(dy, weight, words)
    from . import launch

    return launch.premasked_input_gradient(dy, weight, words, precision)


def _weight_gradient_body(dy: Tensor, x: Tensor, words: Tensor, precision: str, masked: bool) -> Tensor:
    """DW (out, in), zero outside the mask if `masked`."""
    if not masked or plan_masked(OP, x, dy.shape[0], None).backend == "reference":
        return reference.weight_gradient(dy, x, words, masked)
    from . import launch

    return launch.weight_gradient(dy, x, words, precision)


masked_forward = torch.library.custom_op("pruneproof::masked_linear", _forward_body, mutates_args=())


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


masked_input_gradient = torch.library.custom_op(
    "pruneproof::masked_linear_input_gradient", _input_gradient_body, mutates_args=()
)


@masked_input_gradient.register_fake
def _(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    return dy.new_empty(dy.shape[0], weight.shape[1])


masked_weight_gradient = torch.library.custom_op(
    "pruneproof::masked_linear_weight_gradient", _weight_gradient_body, mutates_args=()
)


@masked_weight_gradient.register_fake
def _(dy: Tensor, x: Tensor, words: Tensor, precision: str, masked: bool) -> Tensor:
    return x.new_empty(dy.shape[1], x.shape[1])


def _leading(values: tuple[Any, ...], dims: tuple[Any, ...]) -> list[Any]:
    """Move each mapped dimension to the front; unmapped tensors broadcast."""
    return [v if d is None else v.movedim(d, 0) for v, d in zip(values, dims, strict=True)]


def _batched(result: Tensor, size: int) -> tuple[Tensor, int]:
    return (result if result.dim() == 3 else result.expand(size, *result.shape)), 0


def _save_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> tuple[Tensor, ...]:
    x, weight, words, bias, _, _, ctx.precision, ctx.mask_grad = inputs
    ctx.biased = bias is not None
    return x, weight, words


def _forward_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, words = ctx.saved_tensors
    dx = _input_gradient(dy, weight, words, ctx.precision) if ctx.needs_input_grad[0] else None
    dw = _weight_gradient(dy, x, words, ctx.precision, ctx.mask_grad) if ctx.needs_input_grad[1] else None
    return dx, dw, None, dy.sum(0) if ctx.biased else None, None, None, None, None


def _forward_jvp(ctx: Any, dx: Tensor | None, dw: Tensor | None, _: None, db: Tensor | None, *__: None) -> Tensor:
    x, weight, words = ctx.saved_tensors
    parts = [] if dx is None else [_forward(dx, weight, words, None, None, None, ctx.precision, True)]
    if dw is not None:
        masked = ctx.mask_grad
        parts += [_forward(x, dw, words, None, None, None, ctx.precision, True) if masked else x @ dw.mT]
    parts += [] if db is None else [db.expand(x.shape[0], -1)]
    return sum(parts[1:], parts[0])


def _forward_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    x, weight, words, bias, *_ = _leading(args, in_dims)
    return _batched(reference.forward(x, weight, words, bias), info.batch_size)


def _save_input_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> tuple[Tensor, ...]:
    dy, weight, words, ctx.precision = inputs
    return dy, weight, words


def _input_gradient_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, weight, words = ctx.saved_tensors
    first = _forward(g, weight, words, None, None, None, ctx.precision, True)
    return first, _weight_gradient(dy, g, words, ctx.precision, True), None, None


def _input_gradient_jvp(ctx: Any, ddy: Tensor | None, dw: Tensor | None, *_: None) -> Tensor:
    dy, weight, words = ctx.saved_tensors
    parts = [] if ddy is None else [_input_gradient(ddy, weight, words, ctx.precision)]
    parts += [] if dw is None else [_input_gradient(dy, dw, words, ctx.precision)]
    return sum(parts[1:], parts[0])


def _input_gradient_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    dy, weight, words, _ = _leading(args, in_dims)
    return _batched(reference.input_gradient(dy, weight, words), info.batch_size)


def _save_weight_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> tuple[Tensor, ...]:
    dy, x, words, ctx.precision, ctx.masked = inputs
    return dy, x, words


def _weight_gradient_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, x, words = ctx.saved_tensors
    if not ctx.masked:
        return x @ g.mT, dy @ g, None, None, None
    first = _forward(x, g, words, None, None, None, ctx.precision, True)
    return first, _input_gradient(dy, g, words, ctx.precision), None, None, None


def _weight_gradient_jvp(ctx: Any, ddy: Tensor | None, dx: Tensor | None, *_: None) -> Tensor:
    dy, x, words = ctx.saved_tensors
    parts = [] if ddy is None else [_weight_gradient(ddy, x, words, ctx.precision, ctx.masked)]
    parts += [] if dx is None else [_weight_gradient(dy, dx, words, ctx.precision, ctx.masked)]
    return sum(parts[1:], parts[0])


def _weight_gradient_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    dy, x, words, _, masked = _leading(args, in_dims)
    return _batched(reference.weight_gradient(dy, x, words, masked), info.batch_size)


_forward = transformable(
    masked_forward, _forward_body, save=_save_forward, backward=_forward_backward, jvp=_forward_jvp, vmap=_forward_vmap
)
_input_gradient = transformable(
    masked_input_gradient,
    _input_gradient_body,
    save=_save_input_gradient,
    backward=_input_gradient_backward,
    jvp=_input_gradient_jvp,
    vmap=_input_gradient_vmap,
)
_weight_gradient = transformable(
    masked_weight_gradient,
    _weight_gradient_body,
    save=_save_weight_gradient,
    backward=_weight_gradient_backward,
    jvp=_weight_gradient_jvp,
    vmap=_weight_gradient_vmap,
)


def masked_linear(
    x: Tensor,
    weight: Tensor,
    mask: Tensor | BitMask,
    bias: Tensor | None = None,
    *,
    precision: str | None = None,
    mask_grad: bool = True,
    weight_is_masked: bool = False,
) -> Tensor:
    """Linear map with a masked weight: `x @ where(mask, weight, 0).T + bias`.

    A masked entry is an exact zero even where the weight is inf or NaN. An infinite or NaN input gives
    NaN, as in the dense product, or nothing, where kept weights alone are multiplied, in outputs that
    do not read it through a kept weight. The map has derivatives of every order and kind
    in x, weight and bias: reverse mode, forward mode, vmap, and `torch.func` in any composition.
    Under `torch.autocast` it takes part as `nn.Linear` does.

    Memory: the masked copy of the weight lives from the forward to the backward pass. On the CPU the
    mask is unpacked once, into as many bytes as the weight, or, where it keeps at most an eighth, into
    20 bytes for each kept weight, and that is kept as long as the mask lives. It follows changes of the
    mask by torch's in-place operations, but not writes through `.data` or a NumPy view of the mask:
    make a new mask instead. The weight is read at every call, however it was written.

    Args:
        x: Inputs (…, in).
        weight: Weight (out, in). x, weight and bias have one floating dtype and one device.
        mask: Bool (out, in), or a `BitMask` of that shape (cheaper: packed and unpacked once; on a
            GPU its empty blocks are skipped).
        bias: Bias (out,) or None.
        precision: For float32 on a GPU, "ieee", "tf32" or "tf32x3"; None follows torch's setting.
            The reference always computes in the input's own precision.
        mask_grad: If True, the gradient of `weight` is zero outside the mask; if False it is the
            dense dYᵀX, as the training of scores needs.
        weight_is_masked: Promise that the weight is zero outside the mask, as enforced masks keep
            it; no masked copy is made then. What a weight that is not zero there gives is
            undefined. With `PRUNEPROOF_DEBUG=1` in the environment the promise is checked on every
            call.

    Returns:
        Outputs (…, out). The error of an output is at most γ_{in+1}·(|x||W∘M|ᵀ + |b|) plus one
        rounding to the dtype, γ_n = n·u/(1 − n·u), u the unit roundoff of the accumulation (float32
        for 16-bit types).

    Raises:
        InvalidTypeError: An argument is not a tensor (or a `BitMask`).
        InvalidValueError: Shapes, dtypes or devices do not fit, or an unknown precision.

    Example:
        >>> import torch
        >>> weight = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
        >>> masked_linear(torch.ones(1, 2), weight, torch.tensor([[True, False], [True, True]]))
        tensor([[1., 5.]])
    """
    bits = mask.words if isinstance(mask, BitMask) else mask
    require_tensors(OP, x=x, weight=weight, mask=bits, **({} if bias is None else {"bias": bias}))
    dtype = autocast_dtype(x)
    if dtype is not None:
        x, weight = cast_like_linear(x, dtype), cast_like_linear(weight, dtype)
        bias = None if bias is None else cast_like_linear(bias, dtype)
        with torch.autocast(x.device.type, enabled=False):
            options = {"mask_grad": mask_grad, "weight_is_masked": weight_is_masked}
            return masked_linear(x, weight, mask, bias, precision=precision, **options)
    shift = (None, None, None) if bias is None else _described(bias)
    check = _check if torch.compiler.is_compiling() else _checked
    check(*_described(x), *_described(weight), *_described(bits), tuple(mask.shape), *shift, precision)
    if weight_is_masked and os.environ.get(DEBUG) == "1":
        _check_masked(weight, mask)
    if choose(OP, weight).backend == "reference" and not torch.compiler.is_compiling():
        if cpu.serves(x, weight, bits):
            return cpu.linear(x, weight, bits, bias, not weight_is_masked, mask_grad)
        kept: Any = reference.Selection.apply(weight, bits, not weight_is_masked, mask_grad)
        return reference.linear(x, kept, bias)
    words, tiles, starts = _packed(mask)
    if _once(x, weight, tiles, precision or "default", weight_is_masked):
        masked: Any = reference.Selection.apply(weight, words, not weight_is_masked, mask_grad)
        return torch.nn.functional.linear(x, masked, bias)
    flat = x.reshape(prod(x.shape[:-1]), x.shape[-1])
    y = _forward(flat, weight, words, bias, tiles, starts, precision or "default", mask_grad)
    return y.reshape(*x.shape[:-1], weight.shape[0])


def _once(x: Tensor, weight: Tensor, tiles: Tensor | None, precision: str, weight_is_masked: bool) -> bool:
    """Whether a GPU masks the weight once, or not at all, and leaves both products and their gradients to torch."""
    if torch.compiler.is_compiling() or type(weight) not in (Tensor, torch.nn.Parameter):
        return False  # the operation is one node then, and chooses when it runs, or has no values at all
    choice = plan_masked(OP, weight, prod(x.shape[:-1]), tiles)
    if choice.backend == "reference" or not (weight_is_masked or choice.implementation == "premask"):
        return False
    from .launch import library_serves

    return library_serves(weight.dtype, precision)


def plan(x: Tensor, weight: Tensor, mask: Tensor | BitMask, bias: Tensor | None = None) -> Choice:
    """What `masked_linear` would run."""
    return plan_masked(OP, weight, prod(x.shape[:-1]), _packed(mask)[1])


def _packed(mask: Tensor | BitMask) -> tuple[Tensor, Tensor | None, Tensor | None]:
    if isinstance(mask, Tensor):
        return pack_words(mask), None, None
    tiles = skip_list(mask)
    return (mask.words, None, None) if tiles is None else (mask.words, *tiles)


def _described(tensor: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return tensor.shape, tensor.dtype, tensor.device


def _check(
    x: torch.Size,
    x_dtype: torch.dtype,
    x_device: torch.device,
    weight: torch.Size,
    dtype: torch.dtype,
    device: torch.device,
    bits: torch.Size,
    bits_dtype: torch.dtype,
    bits_device: torch.device,
    mask: tuple[int, ...],
    bias: torch.Size | None,
    bias_dtype: torch.dtype | None,
    bias_device: torch.device | None,
    precision: str | None,
) -> None:
    if precision is not None:
        require_choice(OP, "the precision", precision, PRECISIONS)
    if len(weight) != 2 or len(x) == 0 or x[-1] != weight[1]:
        raise InvalidValueError(
            f"{OP}: x must have shape (…, in) and weight (out, in), got {tuple(x)} and {tuple(weight)}. "
            "Check the last dimension of x."
        )
    if bits_dtype not in (torch.bool, torch.int32) or (bits_dtype == torch.int32 and bits == mask):
        raise InvalidTypeError(f"{OP}: the mask must be bool or a BitMask, got {bits_dtype}. Pass mask.bool().")
    if mask != tuple(weight) or (bias is not None and tuple(bias) != (weight[0],)):
        shown = None if bias is None else tuple(bias)
        raise InvalidValueError(
            f"{OP}: the mask must have shape {tuple(weight)} and the bias ({weight[0]},), "
            f"got {mask} and {shown}. Pass the mask of this very weight."
        )
    dtypes = (x_dtype, dtype) if bias is None else (x_dtype, dtype, bias_dtype)
    devices = (x_device, device, bits_device) if bias is None else (x_device, device, bits_device, bias_device)
    if len({*dtypes}) > 1 or len({*devices}) > 1 or dtype not in FLOATS:
        raise InvalidValueError(
            f"{OP}: x, weight and bias must have one floating dtype and one device with the mask, "
            f"got {', '.join(map(str, dtypes))} on {', '.join(map(str, devices))}. Convert with .to(…)."
        )


_checked = lru_cache(maxsize=4096)(_check)  # it depends on nothing else, and a training loop asks the same again


def _check_masked(weight: Tensor, mask: Tensor | BitMask) -> None:
    keep = mask if isinstance(mask, Tensor) else mask.unpack()
    outside = int((weight.detach().masked_fill(keep, 0) != 0).sum())
    if outside:
        raise InvalidValueError(
            f"{OP}: weight_is_masked=True, but {outside} weights outside the mask are not zero. "
            "Apply the mask to the weight, or leave weight_is_masked out."
        )
