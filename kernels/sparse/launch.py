"""Launches of the sparse products' Triton bodies."""

from torch import Tensor

from pruneproof.kernels.backend import interpreting
from pruneproof.kernels.masked.launch import fused_forward, resolve, unit_rows

from .triton_kernels import bsr_kernel, csr16_kernel


def launch(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    """X (tokens, in) times the transposed weight of `format`, plus bias."""
    x = unit_rows(x)
    if x.shape[0] * out == 0:
        return x.new_empty(x.shape[0], out)
    if format == "bits":
        return fused_forward(x, parts[0], parts[1], bias, None, None, "default")
    y = x.new_empty(x.shape[0], out)
    if x.shape[1] == 0:  # an empty sum
        return y.zero_() if bias is None else y.copy_(bias.expand_as(y))
    {"csr16": _csr16, "bsr64": _bsr, "bsr128": _bsr}[format](x, parts, bias, y)
    return y


def _csr16(x: Tensor, parts: list[Tensor], bias: Tensor | None, y: Tensor) -> None:
    (tokens, out), rows = y.shape, 4
    together = 1 if tokens == 1 else 2 if tokens == 2 else 4
    csr16_kernel[(-(-out // rows), -(-tokens // together))](
        x, *parts, bias, y, tokens, out, x.stride(0), y.stride(0), BR=rows, BP=256, BM=together, BIAS=bias is not None,
        num_warps=4,
    )  # fmt: skip


def _bsr(x: Tensor, parts: list[Tensor], bias: Tensor | None, y: Tensor) -> None:
    (tokens, out), size = y.shape, parts[0].shape[1]
    bm = 16 if tokens <= 16 else 64
    bk = size if x.element_size() == 2 else 32  # a whole block of float32 would not fit in AMD's 64 KiB
    bsr_kernel[(-(-out // size), -(-tokens // bm))](
        x, *parts, bias, y, tokens, out, x.shape[1], x.stride(0), y.stride(0), BM=bm, SIZE=size, BK=bk,
        BIAS=bias is not None, UPCAST=interpreting(), PRECISION=resolve("default"), num_warps=4 if size == 64 else 8,
        num_stages=3,
    )  # fmt: skip
