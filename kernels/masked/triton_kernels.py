# pyright: basic, reportGeneralTypeIssues=false
"""Triton bodies of the masked linear map: fused forward, masked weight gradient, masking once. See README.md.

`UPCAST` turns 16-bit tiles to float32 before arithmetic: the interpreter's bfloat16 arithmetic is wrong without a word.
Offsets are 64-bit, so a weight may have more than 2³¹ entries. Padding bits of the mask are zero, so whatever lies past
a row's last column never enters a sum.
"""

from typing import Any

import triton
import triton.language as tl

jit: Any = triton.jit  # a launch subscripts the function with its grid, which no type can say


@jit
def _bits(words_ptr, n, k, N, K, words_stride, BK: tl.constexpr):
    """Bool [BN, BK] for rows n and the BK columns from k on; False outside the matrix."""
    word = k // 32 + tl.arange(0, BK // 32)
    inside = (n[:, None] < N) & (word[None, :] < (K + 31) // 32)
    packed = tl.load(words_ptr + n[:, None].to(tl.int64) * words_stride + word[None, :], mask=inside, other=0)
    spread = (packed[:, :, None] >> tl.arange(0, 32)[None, None, :]) & 1
    return tl.reshape(spread, (n.shape[0], BK)) != 0


@jit
def _pair_bits(words_ptr, n, k, N, K, words_stride, BK: tl.constexpr):
    """Int32 [BN, BK / 2]: 0xFFFF in either half where that weight of a pair of 16-bit weights is kept."""
    word = k // 32 + tl.arange(0, BK // 32)
    inside = (n[:, None] < N) & (word[None, :] < (K + 31) // 32)
    packed = tl.load(words_ptr + n[:, None].to(tl.int64) * words_stride + word[None, :], mask=inside, other=0)
    two = packed[:, :, None] >> (2 * tl.arange(0, 16))[None, None, :]
    return tl.reshape(((two & 1) | ((two & 2) << 15)) * 0xFFFF, (n.shape[0], BK // 2))


@jit
def _masked_tile(
    w_ptr, words_ptr, n, k, N, K, w_stride, words_stride, BK: tl.constexpr, PAIRS: tl.constexpr, WHOLE: tl.constexpr,
    DTYPE: tl.constexpr,
):  # fmt: skip
    """The tile of W∘M; with PAIRS the pointer is to int32 pairs and the mask is one AND per pair."""
    row = n[:, None].to(tl.int64) * w_stride
    if PAIRS:
        pair = k // 2 + tl.arange(0, BK // 2)
        at = w_ptr + row + pair[None, :]
        raw = tl.load(at) if WHOLE else tl.load(at, mask=(n[:, None] < N) & (pair[None, :] < K // 2), other=0)
        kept = raw & _pair_bits(words_ptr, n, k, N, K, words_stride, BK)
        low = kept.to(tl.int16).to(DTYPE, bitcast=True)
        high = (kept >> 16).to(tl.int16).to(DTYPE, bitcast=True)
        return tl.reshape(tl.join(low, high), (n.shape[0], BK))
    else:  # the compiler drops the branch not taken only if both are written out
        column = k + tl.arange(0, BK)
        at = w_ptr + row + column[None, :]
        raw = tl.load(at) if WHOLE else tl.load(at, mask=(n[:, None] < N) & (column[None, :] < K), other=0.0)
        return tl.where(_bits(words_ptr, n, k, N, K, words_stride, BK), raw, 0.0)


@jit
def masked_forward_kernel(
    x_ptr, w_ptr, words_ptr, bias_ptr, y_ptr, parts_ptr, arrivals_ptr, tiles_ptr, starts_ptr, M, N, K, x_stride,
    w_stride, words_stride, y_stride, part_stride, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    SPLIT: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, PAIRS: tl.constexpr, WHOLE: tl.constexpr,
    UPCAST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One [BN, BM] tile of (W∘M)xᵀ, over one of SPLIT parts of the columns.

    The program of a tile that arrives last adds up its parts, in their order whichever it is: the same bits every time.
    """
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    part = tl.program_id(2)
    if SKIP:
        first = tl.load(starts_ptr + tl.program_id(0))
        last = tl.load(starts_ptr + tl.program_id(0) + 1)
    else:
        share = tl.cdiv(tl.cdiv(K, BK), SPLIT)
        first = part * share
        last = tl.minimum(first + share, tl.cdiv(K, BK))
    acc = tl.zeros((BN, BM), tl.float32)
    x_row = x_ptr + m[None, :].to(tl.int64) * x_stride
    for t in range(first, last):
        k = (tl.load(tiles_ptr + t) if SKIP else t) * BK
        column = k + tl.arange(0, BK)
        w = _masked_tile(w_ptr, words_ptr, n, k, N, K, w_stride, words_stride, BK, PAIRS, WHOLE, x_ptr.dtype.element_ty)
        here = m[None, :] < M
        if not WHOLE:
            here &= column[:, None] < K
        x = tl.load(x_row + column[:, None], mask=here, other=0.0)
        if UPCAST:
            w, x = w.to(tl.float32), x.to(tl.float32)
        acc = tl.dot(w, x, acc, input_precision=PRECISION)
    inside = (m[None, :] < M) & (n[:, None] < N)
    at = m[None, :].to(tl.int64) * y_stride + n[:, None]
    last = True
    if SPLIT > 1:
        tl.store(parts_ptr + part.to(tl.int64) * part_stride + at, acc, mask=inside)
        tl.debug_barrier()  # every thread's part comes before the arrival
        tile = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
        last = tl.atomic_add(arrivals_ptr + tile, 1, sem="acq_rel") == SPLIT - 1
        tl.debug_barrier()
        if last:
            acc = tl.zeros((BN, BM), tl.float32)
            for other in tl.range(0, SPLIT, num_stages=1):
                there = parts_ptr + tl.cast(other, tl.int64) * part_stride + at
                acc += tl.load(there, mask=inside, other=0.0, cache_modifier=".cg")
    if last:
        if BIAS:
            acc += tl.load(bias_ptr + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
        tl.store(y_ptr + at, acc.to(y_ptr.dtype.element_ty), mask=inside)


@jit
def weight_gradient_kernel(
    dy_ptr, x_ptr, words_ptr, dw_ptr, M, N, K, dy_stride, x_stride, words_stride, dw_stride, BM: tl.constexpr,
    BN: tl.constexpr, BK: tl.constexpr, UPCAST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One [BN, BK] tile of (dYᵀX)∘M; a tile without kept weights costs its store only."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.program_id(1) * BK
    column = k + tl.arange(0, BK)
    keep = _bits(words_ptr, n, k, N, K, words_stride, BK)
    live = tl.max(tl.max(keep.to(tl.int32), 1), 0)
    acc = tl.zeros((BN, BK), tl.float32)
    for start in range(0, M * live, BM):
        m = start + tl.arange(0, BM)
        dy_at = dy_ptr + m[:, None].to(tl.int64) * dy_stride + n[None, :]
        dy = tl.load(dy_at, mask=(m[:, None] < M) & (n[None, :] < N), other=0.0)
        x_at = x_ptr + m[:, None].to(tl.int64) * x_stride + column[None, :]
        x = tl.load(x_at, mask=(m[:, None] < M) & (column[None, :] < K), other=0.0)
        if UPCAST:
            dy, x = dy.to(tl.float32), x.to(tl.float32)
        acc = tl.dot(tl.trans(dy), x, acc, input_precision=PRECISION)
    result = tl.where(keep, acc, 0.0).to(dw_ptr.dtype.element_ty)
    at = dw_ptr + n[:, None].to(tl.int64) * dw_stride + column[None, :]
    tl.store(at, result, mask=(n[:, None] < N) & (column[None, :] < K))


@jit
def apply_mask_kernel(
    w_ptr, words_ptr, out_ptr, N, K, w_stride, words_stride, out_stride, BN: tl.constexpr, BK: tl.constexpr
):
    """out = W∘M, one [BN, BK] tile per program."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.program_id(1) * BK
    column = k + tl.arange(0, BK)
    inside = (n[:, None] < N) & (column[None, :] < K)
    w = tl.load(w_ptr + n[:, None].to(tl.int64) * w_stride + column[None, :], mask=inside, other=0.0)
    kept = tl.where(_bits(words_ptr, n, k, N, K, words_stride, BK), w, 0.0)
    tl.store(out_ptr + n[:, None].to(tl.int64) * out_stride + column[None, :], kept, mask=inside)
