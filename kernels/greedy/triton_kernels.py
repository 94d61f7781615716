# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
"""Triton bodies of greedy selection: all steps on a Gram matrix in one launch; one step on features in three.

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
def screen_kernel(
    copy_ptr, short_ptr, scale_ptr, error_ptr, length_ptr, half_ptr, barred_ptr, bounds_ptr, step_ptr, lower_ptr,
    limit_ptr, N, M, copy_stride, BN: tl.constexpr, BM: tl.constexpr, SLACK: tl.constexpr,
):  # fmt: skip
    """Lower ends of the intervals of BN scores, and the least upper end of all of this step's.

    M is a multiple of BM: rows of the copy and r' are padded with zeros. bounds: max |r|, ‖r‖/max, the rounding of r.
    """
    i = tl.program_id(0) * BN + tl.arange(0, BN)
    j = tl.arange(0, BM)
    inside = i < N
    acc = tl.zeros((BN, BM), tl.float32)
    row = copy_ptr + tl.minimum(i, N - 1)[:, None].to(tl.int64) * copy_stride
    for start in range(0, M, BM):
        acc += tl.load(row + start + j[None, :]).to(tl.float32) * tl.load(short_ptr + start + j)[None, :]
    top, norm, rounding = tl.load(bounds_ptr), tl.load(bounds_ptr + 1), tl.load(bounds_ptr + 2)
    scale, half = tl.load(scale_ptr + i, mask=inside, other=0.0), tl.load(half_ptr + i, mask=inside, other=0.0)
    error, length = tl.load(error_ptr + i, mask=inside, other=0.0), tl.load(length_ptr + i, mask=inside, other=0.0)
    estimate = tl.sum(acc, 1).to(tl.float64) * (scale * top) + half + tl.load(barred_ptr + i, mask=inside, other=0.0)
    width = SLACK * top * (error * norm + length * rounding)
    tl.store(lower_ptr + i, estimate - width, mask=inside)
    upper = ordered_key(tl.where(inside, estimate + width, float("inf")))
    tl.atomic_min(limit_ptr + tl.load(step_ptr), tl.min(upper, 0))


@jit
def rescore_kernel(
    features_ptr, r_ptr, half_ptr, lower_ptr, bounds_ptr, step_ptr, limit_ptr, exact_ptr, least_ptr, N, M, stride,
    BN: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Float64 scores of the neurons whose lower end is within the limit, inf elsewhere; the least of this step's."""
    i = tl.program_id(0) * BN + tl.arange(0, BN)
    step = tl.load(step_ptr)
    limit = _from_key(tl.load(limit_ptr + step)) + tl.load(bounds_ptr + 3) * (step + 1)
    alive = tl.load(lower_ptr + i, mask=i < N, other=float("inf")) <= limit
    waiting = tl.where((i < N) & alive, i, 2147483647)  # the neurons to score; one after another, for they are few
    exact = tl.full((BN,), float("inf"), tl.float64)
    count = tl.sum((waiting < 2147483647).to(tl.int32), 0)
    for _ in range(0, count):
        w = tl.min(waiting, 0)
        acc = tl.zeros((BM,), tl.float64)
        for start in range(0, M, BM):
            j = start + tl.arange(0, BM)
            f = tl.load(features_ptr + w.to(tl.int64) * stride + j, mask=j < M, other=0.0).to(tl.float64)
            acc += f * tl.load(r_ptr + j, mask=j < M, other=0.0)
        exact = tl.where(i == w, tl.load(half_ptr + w) + tl.sum(acc, 0), exact)
        waiting = tl.where(i == w, 2147483647, waiting)
    tl.store(exact_ptr + i, exact, mask=i < N)
    if count > 0:
        tl.atomic_min(least_ptr + step, tl.min(ordered_key(exact), 0))


@jit
def pick_kernel(
    features_ptr, exact_ptr, least_ptr, y_ptr, r_ptr, short_ptr, bounds_ptr, barred_ptr, step_ptr, chosen_ptr,
    losses_ptr, N, M, stride, BN: tl.constexpr, BM: tl.constexpr, REPLACEMENT: tl.constexpr,
):  # fmt: skip
    """Choose the lowest index within the tie width of the least score, add its row to r, and prepare the next step.

    One program: it reads N scores and 4·M numbers, little beside the N·M of screening. bounds[3] is the tie width and
    bounds[4] is γ of M terms; bounds[:3] are written as `screen_kernel` reads them.
    """
    step = tl.load(step_ptr)
    limit = _from_key(tl.load(least_ptr + step)) + tl.load(bounds_ptr + 3) * (step + 1)
    gamma = tl.load(bounds_ptr + 4)
    first = tl.full((BN,), LARGEST, tl.int64)
    for start in range(0, N, BN):
        i = start + tl.arange(0, BN)
        score = tl.load(exact_ptr + i, mask=i < N, other=float("inf"))
        first = tl.minimum(first, tl.where((i < N) & (score <= limit), i.to(tl.int64), LARGEST))
    w = tl.min(first, 0)
    squares, largest = tl.zeros((BM,), tl.float64), tl.zeros((BM,), tl.float64)
    for start in range(0, M, BM):
        j = start + tl.arange(0, BM)
        f = tl.load(features_ptr + w * stride + j, mask=j < M, other=0.0).to(tl.float64)
        r = tl.load(r_ptr + j, mask=j < M, other=0.0) + f
        mean = r / (step + 1)
        squares += mean * mean
        r -= tl.load(y_ptr + j, mask=j < M, other=0.0)
        largest = tl.maximum(largest, tl.abs(r))
        tl.store(r_ptr + j, r, mask=j < M)
    top = tl.max(largest, 0)
    tl.debug_barrier()  # r is read again below, perhaps by other threads
    by = tl.where(top > 0, top, 1.0)
    norm, rounded, kept = tl.zeros((BM,), tl.float64), tl.zeros((BM,), tl.float64), tl.zeros((BM,), tl.float64)
    for start in range(0, M, BM):
        j = start + tl.arange(0, BM)
        unit = tl.load(r_ptr + j, mask=j < M, other=0.0) / by
        short = unit.to(tl.float32)
        tl.store(short_ptr + j, short, mask=j < M)
        wide = short.to(tl.float64)
        norm += unit * unit
        rounded += (unit - wide) * (unit - wide)
        kept += wide * wide
    tl.store(bounds_ptr, top)
    tl.store(bounds_ptr + 1, tl.sqrt(tl.sum(norm, 0)))
    tl.store(bounds_ptr + 2, tl.sqrt(tl.sum(rounded, 0)) + gamma * tl.sqrt(tl.sum(kept, 0)))
    if not REPLACEMENT:
        tl.store(barred_ptr + w, float("inf"))
    tl.store(chosen_ptr + step, w)
    tl.store(losses_ptr + step, tl.sum(squares, 0) / 2)
    tl.store(step_ptr, step + 1)
