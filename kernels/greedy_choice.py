"""How one candidate is chosen: the lowest score, and among scores that differ by rounding only the lowest index.

Every rule needs the same few inner products of the problem, whether a Gram matrix holds them or features yield them.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# Scores are differences of inner products. In float64 their rounding errors stay below this fraction of the problem's
# scale (2**-52 per operation, times what accumulates); a smaller difference is a tie, whichever method computed it.
TIE = 2.0**-46


class Products(Protocol):
    """Inner products of a problem's neurons and target; `Gram` and `FeatureProducts` are the two implementations."""

    energy: float

    @property
    def correlation(self) -> Tensor:
        """⟨Φ_q, y⟩, (neurons,)."""
        ...

    @property
    def diagonal(self) -> Tensor:
        """‖Φ_q‖², (neurons,)."""
        ...

    def column(self, neuron: int) -> Tensor:
        """⟨Φ_i, Φ_neuron⟩ for every i, (neurons,)."""
        ...


class Path(NamedTuple):
    """What a rule returns: the chosen neurons in order, the loss after each, the weights after the last."""

    indices: list[int]
    losses: list[float]
    weights: Tensor


def lowest(scores: Tensor, tie: float) -> int:
    """The lowest index whose score is within `tie` of the smallest one.

    Example:
        >>> lowest(torch.tensor([2.0, 1.0 + 1e-9, 1.0]), tie=1e-6)
        1
    """
    return int((scores <= float(scores.min()) + tie).view(torch.uint8).argmax())  # argmax returns the first


def tie_width(diagonal: Tensor, energy: float) -> float:
    """Rounding error of a score in the problem's own units: `TIE` times the largest squared length.

    Example:
        >>> tie_width(torch.tensor([1.0, 3.0]), 1.0) == 4 * TIE
        True
    """
    return TIE * (float(diagonal.max()) + energy)
