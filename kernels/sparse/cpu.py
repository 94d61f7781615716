"""The product with a sparse weight on a CPU: on compressed rows where few weights are kept, else the dense product.

Whichever it is, the operand is made once per weight and remembered beside it. Up to which density
compressed rows with 32-bit indices are faster stands in `measured.json`, measured on two cores with
one and two threads, 512² and 2048².
"""

import warnings
from functools import lru_cache

import torch
from torch import Tensor

from pruneproof.kernels.masked.reference import linear
from pruneproof.kernels.measured import measured_rows
from pruneproof.kernels.remembered import Remembered
from pruneproof.kernels.rows import compressed, times

from .formats import FORMATS

_compressed_rows, _dense = Remembered(), Remembered()  # parts of a weight → its operand


def product(x: Tensor, parts: list[Tensor], format: str, out: int, bias: Tensor | None) -> Tensor:
    """X (tokens, in) times the transposed weight, plus bias."""
    tokens, columns = x.shape
    if format == "dense" or not _in_rows(parts[0].numel(), out, columns, tokens, x.dtype):
        return linear(x, _operand(parts, format, out, columns, False), bias)
    y = times(_operand(parts, format, out, columns, True), x)
    return y if bias is None else y.add_(bias)


def has_sparse_products(dtype: torch.dtype) -> bool:
    """Whether torch multiplies compressed rows of this dtype, which takes MKL."""
    return dtype in (torch.float32, torch.float64) and torch.backends.mkl.is_available()


@lru_cache(maxsize=4096)
def _in_rows(stored: int, out: int, columns: int, tokens: int, dtype: torch.dtype) -> bool:
    """Whether compressed rows are there and faster than the dense product; `stored` counts padding too."""
    if not has_sparse_products(dtype) or out * columns * tokens == 0:
        return False
    return any(
        stored <= row["max_stored"] * out * columns and (row["max_tokens"] is None or tokens <= row["max_tokens"])
        for row in measured_rows()["cpu"]
    )


def _operand(parts: list[Tensor], format: str, out: int, columns: int, compressed: bool) -> Tensor:
    if format == "dense" and not compressed:
        return parts[0]
    memory = _compressed_rows if compressed else _dense
    made = memory.get(parts)
    if made is None:
        dense = FORMATS[format].unpack(parts, out, columns)
        made = _compressed(dense) if compressed else dense
        memory.put(parts, made)
    return made


def _compressed(dense: Tensor) -> Tensor:
    with warnings.catch_warnings():  # torch announces once that CSR tensors may still change
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        rows = dense.detach().to_sparse_csr()
    return compressed(
        rows.crow_indices().int(), rows.col_indices().int(), rows.values(), (dense.shape[0], dense.shape[1])
    )
