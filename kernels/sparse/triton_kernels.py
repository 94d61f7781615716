# pyright: basic, reportArgumentType=false
"""Triton bodies of the sparse products: csr16 over non-zeros, block rows. See README.md.

`UPCAST` turns 16-bit tiles to float32 before arithmetic, which the interpreter gets wrong for bfloat16. Offsets that
can pass 2³¹ are 64-bit.
"""

from typing import Any

import triton
import triton.language as tl

jit: Any = triton.jit  # a launch subscripts the function with its grid, which no type can say


@jit
def _finish_row(acc, token: tl.constexpr, row, bias_ptr, y_ptr, M, N, y_stride, BIAS: tl.constexpr):
    y = tl.sum(acc, 1)
    if BIAS:
        y += tl.load(bias_ptr + row, mask=row < N, other=0.0).to(tl.float32)
    at = y_ptr + tl.cast(token, tl.int64) * y_stride + row
    tl.store(at, y.to(y_ptr.dtype.element_ty), mask=(row < N) & (token < M))


@jit
def csr16_kernel(
    x_ptr, values_ptr, columns_ptr, starts_ptr, bias_ptr, y_ptr, M, N, x_stride, y_stride, BR: tl.constexpr,
    BP: tl.constexpr, BM: tl.constexpr, BIAS: tl.constexpr,
):  # fmt: skip
    """BR rows of W times the M ≤ BM ≤ 4 tokens; every row is walked in chunks of BP non-zeros, in a fixed order.

    One two-dimensional accumulator per token: a third dimension would make the compiler move the entries between
    threads, and the interleaving that lets neighbouring lanes read neighbouring columns would be lost.
    """
    row = tl.program_id(0) * BR + tl.arange(0, BR)
    start = tl.load(starts_ptr + row, mask=row < N, other=0)
    length = (tl.load(starts_ptr + row + 1, mask=row < N, other=0) - start) * 8
    first = start[:, None].to(tl.int64) * 8  # in units of eight entries, so that vectors are known to be aligned
    entry = tl.arange(0, BP)[None, :]
    acc0 = tl.zeros((BR, BP), tl.float32)
    acc1, acc2, acc3 = acc0, acc0, acc0
    x1 = x_ptr + tl.cast(tl.minimum(1, M - 1), tl.int64) * x_stride  # tokens past the end repeat the last
    x2 = x_ptr + tl.cast(tl.minimum(2, M - 1), tl.int64) * x_stride
    x3 = x_ptr + tl.cast(tl.minimum(3, M - 1), tl.int64) * x_stride
    for chunk in range(0, tl.max(length, 0), BP):
        here = chunk + entry < length[:, None]
        value = tl.load(values_ptr + first + (chunk + entry), mask=here, other=0.0).to(tl.float32)
        column = tl.load(columns_ptr + first + (chunk + entry), mask=here, other=0).to(tl.int32)
        acc0 += value * tl.load(x_ptr + column).to(tl.float32)
        if BM > 1:
            acc1 += value * tl.load(x1 + column).to(tl.float32)
        if BM > 2:
            acc2 += value * tl.load(x2 + column).to(tl.float32)
            acc3 += value * tl.load(x3 + column).to(tl.float32)
    _finish_row(acc0, 0, row, bias_ptr, y_ptr, M, N, y_stride, BIAS)
    if BM > 1:
        _finish_row(acc1, 1, row, bias_ptr, y_ptr, M, N, y_stride, BIAS)
    if BM > 2:
        _finish_row(acc2, 2, row, bias_ptr, y_ptr, M, N, y_stride, BIAS)
        _finish_row(acc3, 3, row, bias_ptr, y_ptr, M, N, y_stride, BIAS)


@jit
def csr16_scatter_kernel(values_ptr, columns_ptr, starts_ptr, dense_ptr, K, BP: tl.constexpr):
    """One row of the dense weight, zero before; padding holds zeros, which are not stored."""
    row = tl.program_id(0)
    first = tl.load(starts_ptr + row).to(tl.int64) * 8
    length = (tl.load(starts_ptr + row + 1) - tl.load(starts_ptr + row)) * 8
    for chunk in range(0, length, BP):
        entry = chunk + tl.arange(0, BP)
        value = tl.load(values_ptr + first + entry, mask=entry < length, other=0.0)
        column = tl.load(columns_ptr + first + entry, mask=entry < length, other=0).to(tl.int32)
        kept = value.to(tl.float32) != 0
        tl.store(dense_ptr + row.to(tl.int64) * K + column, value, mask=kept)


@jit
def bsr_kernel(
    x_ptr, values_ptr, columns_ptr, starts_ptr, bias_ptr, y_ptr, M, N, K, x_stride, y_stride, BM: tl.constexpr,
    SIZE: tl.constexpr, BK: tl.constexpr, BIAS: tl.constexpr, UPCAST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One row of blocks times BM tokens, walking over the stored blocks only, BK columns a turn."""
    row, inner = tl.arange(0, SIZE), tl.arange(0, BK)
    n = tl.program_id(0) * SIZE + row
    parts = SIZE // BK
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    acc = tl.zeros((SIZE, BM), tl.float32)
    x_row = x_ptr + m[None, :].to(tl.int64) * x_stride
    block = values_ptr + row[:, None] * SIZE + inner[None, :]
    first, last = tl.load(starts_ptr + tl.program_id(0)), tl.load(starts_ptr + tl.program_id(0) + 1)
    for turn in range(first * parts, last * parts):
        t, part = turn // parts, turn % parts * BK  # pyright: ignore[reportOperatorIssue] (a constexpr is an int)
        column = tl.load(columns_ptr + t) * SIZE + part + inner
        w = tl.load(block + tl.cast(t, tl.int64) * (SIZE * SIZE) + part)
        x = tl.load(x_row + column[:, None], mask=(m[None, :] < M) & (column[:, None] < K), other=0.0)
        if UPCAST:
            w, x = w.to(tl.float32), x.to(tl.float32)
        acc = tl.dot(w, x, acc, input_precision=PRECISION)
    if BIAS:
        acc += tl.load(bias_ptr + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
    at = y_ptr + m[None, :].to(tl.int64) * y_stride + n[:, None]
    tl.store(at, acc.to(y_ptr.dtype.element_ty), mask=(m[None, :] < M) & (n[:, None] < N))
