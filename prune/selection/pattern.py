"""Masks of balanced structure: exactly n of every m consecutive weights, as in 2:4.

Groups run along the rows of the (outputs, inputs × kernel) matrix that a layer multiplies by: for a convolution the
weight flattened from its second dimension on. A group never crosses two rows, so m must divide the row's length.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from numbers import Real

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError, described


def read_pattern(scope: str, *, where: str) -> tuple[int, int] | None:
    """Read `"n:m"` as two numbers with 1 ≤ n ≤ m; `None` if the scope is not a pattern."""
    if not isinstance(scope, str):
        required, remedy = 'scope "global", "layer", "row", "erk" or a pattern such as "2:4"', "pass one as a string"
        raise PruneproofError(where, required=required, received=described(scope), remedy=remedy)
    if ":" not in scope:
        return None
    match = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", scope)
    n, m = map(int, match.groups()) if match else (0, 0)
    if not 1 <= n <= m:
        raise PruneproofError(
            where,
            required='two numbers n:m with 1 ≤ n ≤ m, as in "2:4"',
            received=repr(scope),
            remedy='write e.g. "2:4"',
        )
    return n, m


def require_pattern_budget(density: object, count: object, n: int, m: int, *, where: str) -> None:
    """A pattern fixes the budget; a density may repeat it: n/m, or the float nearest to it."""
    repeated = density is None or (isinstance(density, Real) and density in (Fraction(n, m), n / m))
    if count is not None or not repeated:
        required = f'no count, and no density but n/m = {n}/{m} = {n / m:g}, which scope "{n}:{m}" fixes'
        received = f"count={described(count)}" if count is not None else f"density={described(density)}"
        raise PruneproofError(where, required=required, received=received, remedy="leave it out")


def pattern_masks(scores: Mapping[str, Tensor], n: int, m: int, *, where: str) -> dict[str, Tensor]:
    """Keep the n highest scores of every m consecutive ones; among equals the lowest index."""
    for name, score in scores.items():
        if row_length(score) % m:
            raise PruneproofError(
                where,
                required=f"rows of a length that {m} divides",
                received=f"{row_length(score)} weights per row in {name}",
                remedy=f"leave {name} out of the scores, or choose another pattern",
            )
    return {name: _balanced(score.detach(), n, m) for name, score in scores.items()}


def row_length(score: Tensor) -> int:
    """The number of weights in a row of the (outputs, inputs × kernel) matrix."""
    return score.shape[1:].numel() if score.ndim > 1 else score.numel()


def _balanced(score: Tensor, n: int, m: int) -> Tensor:
    groups = score.reshape(-1, m)
    order = groups.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order[:, :n], True).reshape(score.shape)
