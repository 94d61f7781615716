"""Masks of balanced structure: exactly n of every m consecutive weights, as in 2:4.

Groups run along the rows of the (outputs, inputs × kernel) matrix by which a layer multiplies
(`models.parameters.Layout`). A group never crosses two rows, so m must divide the row's length.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from numbers import Real

import torch
from torch import Tensor

from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.prune.models.parameters import OUTPUTS_FIRST, Layout

LONGEST_GROUP = 8  # entries of a group that are ranked by comparing all pairs


def read_pattern(scope: str, *, where: str) -> tuple[int, int] | None:
    """Read `"n:m"` as two numbers with 1 ≤ n ≤ m; `None` if the scope is not a pattern."""
    if not isinstance(scope, str):
        raise InvalidTypeError(
            f"{where}: the scope must be a string, got {described(scope)}. "
            'Pass "global", "layer", "row", "erk" or a pattern such as "2:4".'
        )
    if ":" not in scope:
        return None
    match = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", scope)
    n, m = map(int, match.groups()) if match else (0, 0)
    if not 1 <= n <= m:
        raise InvalidValueError(
            f"{where}: a pattern is two numbers n:m with 1 ≤ n ≤ m, got scope={scope!r}. "
            'Write for example "2:4", two of every four weights.'
        )
    return n, m


def require_whole_groups(where: str, name: str, length: int, n: int, m: int) -> None:
    """Refuse rows that do not consist of whole groups."""
    if length % m:
        raise InvalidValueError(
            f"{where}: the pattern {n}:{m} needs rows of a length that {m} divides, but each output of {name} "
            f"has {length} weights. Leave {name} out by exclude=, or choose another pattern."
        )


def require_pattern_budget(density: object, count: object, n: int, m: int, *, where: str) -> None:
    """A pattern fixes the budget; a density may repeat it: n/m, or the float nearest to it."""
    repeated = density is None or (isinstance(density, Real) and density in (Fraction(n, m), n / m))
    if count is not None or not repeated:
        received = f"count={described(count)}" if count is not None else f"density={described(density)}"
        raise InvalidValueError(
            f'{where}: scope "{n}:{m}" fixes the density at {n}/{m} = {n / m:g}, got {received} as well. Leave it out.'
        )


def pattern_masks(
    scores: Mapping[str, Tensor], n: int, m: int, *, where: str, layouts: Mapping[str, Layout] | None = None
) -> dict[str, Tensor]:
    """Keep the n highest scores of every m consecutive inputs of an output; among equals the lowest.

    Args:
        scores: Parameter name → scores of the parameter's shape.
        n: How many of each group are kept.
        m: The size of a group.
        where: The public function that asks, for the error message.
        layouts: How a parameter forms its layer's matrix, where it does not store outputs first.

    Raises:
        InvalidValueError: `m` does not divide the inputs of an output.
    """
    how = {name: (layouts or {}).get(name, OUTPUTS_FIRST) for name in scores}
    matrices = {name: how[name].matrix(score.detach()) for name, score in scores.items()}
    for name, matrix in matrices.items():
        require_whole_groups(where, name, matrix.shape[1], n, m)
    return {name: how[name].tensor(balanced(mat, n, m), scores[name].shape) for name, mat in matrices.items()}


def balanced(matrix: Tensor, n: int, m: int) -> Tensor:
    """Mark the n highest of every m consecutive entries; among equals the lowest index.

    Short groups are ranked by comparing all pairs, one column with another, which is some ten times
    faster than to sort each.

    Example:
        >>> balanced(torch.tensor([1.0, 3.0, 3.0, 3.0]), 2, 4)
        tensor([False,  True,  True, False])
    """
    groups = matrix.reshape(-1, m)
    if m <= LONGEST_GROUP:
        columns = groups.t().contiguous()
        better = torch.zeros(columns.shape, dtype=torch.int8, device=matrix.device)
        for i in range(m):
            for j in range(i + 1, m):
                first = columns[i] >= columns[j]  # of equals the first is the better one
                better[j] += first
                better[i] += ~first
        return (better < n).t().reshape(matrix.shape)
    order = groups.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order[:, :n], True).reshape(matrix.shape)
