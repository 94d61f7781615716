"""Linear bounds of a rectifier and of the difference of two rectifiers, per unit, from a step's enclosure.

The original's unit: λz ≤ max(z, 0) ≤ sz + t on [z̲, z̄]. The difference α = max(z+δ, 0) − max(z, 0) as a function of δ
alone lies between φ(δ) = min_z α and Φ(δ) = max_z α, both piecewise linear; Φ is convex, so its chord bounds α above;
below, the chord's slope is kept and the intercept is the minimum over φ's breakpoints. Slopes are any floats; the
intercepts are what makes them bounds, so only those are rounded outward. Where both units are stable α is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .enclosures import Enclosure, Interval, rectified_difference
from .rounding import TINY, UNIT, up

Curve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Lines:
    """`lower·z ≤ max(z, 0) ≤ upper·z + intercept`, each (batch, 1, *item)."""

    lower: Tensor
    upper: Tensor
    intercept: Tensor


@dataclass(frozen=True)
class DifferenceLines:
    """`lower·δ + below ≤ α ≤ upper·δ + above`, each (batch, 1, *item)."""

    lower: Tensor
    below: Tensor
    upper: Tensor
    above: Tensor


def rectifier_lines(interval: Interval) -> Lines:
    """CROWN's lines: the upper chord, and below the steeper or flatter side, whichever leaves the smaller area."""
    low, high = (x.unsqueeze(1) for x in (interval.low, interval.high))
    slope = (high / (high - low)).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
    slope = torch.where(low >= 0, 1.0, torch.where(high <= 0, 0.0, slope))
    intercept = torch.maximum(-slope * low, (1 - slope) * high).clamp(min=0)
    stable = (low >= 0) | (high <= 0)
    lower = torch.where(stable, slope, (high > -low).to(slope.dtype))
    return Lines(lower, slope, torch.where(stable, 0.0, up(intercept)))


def difference_lines(enclosure: Enclosure) -> DifferenceLines:
    """The chords of φ and Φ, exact where both units are stable."""
    z, other, change = enclosure.original, enclosure.pruned, enclosure.difference
    least, most = change.low, change.high
    on, off = (z.low >= 0) & (other.low >= 0), (z.high <= 0) & (other.high <= 0)

    def highest(at: Tensor) -> Tensor:
        return rectified_difference(torch.where(at >= 0, z.high, z.low), at)

    def lowest(at: Tensor) -> Tensor:
        return rectified_difference(torch.where(at >= 0, z.low, z.high), at)

    breaks = [least, most, *(torch.clamp(x, least, most) for x in (torch.zeros_like(least), -z.low, -z.high))]
    upper, lower = _chord(highest, least, most, on, off), _chord(lowest, least, most, on, off)
    above = torch.stack([_gap(highest, upper, at) for at in (least, most)]).amax(0)
    below = -torch.stack([_gap(lambda x: -lowest(x), -lower, at) for at in breaks]).amax(0)
    stable = on | off
    above, below = (torch.where(stable, 0.0, x).unsqueeze(1) for x in (above, below))
    return DifferenceLines(lower.unsqueeze(1), below, upper.unsqueeze(1), above)


def _chord(curve: Curve, low: Tensor, high: Tensor, on: Tensor, off: Tensor) -> Tensor:
    slope = ((curve(high) - curve(low)) / (high - low)).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
    return torch.where(on, 1.0, torch.where(off, 0.0, slope))


def _gap(curve: Curve, slope: Tensor, at: Tensor) -> Tensor:
    value, line = curve(at), slope * at
    return value - line + (16 * UNIT * (value.abs() + line.abs()) + TINY)
