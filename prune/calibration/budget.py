"""How many weights of each row, layer or group survive, fixed before anything is looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from pruneproof.errors import InvalidValueError
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.models.layers import Layer
from pruneproof.prune.selection.budget import kept_count, row_count, uniform
from pruneproof.prune.selection.pattern import read_pattern, require_pattern_budget, require_whole_groups
from pruneproof.prune.selection.selection import row_masks


@dataclass(frozen=True)
class Budget:
    """The rule for one layer.

    Args:
        scope: `"row"`, `"layer"` or `"n:m"`.
        length: Inputs of one output.
        count: Kept weights of a row, of the layer, or of a group.
        group: `m` of a pattern; otherwise the length.
    """

    scope: str
    length: int
    count: int
    group: int

    def by_group(self, groups: int, outputs: int) -> "list[Budget]":
        """The budgets of the independent linear maps, of so many outputs in all, that a layer consists of."""
        if self.scope != "layer" or groups == 1:
            return [self] * groups
        counts = uniform([self.length * outputs // groups] * groups, self.count)
        return [Budget(self.scope, self.length, count, self.group) for count in counts]

    def mask(self, scores: Tensor) -> Tensor:
        """The highest scores of (outputs, inputs), ties to the lowest index."""
        if self.scope == "layer":
            return top_k_masks([scores.contiguous()], self.count)[0]
        return row_masks(scores.reshape(-1, self.group), self.count).reshape(scores.shape)

    def share(self, start: int, stop: int, outputs: int) -> int:
        """How many weights survive in the columns from start to stop, of each row or of all, so that totals add up."""
        if self.scope == "layer":
            total = self.length * outputs
            return _part(self.count, stop * outputs, total) - _part(self.count, start * outputs, total)
        return _part(self.count, stop, self.length) - _part(self.count, start, self.length)

    def mask_columns(self, scores: Tensor, start: int) -> Tensor:
        """The survivors among some columns, transposed: scores (columns, outputs), start the first column."""
        columns, outputs = scores.shape
        if self.scope == "layer":
            return top_k_masks([scores.T.contiguous()], self.share(start, start + columns, outputs))[0].T
        if self.scope == "row":
            return row_masks(scores.T.contiguous(), self.share(start, start + columns, outputs)).T
        groups = scores.T.reshape(-1, self.group)
        return row_masks(groups, self.count).reshape(outputs, columns).T


def _part(count: int, position: int, length: int) -> int:
    """The nearest whole number to count · position / length, halves rounded up."""
    return math.floor(Fraction(count * position, length) + Fraction(1, 2))


def budgets(layers: Sequence[Layer], density: float | None, scope: str, *, where: str) -> dict[str, Budget]:
    """The budget of every layer.

    Raises:
        InvalidValueError: The density lies outside (0, 1] or empties rows, or m does not divide a row.
    """
    lengths = {layer.name: layer.matrix(layer.weight).shape[1] for layer in layers}
    pattern = read_pattern(scope, where=where)
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where=where)
        n, m = pattern
        for name, length in lengths.items():
            require_whole_groups(where, name, length, n, m)
        return {name: Budget(scope, length, n, m) for name, length in lengths.items()}
    if scope == "layer":
        sizes = [layer.weight.numel() for layer in layers]
        counts = uniform(sizes, kept_count(density, sum(sizes), where=where))
    elif scope == "row":
        counts = [row_count(density, lengths[layer.name], layer.name, where=where) for layer in layers]
    else:
        raise InvalidValueError(
            f'{where}: the scope must be "row", "layer" or a pattern such as "2:4", got {scope!r}. '
            "Weights are compared within one layer, because each layer is pruned before the next is measured."
        )
    for layer, count in zip(layers, counts, strict=True):
        if count == 0:
            raise InvalidValueError(f"{where}: density {density} leaves nothing of {layer.name}. Pass a larger one.")
    return {
        layer.name: Budget(scope, lengths[layer.name], count, lengths[layer.name])
        for layer, count in zip(layers, counts, strict=True)
    }
