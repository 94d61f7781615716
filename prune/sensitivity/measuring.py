"""What SiPP must know of a network before it prunes: sensitivities, costs, living half-rows, number of events."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        return int(((self.weight != 0) & ~self.open()).sum())

    def blocks(self, model: nn.Module, inputs: Tensor) -> Iterator[Block]:
        """The half-rows with the points they meet, in a second visit."""
        rows, _ = met(model, inputs, self.layer)
        return blocks(self.weight, self.scores, [pseudo_points(group) for group in rows])


def measure(model: nn.Module, inputs: Tensor, layer: Layer) -> Measured:
    """Visit a layer once."""
    weight = layer.rows()
    rows, positions = met(model, inputs, layer)
    scores = torch.empty_like(weight)
    for group, points in zip(zip(weight.chunk(len(rows)), scores.chunk(len(rows)), strict=True), rows, strict=True):
        for part, target in zip(*(half.split(ROWS) for half in group), strict=True):
            target.copy_(floored(part, sensitivities(part.contiguous(), points)))
    signed = 2 if any(bool((group < 0).any()) for group in rows) else 1
    costs = torch.zeros(2, len(weight), dtype=torch.float64)
    for block in blocks(weight, scores, [pseudo_points(group) for group in rows]):
        for _, sums in block.sums():
            costs[block.sign, block.rows] += sums.sum(1, dtype=torch.float64) / len(block.points)
    return Measured(layer, weight, scores, costs, 2 * len(weight) * signed * positions)
