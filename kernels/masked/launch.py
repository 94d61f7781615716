"""Launches of the masked linear map's Triton bodies: tile sizes, strides, and where the library product takes over."""

import torch
from torch import Tensor

from pruneproof.kernels.backend import interpreting, multiprocessors, on_its_device
from pruneproof.kernels.bits import BLOCK
from pruneproof.kernels.measured import thresholds

from .triton_kernels import apply_mask_kernel, masked_forward_kernel, weight_gradient_kernel

WAVES = 2  # programs wanted per multiprocessor before the columns are no longer split


@on_its_device
def fused_forward(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    tiles: Tensor | None,
    starts: Tensor | None,
    precision: str,
) -> Tensor:
    """One kernel that reads W and its bits once per 64 tokens; few output rows split the columns, summed in order."""
    x, weight, words = unit_rows(x), unit_rows(weight), words.contiguous()
    (tokens, columns), out = x.shape, weight.shape[0]
    if tokens * out == 0:
        return x.new_empty(tokens, out)
    skip = tiles is not None
    pairs = _pairable(weight)
    bm, bn, bk = _tokens(tokens), BLOCK, BLOCK if skip else 128 if pairs else 32  # wider, single weights would spill
    grid = -(-out // bn), -(-tokens // bm)
    split = 1 if skip else _split(grid[0] * grid[1], -(-columns // bk), x.device)
    whole = columns % bk == 0 and out % bn == 0
    y = x.new_empty(tokens, out)
    parts = x.new_empty(split, tokens, out, dtype=torch.float32) if split > 1 else None
    arrivals = torch.zeros(grid[0] * grid[1], dtype=torch.int32, device=x.device) if split > 1 else None
    masked_forward_kernel[(*grid, split)](
        x, weight.view(torch.int32) if pairs else weight, words, bias, y, parts, arrivals, tiles, starts, tokens, out,
        columns, x.stride(0), weight.stride(0) // (2 if pairs else 1), words.stride(0), out, tokens * out,
        BM=bm, BN=bn, BK=bk, SPLIT=split, BIAS=bias is not None, SKIP=skip, PAIRS=pairs, WHOLE=whole,
        UPCAST=interpreting(), PRECISION=resolve(precision), num_warps=4, num_stages=3,
    )  # fmt: skip
    return y


def premasked_forward(x: Tensor, weight: Tensor, words: Tensor, bias: Tensor | None, precision: str) -> Tensor:
    """Mask once, multiply by the library; right for many tokens, where W's bytes are few beside the arithmetic."""
    if not library_serves(x.dtype, precision):
        return fused_forward(x, weight, words, bias, None, None, precision)
    return torch.nn.functional.linear(x, apply_mask(weight, words), bias)


def premasked_input_gradient(dy: Tensor, weight: Tensor, words: Tensor, precision: str) -> Tensor:
    """dY (W∘M)."""
    masked = apply_mask(weight, words)
    if library_serves(dy.dtype, precision):
        return dy @ masked
    everything = words.new_full((dy.shape[0], words.shape[1]), -1)
    return masked_product(dy.T, masked, everything, precision)  # (dYᵀ)ᵀ(W∘M), all of it kept


@on_its_device
def apply_mask(weight: Tensor, words: Tensor, *, in_place: bool = False) -> Tensor:
    """W∘M from the packed bits in one pass, over W itself if its rows are in one piece and it may be overwritten."""
    weight, words = unit_rows(weight), words.contiguous()
    out, columns = weight.shape
    masked = weight if in_place else weight.new_empty(out, columns)
    if masked.numel():
        bn, bk = 16, 128
        apply_mask_kernel[(-(-out // bn), -(-columns // bk))](
            weight, words, masked, out, columns, weight.stride(0), words.stride(0), masked.stride(0), BN=bn, BK=bk
        )
    return masked


def weight_gradient(dy: Tensor, x: Tensor, words: Tensor, precision: str) -> Tensor:
    """(dYᵀX)∘M: the library's product masked in place, or one kernel with the mask in its epilogue, by the table."""
    if weight_gradient_choice(x, dy.shape[0], precision) == "library":
        return apply_mask(dy.T @ x, words, in_place=True)
    return masked_product(dy, x, words, precision)


@on_its_device
def masked_product(dy: Tensor, x: Tensor, words: Tensor, precision: str) -> Tensor:
    """(dYᵀX)∘M by one kernel; blocks without a kept weight cost their store only."""
    dy, x, words = unit_rows(dy), unit_rows(x), words.contiguous()
    (tokens, out), columns = dy.shape, x.shape[1]
    dw = x.new_empty(out, columns)
    if dw.numel():
        bn, bk, bm = (128, 128, 64) if x.element_size() == 2 else (64, 64, 32)
        weight_gradient_kernel[(-(-out // bn), -(-columns // bk))](
            dy, x, words, dw, tokens, out, columns, dy.stride(0), x.stride(0), words.stride(0), dw.stride(0),
            BM=bm, BN=bn, BK=bk, UPCAST=interpreting(), PRECISION=resolve(precision), num_warps=8, num_stages=3,
        )  # fmt: skip
    return dw


def weight_gradient_choice(x: Tensor, tokens: int, precision: str) -> str:
    """From as many tokens on as the table says, and where it is exact enough, the "library"; else our "kernel"."""
    enough = tokens >= thresholds(x.device)[0]["library_gradient_tokens"]
    return "library" if enough and library_serves(x.dtype, precision) else "kernel"


def resolve(precision: str) -> str:
    """The float32 precision of a Triton product; "default" follows torch's setting, by either of its names."""
    if precision == "default":
        matmul = torch.backends.cuda.matmul
        setting = getattr(matmul, "fp32_precision", None)  # since torch 2.9; asking for the older one may raise there
        return "tf32" if (setting == "tf32" if setting is not None else matmul.allow_tf32) else "ieee"
    return "ieee" if precision == "tf32x3" and torch.version.hip else precision  # AMD has no tf32x3; ieee is no worse


def library_serves(dtype: torch.dtype, precision: str) -> bool:
    """Whether torch's own product is as exact as was asked for at its present setting, which is not ours to switch."""
    return dtype != torch.float32 or precision in ("default", "tf32") or resolve("default") == "ieee"


def unit_rows(tensor: Tensor) -> Tensor:
    """The tensor with unit stride along its last dimension, copied only if it has another."""
    return tensor if tensor.stride(-1) == 1 or tensor.numel() == 0 else tensor.contiguous()


def _pairable(weight: Tensor) -> bool:
    """Whether rows can be read as aligned int32 pairs of 16-bit weights."""
    even = weight.shape[1] % 2 == 0 and weight.stride(0) % 2 == 0
    return weight.element_size() == 2 and even and weight.data_ptr() % 4 == 0 and weight.numel() > 0


def _tokens(tokens: int) -> int:
    return 16 if tokens <= 16 else 64


def _split(programs: int, steps: int, device: torch.device) -> int:
    """Into how many parts to split the columns: a power of two that fills the device but leaves four steps a part."""
    split = 1
    while programs * split < WAVES * multiprocessors(device) and steps // (2 * split) >= 4:
        split *= 2
    return split
