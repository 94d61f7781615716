# pyright: basic, reportGeneralTypeIssues=false
"""Triton body of the sensitivities: every tile walks over the points once, choosing 1/z⁺ or 1/z⁻ by its weight's sign.

The sums z are library products in float64 (so the reference's bound holds whatever the TF32 setting). Points and sums
are padded with zeros to whole tiles, so the inner loop has no masks: per weight and point one selection, one product,
one maximum. See README.md.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import pad

from pruneproof.kernels.backend import on_its_device

from .reference import reciprocal_sums, scaled_half, signed_points

TILE, STEP = 64, 4  # rows and columns of a tile; points per turn of the loop
jit: Any = triton.jit  # a launch subscripts the function with its grid, which no type can say


@jit
def sensitivity_kernel(
    w_ptr, points_ptr, plus_ptr, minus_ptr, s_ptr, P, N, K, points_stride, sums_stride, BN: tl.constexpr,
    BK: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """One [BN, BK] tile of s from w (N, K), points (P, ≥K), and reciprocal sums plus and minus (P, ≥N), zero-padded."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.program_id(1) * BK + tl.arange(0, BK)
    inside = (n[:, None] < N) & (k[None, :] < K)
    at = n[:, None].to(tl.int64) * K + k[None, :]
    w = tl.load(w_ptr + at, mask=inside, other=0.0)
    positive = w > 0
    best = tl.zeros((BN, BK), tl.float32)
    points_at, plus_at, minus_at = points_ptr + k, plus_ptr + n, minus_ptr + n
    for _ in range(0, P, STEP):
        for _ in tl.static_range(STEP):
            a, plus, minus = tl.load(points_at), tl.load(plus_at), tl.load(minus_at)
            best = tl.maximum(best, a[None, :] * tl.where(positive, plus[:, None], minus[:, None]))
            points_at += points_stride
            plus_at += sums_stride
            minus_at += sums_stride
    tl.store(s_ptr + at, tl.minimum(tl.abs(w) * best, 1.0), mask=inside)


@on_its_device
def sensitivities_triton(weight: Tensor, inputs: Tensor) -> Tensor:
    """What `sensitivities` promises, for float32 and 16-bit types."""
    points = signed_points(inputs.detach().float())
    halves = [scaled_half(weight.detach().float(), sign) for sign in (1, -1)]
    scaled = (halves[0] - halves[1]).contiguous()
    result = scaled.new_empty(scaled.shape)
    (out, columns), count = scaled.shape, len(points)
    if result.numel() == 0:
        return result.to(weight.dtype)
    sums = (reciprocal_sums(half.double(), points.double(), torch.float32) for half in halves)
    plus, minus = (whole_tiles(each.T) for each in sums)
    points = whole_tiles(points)
    sensitivity_kernel[(-(-out // TILE), -(-columns // TILE))](
        scaled, points, plus, minus, result, count, out, columns, points.stride(0), plus.stride(0), BN=TILE, BK=TILE,
        STEP=STEP, num_warps=8,
    )  # fmt: skip
    return result.to(weight.dtype)


def whole_tiles(rows: Tensor) -> Tensor:
    """Zero-padded to a multiple of STEP rows and TILE columns, contiguous."""
    return pad(rows, (0, -rows.shape[1] % TILE, 0, -rows.shape[0] % STEP)).contiguous()
