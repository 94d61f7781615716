"""What SiPP must know of a network before it prunes: sensitivities, costs, living half-rows, number of events."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import PruneproofError
from ...kernels.sensitivity import sensitivities
from .half_rows import ROWS, Block, blocks, floored
from .layer_inputs import Layer, met, pseudo_points


@dataclass(frozen=True)
class Measured:
    """One layer on the sample.

    Arguments:
        layer: the layer.
        weight: (outputs, inputs of one output).
        scores: sensitivities of that shape, floored.
        costs: (2, outputs) float64, mean of z over the pseudo-points of S; 0 for dead half-rows.
        events: half-rows × pseudo-points that one item of the batch gives rise to.
    """

    layer: Layer
    weight: Tensor
    scores: Tensor
    costs: Tensor
    events: int

    @property
    def alive(self) -> Tensor:
        """(2, outputs) bool: z > 0 somewhere on S."""
        return self.costs > 0

    def open(self) -> Tensor:
        """(outputs, inputs) bool: the non-zero weights of living half-rows."""
        plus, minus = self.alive.unsqueeze(2)
        kept, below = self.weight > 0, self.weight < 0
        kept &= plus  # in place: a layer's mask is a quarter of its size
        below &= minus
        return kept.logical_or_(below)

    def fixed(self) -> int:
        """Weights that cannot be pruned: those of dead half-rows."""
        return int(((self.weight != 0) & ~self.open()).count_nonzero())  # a sum would first make int64 of it

    def blocks(self, model: nn.Module, inputs: Tensor) -> Iterator[Block]:
        """The half-rows with the points they meet, in a second visit."""
        rows, _ = met(model, inputs, self.layer)
        return blocks(self.weight, self.scores, [pseudo_points(group) for group in rows])


def measure(model: nn.Module, inputs: Tensor, layer: Layer) -> Measured:
    """Visit a layer once.

    Raises PruneproofError where a sum of a float64 layer overflows or nearly vanishes: nothing could be said of it.
    """
    weight = layer.rows()
    rows, positions = met(model, inputs, layer)
    signed = 2 if any(bool((group < 0).any()) for group in rows) else 1
    groups = [pseudo_points(group) for group in rows]
    del rows  # as large as the groups
    scores = torch.empty_like(weight, dtype=_wide(weight.dtype))
    halves = zip(weight.chunk(layer.groups), scores.chunk(layer.groups), strict=True)
    for group, points in zip(halves, groups, strict=True):
        for part, target in zip(*(half.split(ROWS) for half in group), strict=True):
            target.copy_(_sensitivities(part, points, scores.dtype))
    costs = torch.zeros(2, len(weight), dtype=torch.float64)
    for block in blocks(weight, scores, groups):
        faint = torch.zeros(len(block.weight), dtype=torch.bool)
        for points, sums in block.sums():
            costs[block.sign, block.rows] += sums.sum(1) / len(block.points)
            faint |= block.faint(points, sums)
        if bool(faint.any()):
            again = block.rows.start + faint.nonzero().squeeze(1)
            scores[again] = _sensitivities(weight[again].double(), block.points, torch.float64).to(scores.dtype)
        if not bool(costs.isfinite().all()) or (weight.dtype == torch.float64 and bool(faint.any())):
            raise PruneproofError(
                "sipp",
                required="sums of weights times activations that float64 can compare",
                received=f"overflow or underflow in {layer.name}",
                remedy="scale its weights or the inputs",
            )
    return Measured(layer, weight, scores, costs, 2 * len(weight) * signed * positions)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Sensitivities of 16-bit weights are kept in float32: they are computed there, and 16 bits would round them."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _sensitivities(weight: Tensor, points: Tensor, dtype: torch.dtype) -> Tensor:
    return floored(weight, sensitivities(weight.to(dtype).contiguous(), points.to(dtype)).to(dtype))
