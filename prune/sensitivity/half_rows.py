"""Half-rows of a layer: non-negative weights, their sensitivities, and the largest share that a part of them has on S.

A block holds some rows of one sign; nothing of the size (points, rows, inputs) is ever formed. Cost of a share: one
matrix product (rows, inputs) × (inputs, points).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 128  # rows of a block: bounds the temporaries to some twenty float64 arrays of 128 × inputs
POINTS = 2048  # points of a product


@dataclass(frozen=True)
class Block:
    """Half-rows of one sign.

    Arguments:
        sign: 0 for W⁺, 1 for W⁻.
        rows: which rows of the layer.
        weight: (rows, inputs) ≥ 0.
        sensitivity: (rows, inputs), floored where a weight was never seen; 0 where the weight is 0.
        points: (points, inputs) ≥ 0.
    """

    sign: int
    rows: slice
    weight: Tensor
    sensitivity: Tensor
    points: Tensor

    def sums(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Points and the half-rows' sums on them, (rows, points), some points at a time."""
        for points in self.points.split(POINTS):
            yield points, self.weight @ points.T

    def worst_share(self, part: Tensor) -> Tensor:
        """max over S of Σ_j part_j g_j(x), in [0, 1], for part (rows, inputs) in [0, 1]."""
        best = self.weight.new_zeros(len(self.weight))
        taken = self.weight * part
        for points, sums in self.sums():
            shares = torch.where(sums > 0, (taken @ points.T) / sums, 0.0)
            best = torch.maximum(best, shares.amax(1))
        return best.clamp_(max=1.0)


def blocks(weight: Tensor, sensitivity: Tensor, groups: list[Tensor], *, rows: int = ROWS) -> Iterator[Block]:
    """The half-rows of a layer in blocks: rows of one group, W⁺ before W⁻.

    **Arguments:** `weight` and `sensitivity` (outputs, inputs of one output); `groups`, the non-negative points of each
    group; `rows`, rows of a block.
    """
    share = len(weight) // len(groups)
    for group, points in enumerate(groups):
        for start in range(group * share, (group + 1) * share, rows):
            part = slice(start, min(start + rows, (group + 1) * share))
            for sign in (0, 1):
                half = (weight[part] if sign == 0 else -weight[part]).clamp(min=0)
                yield Block(sign, part, half, sensitivity[part] * (half > 0), points)


def floored(weight: Tensor, sensitivity: Tensor) -> Tensor:
    """Give weights that S never saw at work the share of one among n equal ones; this adds at most 1 to Σ."""
    return sensitivity.masked_fill((sensitivity == 0) & (weight != 0), 1.0 / weight.shape[1])
