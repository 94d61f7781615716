"""Launches of the sparse products' Triton bodies."""

import torch
from torch import Tensor

from pruneproof.kernels.backend import interpreting, on_its_device
from pruneproof.kernels.masked.launch import resolve, unit_rows

from .triton_kernels import bsr_kernel, csr16_kernel, csr16_scatter_kernel

FEW = 4  # tokens up to which csr16 is multiplied as it is: its entries are read once, and x stays in the L1 cache


def launch(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    """X (tokens, in) times the transposed weight of `format`, plus bias."""
    x = unit_rows(x)
    if x.shape[0] * out == 0:
        return x.new_empty(x.shape[0], out)
    if x.shape[1] == 0:  # an empty sum
        y = x.new_zeros(x.shape[0], out)
        return y if bias is None else y.copy_(bias.expand_as(y))
    if format == "csr16" and x.shape[0] > FEW:
        return torch.nn.functional.linear(x, scattered(parts[0], parts[1], parts[2], out, x.shape[1]), bias)
    y = x.new_empty(x.shape[0], out)
    {"csr16": _csr16, "bsr64": _bsr, "bsr128": _bsr}[format](x, parts, bias, y)
    return y


@on_its_device
def scattered(values: Tensor, columns: Tensor, starts: Tensor, out: int, width: int) -> Tensor:
    """The dense weight (out, width) of csr16 parts; nothing is read back, so it can be captured in a graph."""
    dense = values.new_zeros(out, width)
    csr16_scatter_kernel[(out,)](values, columns, starts, dense, width, BP=256, num_warps=1)
    return dense


@on_its_device
def _csr16(x: Tensor, parts: list[Tensor], bias: Tensor | None, y: Tensor) -> None:
    (tokens, out), rows = y.shape, 4
    together = 1 if tokens == 1 else 2 if tokens == 2 else 4
    csr16_kernel[(-(-out // rows),)](
        x, *parts, bias, y, tokens, out, x.stride(0), y.stride(0), BR=rows, BP=256, BM=together, BIAS=bias is not None,
        num_warps=4,
    )  # fmt: skip


@on_its_device
def _bsr(x: Tensor, parts: list[Tensor], bias: Tensor | None, y: Tensor) -> None:
    (tokens, out), size = y.shape, parts[0].shape[1]
    bm = 16 if tokens <= 16 else 64
    bk = size if x.element_size() == 2 else 32  # a whole block of float32 would not fit in AMD's 64 KiB
    bsr_kernel[(-(-out // size), -(-tokens // bm))](
        x, *parts, bias, y, tokens, out, x.shape[1], x.stride(0), y.stride(0), BM=bm, SIZE=size, BK=bk,
        BIAS=bias is not None, UPCAST=interpreting(), PRECISION=resolve("default"), num_warps=4 if size == 64 else 8,
        num_stages=3,
    )  # fmt: skip
