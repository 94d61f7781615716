"""Share a budget among all half-rows of a network, without a solver (N4 in theory/network.md).

Each function takes the layers and a whole number of weights, and returns one budget (2, outputs) per layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels.top_k import top_k_masks
from .half_rows import ROWS
from .measuring import Measured


def threshold(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Det: one global threshold on s; exactly `count` weights."""
    masks = top_k_masks([_open_scores(layer) for layer in layers], count)
    return [_by_half(mask, layer.weight) for mask, layer in zip(masks, layers, strict=True)]


def rate(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Poisson: bisect on τ so that Σ min(1, τ s) = `count` over the network."""
    scores = [_open_scores(layer) for layer in layers]

    def expected(tau: float) -> float:
        parts = (part for s in scores for part in s.split(ROWS))
        return sum(float((tau * part).clamp_(max=1.0).sum(dtype=torch.float64)) for part in parts)

    low, high = 0.0, 1.0
    while expected(high) < count * (1 - 1e-9) and high < 1e18:
        low, high = high, 4 * high
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if expected(middle) < count else (low, middle)
    return [_by_half(s.mul_(high).clamp_(max=1.0), layer.weight) for s, layer in zip(scores, layers, strict=True)]


def cube_root(layers: Sequence[Measured], count: int) -> list[Tensor]:
    """Rand: m_i ∝ (c_i²Σ_i)^{1/3}, at least 1, clipped at the half-row's size, the others sharing what is left.

    At most `count` in all, which must be at least the number of living half-rows; rounding down leaves less than one
    of it per half-row.
    """
    mass = torch.cat([_by_half(_open_scores(layer), layer.weight).flatten() for layer in layers])
    size = torch.cat([_by_half(layer.open(), layer.weight).flatten() for layer in layers])
    wish = (torch.cat([layer.costs.flatten() for layer in layers]) ** 2 * mass).pow(1 / 3)

    def given(tau: float) -> Tensor:
        return torch.minimum(size, (tau * wish).clamp(min=1))

    low, high = 0.0, float(size.sum()) / float(wish[wish > 0].min())
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(given(middle).sum()) < count else (low, middle)
    whole = given(high * (1 + 1e-12)).floor()  # 1e-12: what should be whole may lie a rounding below
    return [part.reshape(2, -1) for part in whole.split([layer.costs.numel() for layer in layers])]


def _open_scores(layer: Measured) -> Tensor:
    """Sensitivities of the weights that may be pruned, 0 elsewhere; floored, so positive where it matters."""
    return layer.scores * layer.open()


def _by_half(values: Tensor, weight: Tensor) -> Tensor:
    """Sum (outputs, inputs) over the positive and over the negative weights of each row: (2, outputs) float64."""
    parts = [
        torch.stack(
            [torch.where(w > 0, v, 0).sum(1, dtype=torch.float64), torch.where(w < 0, v, 0).sum(1, dtype=torch.float64)]
        )
        for v, w in zip(values.split(ROWS), weight.split(ROWS), strict=True)
    ]
    return torch.cat(parts, dim=1)
