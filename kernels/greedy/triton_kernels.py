# pyright: basic
"""Triton bodies of greedy selection: all steps on a Gram matrix in one launch; screening scores; exact re-scoring.

Scores are float64 and compared through an order-preserving map to int64, so a minimum over programs is one integer
`atomic_min`: independent of arrival order, hence bitwise repeatable. See gpu.md.
"""

from typing import Any

import triton
import triton.language as tl

LARGEST = tl.constexpr(9223372036854775807)
jit: Any = triton.jit  # a launch subscripts the function with its grid, which no type can say


@jit
def ordered_key(x):
    """Float64 to int64 with the same order (−0 as 0); its own inverse up to the cast."""
    bits = (x + 0.0).to(tl.int64, bitcast=True)
    return bits ^ ((bits >> 63) & 9223372036854775807)


@jit
def _from_key(key):
    return (key ^ ((key >> 63) & 9223372036854775807)).to(tl.float64, bitcast=True)


@jit
def _wait(arrivals_ptr, expected):
    """All programs of a problem arrive, then all leave; needs them resident together (a cooperative launch)."""
    tl.debug_barrier()  # every thread's stores come before the arrival
    tl.atomic_add(arrivals_ptr, 1, sem="acq_rel")
    done = False
    while not done:
        done = tl.atomic_add(arrivals_ptr, 0, sem="acquire") >= expected
    tl.debug_barrier()


@jit
def greedy_gram_kernel(
    gram_ptr, b_ptr, score_ptr, tie_ptr, lowest_ptr, chosen_ptr, arrivals_ptr, chosen_score_ptr, N, K, gram_stride,
    gram_part, BN: tl.constexpr, GRID: tl.constexpr, REPLACEMENT: tl.constexpr,
):  # fmt: skip
    """K steps of equal-weight selection; axis 1 of the grid is the problem, axis 0 shares its neurons out.

    scores (problems, N) start as ½ diag G; lowest and chosen (problems, K) start as the largest int64.
    """
    pid = tl.program_id(0)
    problem = tl.program_id(1).to(tl.int64)
    gram, b, score = gram_ptr + problem * gram_part, b_ptr + problem * N, score_ptr + problem * N
    lowest, chosen, scores_at = lowest_ptr + problem * K, chosen_ptr + problem * K, chosen_score_ptr + problem * K
    arrivals, tie = arrivals_ptr + problem, tl.load(tie_ptr + problem)
    for k in range(0, K):
        best = tl.full((), LARGEST, tl.int64)
        for block in range(pid, tl.cdiv(N, BN), GRID):
            i = block * BN + tl.arange(0, BN)
            s = tl.load(score + i, mask=i < N, other=0.0) - tl.load(b + i, mask=i < N, other=0.0)
            tl.store(score + i, s, mask=i < N)
            best = tl.minimum(best, tl.min(tl.where(i < N, ordered_key(s), LARGEST), 0))
        tl.atomic_min(lowest + k, best, sem="release")
        _wait(arrivals, (2 * k + 1) * GRID)
        limit = _from_key(tl.load(lowest + k, volatile=True)) + tie * (k + 1)
        first = tl.full((), LARGEST, tl.int64)
        for block in range(pid, tl.cdiv(N, BN), GRID):
            i = block * BN + tl.arange(0, BN)
            s = tl.load(score + i, mask=i < N, other=float("inf"))
            first = tl.minimum(first, tl.min(tl.where((i < N) & (s <= limit), i.to(tl.int64), LARGEST), 0))
        tl.atomic_min(chosen + k, first, sem="release")
        _wait(arrivals, (2 * k + 2) * GRID)
        w = tl.load(chosen + k, volatile=True)
        for block in range(pid, tl.cdiv(N, BN), GRID):
            i = block * BN + tl.arange(0, BN)
            s = tl.load(score + i, mask=i < N, other=0.0)
            tl.store(scores_at + k + 0 * i, s, mask=(i < N) & (i == w))
            s += tl.load(gram + w * gram_stride + i, mask=i < N, other=0.0).to(tl.float64)
            if not REPLACEMENT:
                s = tl.where(i == w, float("inf"), s)
            tl.store(score + i, s, mask=i < N)


@jit
def screen_kernel(copy_ptr, r_ptr, out_ptr, N, M, copy_stride, BN: tl.constexpr, BM: tl.constexpr, WHOLE: tl.constexpr):
    """out = copy · r for a low-precision copy (N, M) of the features, summed in float32 in a fixed order."""
    i = tl.program_id(0) * BN + tl.arange(0, BN)
    j = tl.arange(0, BM)
    acc = tl.zeros((BN, BM), tl.float32)
    row = copy_ptr + tl.minimum(i, N - 1)[:, None].to(tl.int64) * copy_stride
    for start in range(0, M, BM):
        if WHOLE:
            q, r = tl.load(row + start + j[None, :]), tl.load(r_ptr + start + j)
        else:
            here = start + j < M
            q = tl.load(row + start + j[None, :], mask=here[None, :], other=0)
            r = tl.load(r_ptr + start + j, mask=here, other=0.0)
        acc += q.to(tl.float32) * r[None, :]
    tl.store(out_ptr + i, tl.sum(acc, 1), mask=i < N)


@jit
def rescore_kernel(features_ptr, r_ptr, half_ptr, lower_ptr, limit_ptr, out_ptr, M, stride, BM: tl.constexpr):
    """out_i = half_i + features_i · r in float64 if lower_i ≤ limit, else inf; one program per neuron."""
    i = tl.program_id(0).to(tl.int64)
    if tl.load(lower_ptr + i) <= tl.load(limit_ptr):
        acc = tl.zeros((BM,), tl.float64)
        for start in range(0, M, BM):
            j = start + tl.arange(0, BM)
            f = tl.load(features_ptr + i * stride + j, mask=j < M, other=0.0).to(tl.float64)
            acc += f * tl.load(r_ptr + j, mask=j < M, other=0.0)
        tl.store(out_ptr + i, tl.load(half_ptr + i) + tl.sum(acc, 0))
    else:
        tl.store(out_ptr + i, float("inf"))
