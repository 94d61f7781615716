"""Half-rows of a layer: non-negative weights, their sensitivities, and the largest share that a part of them has on S.

A block holds some rows of one sign; nothing of the size (points, rows, inputs) is ever formed. Cost of a share: one
matrix product (rows, inputs) × (inputs, points). Products are in float64, where numbers of 32 bits neither overflow nor
vanish when multiplied, and what is rounded is charged.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 128  # rows of a block: bounds the temporaries to some twenty float64 arrays of 128 × inputs
POINTS = 256  # points of a product: bounds their float64 copy to 256 × inputs
LEAST = 2.0**-40  # a smaller sensitivity counts as this one: as good as never seen, and safe from underflow
UNIT = 2.0**-53  # unit roundoff of float64


@dataclass(frozen=True)
class Block:
    """Half-rows of one sign.

    Args:
        sign: 0 for W⁺, 1 for W⁻.
        rows: Which rows of the layer.
        weight: (rows, inputs) ≥ 0.
        sensitivity: (rows, inputs), floored where a weight was never seen; 0 where the weight is 0.
        points: (points, inputs) ≥ 0.
    """

    sign: int
    rows: slice
    weight: Tensor
    sensitivity: Tensor
    points: Tensor

    def sums(self, part: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Points and sums of the half-rows, or of `part` (rows, inputs), on them: float64, some points at a time."""
        factor = (self.weight if part is None else part).double()
        for points in self.points.split(POINTS):
            wide = points.double()
            yield wide, factor @ wide.T

    def worst_share(self, part: Tensor) -> Tensor:
        """max over S of Σ_j part_j g_j(x), (rows,) float64 in [0, 1], rounded up; part (rows, inputs) in [0, 1]."""
        best = torch.zeros(len(self.weight), dtype=torch.float64)
        if not len(self.points):  # the layer reads zeros alone
            return best
        taken = self.weight.double() * part
        for points, sums in self.sums():
            shares = torch.where(sums > 0, (taken @ points.T) / sums, 0.0)
            if self.weight.dtype == torch.float64:  # the one dtype whose sums float64 may round to 0 or infinity
                tiny = self.weight.shape[1] * torch.finfo(torch.float64).tiny
                shares[(sums.isinf() | (sums < tiny)) & self._met(points)] = 1.0
            best = torch.maximum(best, shares.amax(1))
        return best.mul_(rounding(self.weight.shape[1])).clamp_(max=1.0)

    def faint(self, points: Tensor, sums: Tensor) -> Tensor:
        """Rows (rows,) bool with one of these `sums` too small for the floating point of the sensitivities.

        Sensitivities take half-rows and points to maximum 1 and lose sums near the smallest normal number. Where sums
        are above 2⁻⁶⁴ then (2⁻⁹⁰⁰ in float64), underflow changes a sensitivity by less than 2⁻⁸⁰: far below `LEAST`.
        """
        wide = self.weight.dtype == torch.float64
        top = self.weight.double().amax(1, keepdim=True) * (2.0**-900 if wide else 2.0**-64)
        small = sums < (top * points.amax(1)).clamp_(min=self.weight.shape[1] * torch.finfo(torch.float64).tiny)
        if wide and bool(small.any()):  # in float64 a sum of positive terms may itself come out as 0
            return (small & self._met(points)).any(1)
        return (small & (sums > 0)).any(1)

    def _met(self, points: Tensor) -> Tensor:
        """(rows, points) bool: a positive weight meets a positive activation."""
        return (self.weight > 0).double() @ (points > 0).double().T > 0


def rounding(terms: int) -> float:
    """A factor that covers the float64 rounding of an error of half-rows with `terms` weights.

    A share is a sum of products over another: 2·terms + 2 roundings; no formula for ε more than doubles a relative
    change, and none has more than 30 operations. (4·terms + 64)·2⁻⁵³ is above γ of all of them.
    """
    return 1 + (4 * terms + 64) * UNIT


def blocks(weight: Tensor, sensitivity: Tensor, groups: list[Tensor], *, rows: int = ROWS) -> Iterator[Block]:
    """The half-rows of a layer in blocks: rows of one group, W⁺ before W⁻.

    Args:
        weight: (outputs, inputs of one output).
        sensitivity: Of the same shape.
        groups: The non-negative points of each group.
        rows: The number of rows of a block.
    """
    share = len(weight) // len(groups)
    for group, points in enumerate(groups):
        for start in range(group * share, (group + 1) * share, rows):
            part = slice(start, min(start + rows, (group + 1) * share))
            for sign in (0, 1):
                half = (weight[part] if sign == 0 else -weight[part]).clamp(min=0)
                yield Block(sign, part, half, sensitivity[part] * (half > 0), points)


def floored(weight: Tensor, sensitivity: Tensor) -> Tensor:
    """Give weights that S never saw at work the share of one among n equal ones; this adds at most 1 to Σ.

    Others are at least `LEAST`, which adds at most n·2⁻⁴⁰.
    """
    unseen = (sensitivity == 0) & (weight != 0)
    return torch.where(weight != 0, sensitivity.clamp(min=LEAST), 0.0).masked_fill_(unseen, 1.0 / weight.shape[1])
