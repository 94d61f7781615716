"""y = x (W∘M)ᵀ + b for a packed mask M, differentiable, with exact zeros where M is off. See masked.md."""

from math import prod

import torch
from torch import Tensor

from ..errors import PruneproofError
from .backend import FLOATS, Choice, require_tensors
from .bits import BitMask, pack_words
from .masked_ops import masked_forward
from .masked_plan import OP, plan_masked
from .skip import skip_list

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
