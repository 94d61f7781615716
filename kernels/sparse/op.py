"""y = x Wᵀ + b for a `SparseWeight`: one operation, its kernel chosen by the format. See README.md.

On the CPU, where no format has a kernel of its own, the weight is turned once into what multiplies
fastest there, compressed rows or the dense matrix, and kept beside the weight.
"""

from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import InvalidTypeError, InvalidValueError
from pruneproof.kernels.backend import Choice, choose, require_tensors
from pruneproof.kernels.masked.reference import linear
from pruneproof.kernels.transforms import autocast_dtype, transformable

from . import cpu
from .formats import FORMATS
from .weight import SparseWeight

OP = "sparse_linear"


def sparse_linear(x: Tensor, weight: SparseWeight, bias: Tensor | None = None) -> Tensor:
    """Linear map with a weight in a sparse format, for inference.

    Differentiable in x and bias, not in the weight: reverse mode of every order, forward mode, vmap and
    `torch.func` in any composition. An infinite or NaN input may give NaN in any output, as in the dense
    product. Under `torch.autocast` it takes part as `nn.Linear` does. On the CPU the first call keeps a
    copy of the weight in the layout that multiplies fastest, as long as the weight lives: at most the
    bytes of the dense weight. Writes into its parts through `.data` or a NumPy view are not seen.

    Args:
        x: Inputs (…, in), of the weight's dtype and device.
        weight: A `SparseWeight` (out, in).
        bias: Bias (out,) of the same dtype and device, or None.

    Returns:
        Outputs (…, out). The error of an output is at most γ_{in+1}·(|x||W|ᵀ + |b|) plus one
        rounding to
        the dtype, γ_n = n·u/(1 − n·u), u the unit roundoff of the accumulation (float32 for 16-bit
        types).

    Raises:
        InvalidTypeError: The weight is not a `SparseWeight`, or x or bias is not a tensor.
        InvalidValueError: Shapes, dtypes or devices do not fit.

    Example:
        >>> import torch
        >>> weight = SparseWeight.from_dense(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), format="csr16")
        >>> sparse_linear(torch.tensor([3.0, 4.0]), weight)
        tensor([8., 3.])
    """
    if not isinstance(weight, SparseWeight):
        kind = type(weight).__name__
        raise InvalidTypeError(f"{OP}: the weight must be a SparseWeight, got {kind}. Use SparseWeight.from_dense.")
    require_tensors(OP, x=x, **({} if bias is None else {"bias": bias}))
    dtype = autocast_dtype(x)
    if dtype is not None and weight.dtype != torch.float64:
        with torch.autocast(x.device.type, enabled=False):  # the weight stays as it is; only the result is rounded
            wide = None if bias is None else bias.to(weight.dtype)
            return sparse_linear(x.to(weight.dtype), weight, wide).to(dtype)
    shifted = (None, None, None) if bias is None else (bias.shape, bias.dtype, bias.device)
    check = _check if torch.compiler.is_compiling() else _checked
    check(weight.shape, weight.dtype, weight.device, x.shape, x.dtype, x.device, *shifted)
    out, columns = weight.shape
    tokens = x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), columns)
    y = _product(tokens, list(weight.parts), weight.format, out, bias)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], out)


def plan(x: Tensor, weight: SparseWeight, bias: Tensor | None = None) -> Choice:
    """What `sparse_linear` would run."""
    return _plan(x, weight.format, weight.reason)


def _plan(x: Tensor, format: str, why: str) -> Choice:
    base = choose(OP, x)
    if base.backend == "reference" or format == "dense":
        return Choice(OP, "reference", "dense product", f"{base.reason}; format {format}: {why}")
    return Choice(OP, base.backend, format, f"{base.reason}; format {format}: {why}")


def _body(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    """X (tokens, in) times the transpose of the weight that `parts` hold in `format`, plus bias."""
    if format == "dense" or choose(OP, x).backend == "reference":
        if x.is_cpu:
            return cpu.product(x, parts, format, out, bias)
        return linear(x, FORMATS[format].unpack(parts, out, x.shape[1]), bias)
    from .launch import launch

    return launch(x, parts, format, out, bias)


sparse_product = torch.library.custom_op("pruneproof::sparse_linear", _body, mutates_args=())


@sparse_product.register_fake
def _(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[0], out)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> tuple[Tensor, ...]:
    x, parts, ctx.format, ctx.out, bias = inputs
    ctx.columns, ctx.biased, ctx.tokens = x.shape[1], bias is not None, x.shape[0]
    return tuple(parts)


def _backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    parts = list(ctx.saved_tensors)
    dx = dy @ FORMATS[ctx.format].unpack(parts, ctx.out, ctx.columns) if ctx.needs_input_grad[0] else None
    return dx, [None] * len(parts), None, None, dy.sum(0) if ctx.biased else None


def _jvp(ctx: Any, dx: Tensor | None, *others: Any) -> Tensor:
    shift: Tensor | None = others[-1]
    if dx is None:
        assert shift is not None  # otherwise nothing has a tangent
        return shift.expand(ctx.tokens, -1).contiguous()
    return _product(dx, list(ctx.saved_tensors), ctx.format, ctx.out, shift)


def _vmap(
    info: Any, in_dims: tuple[Any, ...], x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None
) -> tuple[Tensor, int]:
    """More tokens for the same weight; a `SparseWeight` is no tensor, so there are none to map over."""
    mapped, _, _, _, shift = in_dims
    many = x[None] if mapped is None else x.movedim(mapped, 0)
    y = _product(many.flatten(0, 1), parts, format, out, None if shift is not None else bias)
    y = y.unflatten(0, many.shape[:2])
    if bias is not None and shift is not None:
        y = y + bias.movedim(shift, 0)[:, None]
    return y.expand(info.batch_size, *y.shape[1:]), 0


_product = transformable(sparse_product, _body, save=_save, backward=_backward, jvp=_jvp, vmap=_vmap)


def _check(
    weight: tuple[int, int],
    dtype: torch.dtype,
    device: torch.device,
    x: torch.Size,
    x_dtype: torch.dtype,
    x_device: torch.device,
    bias: torch.Size | None,
    bias_dtype: torch.dtype | None,
    bias_device: torch.device | None,
) -> None:
    out, columns = weight
    if len(x) == 0 or x[-1] != columns or (bias is not None and tuple(bias) != (out,)):
        shown = None if bias is None else tuple(bias)
        raise InvalidValueError(
            f"{OP}: x must have shape (…, {columns}) and the bias ({out},), got {tuple(x)} and {shown}. "
            "Check the last dimension of x."
        )
    kinds = [(x_dtype, x_device)] if bias is None else [(x_dtype, x_device), (bias_dtype, bias_device)]
    if any(kind != (dtype, device) for kind in kinds):
        shown = ", ".join(f"{kind} on {where}" for kind, where in kinds)
        raise InvalidValueError(
            f"{OP}: x and bias must be {dtype} on {device}, as the weight is, got {shown}. Convert with .to(…)."
        )


_checked = lru_cache(maxsize=4096)(_check)
