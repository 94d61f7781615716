"""Outward slack: how far a float64 sum of products can be from the real one.

Any order of summation, fused or not, obeys |fl(Σ x_i y_i) − Σ x_i y_i| ≤ γ_n Σ|x_i y_i| + n·2^-1022, γ_n = nu/(1−nu),
u = 2^-53 (Higham, Accuracy and Stability of Numerical Algorithms, §3.1; the last term is underflow, gradual or not).
Every constant here is at least twice what that needs, so the slack may itself be computed in float64.
"""

import torch
from torch import Tensor

UNIT = 2.0**-53
TINY = 2.0**-1021


def gamma(terms: int) -> float:
    """Twice γ for sums of `terms` products and a few operations around them."""
    return 2.0 * (terms + 16) * UNIT


def up(x: Tensor) -> Tensor:
    """A number above everything within 8 roundings of x."""
    return x + (x.abs() * (16 * UNIT) + TINY)


def down(x: Tensor) -> Tensor:
    """A number below everything within 8 roundings of x."""
    return x - (x.abs() * (16 * UNIT) + TINY)


def centre(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A midpoint (any float will do) and a radius that reaches both ends."""
    middle = 0.5 * low + 0.5 * high
    return middle, up(torch.maximum(high - middle, middle - low)) * (high > low)
