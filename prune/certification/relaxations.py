"""Linear bounds of ReLU, of a difference of ReLUs and of max pooling, per unit, from a step's intervals.

The original's unit: λz ≤ max(z, 0) ≤ sz + t on [z̲, z̄]. The difference
α = max(z+δ, 0) − max(z, 0) as a function of δ alone lies between φ(δ) = min_z α and Φ(δ) = max_z α,
both piecewise linear; Φ is convex, so its chord bounds α above; below, the chord's slope is kept and
the intercept is the minimum over φ's breakpoints. Slopes are any floats; the intercepts are what makes
them bounds, so only those are rounded outward. Where both units are stable α is exact.

Max pooling is linear where one entry of the window provably is the largest, and constant elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .interval_bounds import Enclosure, TensorInterval, rectified_difference
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


def rectifier_lines(interval: TensorInterval) -> Lines:
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


def _pair(x: Any) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[1]))


def _windows(x: Tensor, settings: tuple[Any, ...]) -> Tensor:
    """(batch, channels, rows, columns, entries of the window), padded with −inf."""
    kernel, stride, padding = (_pair(setting) for setting in settings)
    padded = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=-torch.inf)
    return padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)


def _winners(interval: TensorInterval, settings: tuple[Any, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Position in the item's plane of the entry with the largest lower end; is it finite; does no other exceed it."""
    low, high = _windows(interval.low, settings), _windows(interval.high, settings)
    best, index = low.max(-1)
    rivals = high.scatter(-1, index.unsqueeze(-1), -torch.inf).amax(-1)
    plane = torch.arange(interval.low[0, 0].numel(), dtype=torch.float64).reshape(1, 1, *interval.low.shape[2:])
    places = _windows(plane, settings).expand(*index.shape, -1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
    finite = best > -torch.inf
    return torch.where(finite, places, 0.0).long(), finite, finite & (best >= rivals)


def pool_terms(
    settings: tuple[Any, ...],
    sides: tuple[TensorInterval, TensorInterval],
    pair: tuple[Enclosure, Enclosure],
    value: Tensor,
    change: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """P·a + Q·α ≥ P′·z + Q′·δ + c: a ≥ z_i for the winner i, equal if i wins for sure, else a ≤ the box's end.

    Args:
        settings: Kernel, stride, padding.
        sides: The intervals before and after pooling of the network that P belongs to.
        pair: The enclosures before and after, for the difference.
        value: P, (batch, rows, channels, rows', columns').
        change: Q, likewise, or None.
    """
    before, after = sides
    place, finite, sure = (t.unsqueeze(1) for t in _winners(before, settings))
    follow = finite & (sure | (value >= 0))
    end = torch.where(value >= 0, after.low.unsqueeze(1), after.high.unsqueeze(1))
    constant = torch.where(follow, 0.0, value * end)
    shape = before.low.shape[2:]
    new = _scatter(torch.where(follow, value, 0.0), place, shape)
    if change is None:
        return new, None, constant
    (one, _, certain), (two, _, too) = (_winners(i, settings) for i in (pair[0].original, pair[0].pruned))
    same = (certain & too & (one == two)).unsqueeze(1)
    edge = torch.where(change >= 0, pair[1].difference.low.unsqueeze(1), pair[1].difference.high.unsqueeze(1))
    constant = constant + torch.where(same, 0.0, change * edge)
    return new, _scatter(torch.where(same, change, 0.0), one.unsqueeze(1), shape), constant


def _scatter(rows: Tensor, place: Tensor, shape: torch.Size) -> Tensor:
    flat = rows.new_zeros((*rows.shape[:3], shape.numel()))
    return flat.scatter_add(3, place.expand_as(rows).flatten(3), rows.flatten(3)).unflatten(3, shape)
