"""y = x Wᵀ + b for a `SparseWeight`: one operation, its kernel chosen by the format. See sparse.md."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError
from pruneproof.kernels.backend import Choice, choose, require_tensors
from pruneproof.kernels.masked.reference import linear

from .formats import FORMATS
from .weight import SparseWeight

OP = "sparse_linear"


def sparse_linear(x: Tensor, weight: SparseWeight, bias: Tensor | None = None) -> Tensor:
    """Linear map with a weight in a sparse format.

    **Arguments**
    - `x`: (…, in); `weight`: a `SparseWeight` (out, in); `bias`: (out,) or None; one dtype and device.

    Returns (…, out). For inference: differentiable in x and bias (once; through the rebuilt dense weight), not in the
    weight. An infinite or NaN input may give NaN in any output, as in the dense product. The error of an output is at
    most γ_{in+1}·(|x||W|ᵀ + |b|) plus one rounding to the dtype, u the unit roundoff of the accumulation.

    Raises PruneproofError for mismatched shapes, dtypes or devices.

    Source: sparse.md.

    >>> import torch
    >>> weight = SparseWeight.from_dense(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), format="csr16")
    >>> sparse_linear(torch.tensor([3.0, 4.0]), weight)
    tensor([8., 3.])
    """
    _refuse_bad(x, weight, bias)
    out, columns = weight.shape
    y = sparse_product(x.reshape(prod(x.shape[:-1]), columns), list(weight.parts), weight.format, out, bias)
    return y.reshape(*x.shape[:-1], out)


def plan(x: Tensor, weight: SparseWeight, bias: Tensor | None = None) -> Choice:
    """What `sparse_linear` would run."""
    return _plan(x, weight.format, weight.reason)


def _plan(x: Tensor, format: str, why: str) -> Choice:
    base = choose(OP, x)
    if base.backend == "reference" or format == "dense":
        return Choice(OP, "reference", "dense product", f"{base.reason}; format {format}: {why}")
    return Choice(OP, base.backend, format, f"{base.reason}; format {format}: {why}")


@torch.library.custom_op("pruneproof::sparse_linear", mutates_args=())
def sparse_product(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    """X (tokens, in) times the transpose of the weight that `parts` hold in `format`, plus bias."""
    if _plan(x, format, "").backend == "reference":
        return linear(x, FORMATS[format].unpack(parts, out, x.shape[1]), bias)
    from .launch import launch

    return launch(x, parts, format, out, bias)


@sparse_product.register_fake
def _(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[0], out)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, parts, ctx.format, ctx.out, bias = inputs
    ctx.columns, ctx.biased = x.shape[1], bias is not None
    ctx.save_for_backward(*parts)


def _derivative(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    parts = list(ctx.saved_tensors)
    dx = dy @ FORMATS[ctx.format].unpack(parts, ctx.out, ctx.columns) if ctx.needs_input_grad[0] else None
    return dx, [None] * len(parts), None, None, dy.sum(0) if ctx.biased else None


sparse_product.register_autograd(_derivative, setup_context=_save)


@sparse_product.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None
) -> tuple[Tensor, int]:
    """More tokens for the same weight; a `SparseWeight` is no tensor, so there are none to map over."""
    mapped, _, _, _, shift = in_dims
    many = x[None] if mapped is None else x.movedim(mapped, 0)
    y = sparse_product(many.flatten(0, 1), parts, format, out, None if shift is not None else bias)
    y = y.unflatten(0, many.shape[:2])
    if bias is not None and shift is not None:
        y = y + bias.movedim(shift, 0)[:, None]
    return y.expand(info.batch_size, *y.shape[1:]), 0


def _refuse_bad(x: Tensor, weight: SparseWeight, bias: Tensor | None) -> None:
    if not isinstance(weight, SparseWeight):
        required, remedy = "a SparseWeight", "build one by SparseWeight.from_dense"
        raise PruneproofError(OP, required=required, received=type(weight).__name__, remedy=remedy)
    require_tensors(OP, x=x, **({} if bias is None else {"bias": bias}))
    out, columns = weight.shape
    if x.dim() == 0 or x.shape[-1] != columns or (bias is not None and tuple(bias.shape) != (out,)):
        raise PruneproofError(
            OP,
            required=f"x (…, {columns}) and bias ({out},) or None",
            received=f"{tuple(x.shape)} and {None if bias is None else tuple(bias.shape)}",
            remedy="check the last dimension of x",
        )
    tensors = [x] if bias is None else [x, bias]
    if any(t.dtype != weight.dtype or t.device != weight.device for t in tensors):
        raise PruneproofError(
            OP,
            required=f"x and bias of {weight.dtype} on {weight.device}, as the weight",
            received=", ".join(f"{t.dtype} on {t.device}" for t in tensors),
            remedy="convert with .to(…)",
        )
