"""Sensitivities in plain torch: two (max, ×) matrix products per block of points.

On the CPU the product C_ij = max_x R_ix A_xj is torch's sparse-times-dense product with the reduction `amax`, given a
full matrix R in CSR form: it keeps a strip of C in registers while it walks over x, so nothing of size batch × in is
written per neuron. On other devices the same product is taken point by point. Exact whatever the order, as max is.
"""

import warnings

import torch
from torch import Tensor

POINTS = 1024  # points per block: bounds the memory for R and its column indices to out × POINTS


def sensitivities_reference(weight: Tensor, inputs: Tensor) -> Tensor:
    """What `sensitivities` promises, for any floating dtype; 16-bit types are computed in float32."""
    wide = weight.dtype if weight.dtype in (torch.float32, torch.float64) else torch.float32
    points = signed_points(inputs.detach().to(wide))
    halves = [scaled_half(weight.detach().to(wide), sign) for sign in (1, -1)]
    shares = [torch.zeros_like(half) for half in halves]
    for block in points.split(POINTS):
        for half, share in zip(halves, shares, strict=True):
            torch.maximum(share, largest_products(reciprocal_sums(half, block), block), out=share)
    total = halves[0].mul_(shares[0]).add_(halves[1].mul_(shares[1]))  # a weight is in one half only
    return total.clamp_(max=1).to(weight.dtype)


def signed_points(inputs: Tensor) -> Tensor:
    """Each point's positive and negative part as points of their own, scaled to maximum 1, zero points dropped."""
    parts = torch.cat([inputs.clamp(min=0), (-inputs).clamp_(min=0)]) if (inputs < 0).any() else inputs
    top = parts.amax(1) if parts.shape[1] else parts.new_zeros(len(parts))
    alive = top > 0
    return parts[alive] / top[alive, None]


def scaled_half(weight: Tensor, sign: int) -> Tensor:
    """W⁺ (sign 1) or W⁻ (sign −1), every row scaled to maximum 1: sensitivities do not depend on the scale."""
    half = (weight * sign).clamp_(min=0)
    if half.numel() == 0:
        return half
    top = half.amax(1, keepdim=True)
    return half.div_(torch.where(top > 0, top, 1))


def reciprocal_sums(half: Tensor, points: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """(out, points): 1/z in `dtype`, or 0 where z is below that type's smallest normal number."""
    sums = half @ points.T
    dtype = dtype or sums.dtype
    return torch.where(sums >= torch.finfo(dtype).tiny, 1 / sums, 0).to(dtype)


def largest_products(left: Tensor, right: Tensor) -> Tensor:
    """(out, in): max over x of left[i, x] · right[x, j], for non-negative factors; 0 if there is no x."""
    rows, points = left.shape
    if left.device.type != "cpu" or left.numel() == 0 or right.numel() == 0:
        return products_point_by_point(left, right)
    with warnings.catch_warnings():  # torch announces that CSR tensors may still change
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        starts = torch.arange(0, (rows + 1) * points, points)
        columns = torch.arange(points).repeat(rows)
        sparse = torch.sparse_csr_tensor(starts, columns, left.reshape(-1), size=(rows, points), check_invariants=False)
        return torch.sparse.mm(sparse, right.contiguous(), "amax")


def products_point_by_point(left: Tensor, right: Tensor) -> Tensor:
    """`largest_products` for every device and size."""
    best = left.new_zeros(len(left), right.shape[1])
    for column, row in zip(left.T, right, strict=True):
        torch.maximum(best, column[:, None] * row, out=best)
    return best
