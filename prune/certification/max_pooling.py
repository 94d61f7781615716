"""Max pooling inside back-substitution: linear where one entry of the window wins for certain, constant elsewhere."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .enclosures import Enclosure, Interval


def _pair(x: Any) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[1]))


def _windows(x: Tensor, settings: tuple[Any, ...]) -> Tensor:
    """(batch, channels, rows, columns, entries of the window), padded with −inf."""
    kernel, stride, padding = (_pair(setting) for setting in settings)
    padded = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=-torch.inf)
    return padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)


def _winners(interval: Interval, settings: tuple[Any, ...]) -> tuple[Tensor, Tensor, Tensor]:
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
    sides: tuple[Interval, Interval],
    pair: tuple[Enclosure, Enclosure],
    value: Tensor,
    change: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """P·a + Q·α ≥ P′·z + Q′·δ + c: a ≥ z_i for the winner i, equal if i wins for sure, else a ≤ the box's end.

    Arguments:
        settings: kernel, stride, padding.
        sides: the intervals before and after pooling of the network that P belongs to.
        pair: the enclosures before and after, for the difference.
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
