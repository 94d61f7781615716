"""Lines around a rectifier and around the difference of two: they hold on a grid, exactly, and no better ones exist."""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from pruneproof.prune.certification import back_substitution as substitution
from pruneproof.prune.certification.interval_bounds import Enclosure, TensorInterval
from pruneproof.prune.certification.relaxations import difference_lines, rectifier_lines

Range = tuple[float, float]
ROUNDED = 1e-12  # relative: intercepts are rounded outward by 16 units and a few roundings, 1e-14 of the box's size


def _interval(ends: Range) -> TensorInterval:
    return TensorInterval(*(torch.tensor([[end]], dtype=torch.float64) for end in ends))


def _grid(ends: Range, *, also: tuple[float, ...] = ()) -> list[Fraction]:
    """21 points from end to end, and those of `also` that lie between."""
    low, high = (Fraction(end) for end in ends)
    steps = [low + (high - low) * k / 20 for k in range(21)]
    return steps + [Fraction(x) for x in also if low <= x <= high]


def _numbers(*tensors: Tensor) -> list[Fraction]:
    return [Fraction(float(tensor)) for tensor in tensors]


def _relu(z: Fraction) -> Fraction:
    return max(z, Fraction(0))


STRADDLING: list[Range] = [(-1.0, 2.0), (-2.0, 1.0), (-1.0, 1.0), (-0.3, 0.7), (-0.5, 0.25), (-1e-3, 1e3), (-1e6, 1e-6)]


@pytest.mark.parametrize("ends", STRADDLING)
def test_the_rectifiers_lines_are_its_chord_and_the_side_of_smaller_area(ends: Range) -> None:
    lines = rectifier_lines(_interval(ends))
    low, high = (Fraction(end) for end in ends)
    lower, upper, intercept = _numbers(lines.lower, lines.upper, lines.intercept)
    assert lower == (1 if high > -low else 0)
    assert abs(upper - high / (high - low)) <= ROUNDED * upper
    least = max(_relu(z) - upper * z for z in _grid(ends, also=(0.0,)))
    assert least <= intercept <= least * (1 + Fraction(ROUNDED))
    assert all(lower * z <= _relu(z) <= upper * z + intercept for z in _grid(ends))


STABLE: list[Range] = [(0.0, 1.0), (1.0, 2.0), (3.0, 3.0), (0.0, 0.0), (-1.0, 0.0), (-2.0, -1.0), (-3.0, -3.0)]


@pytest.mark.parametrize("ends", STABLE)
def test_a_stable_rectifier_is_its_own_line(ends: Range) -> None:
    lines = rectifier_lines(_interval(ends))
    slope = 1.0 if ends[0] >= 0 else 0.0
    assert [float(x) for x in (lines.lower, lines.upper, lines.intercept)] == [slope, slope, 0.0]


UNSTABLE: list[tuple[Range, Range, Range]] = [  # of z, of z + δ, of δ
    ((-1.0, 2.0), (-1.5, 2.75), (-0.5, 0.75)),
    ((-2.0, 1.0), (-2.5, 4.0), (-0.5, 3.0)),
    ((-1.0, 1.0), (-0.875, 1.5), (0.125, 0.5)),
    ((-1.0, 1.0), (-1.5, 0.875), (-0.5, -0.125)),
    ((0.25, 1.0), (-0.25, 1.25), (-0.5, 0.25)),
    ((-1.0, -0.25), (-1.125, 0.5), (-0.125, 0.75)),
    ((0.5, 1.0), (-2.5, -1.0), (-3.0, -2.0)),
    ((-1.0, -0.5), (1.0, 2.5), (2.0, 3.0)),
    ((0.0, 1.0), (-1.0, 2.0), (-1.0, 1.0)),
    ((-1.0, 0.0), (-2.0, 1.0), (-1.0, 1.0)),
    ((-0.5, 1.0), (0.0, 1.0), (-0.25, 0.5)),
    ((-1.0, 0.5), (-1.0, 0.0), (-0.5, 0.25)),
    ((-1.0, 1.0), (-0.75, 1.25), (0.25, 0.25)),
    ((0.5, 0.5), (-0.5, 1.5), (-1.0, 1.0)),
    ((-0.5, 0.25), (-1e3, 1e3), (-1e3, 1e3)),
    *(  # no end is a round number, so chords and intercepts round
        ((-1e9 / 3, 2e9 / 3), (-2e9 / 3, 3e9), (-1e9 / part, 1e9 / (part + 2))) for part in (7, 11, 13, 17)
    ),
]


def _difference(z: Fraction, change: Fraction) -> Fraction:
    return _relu(z + change) - _relu(z)


def _box(z: Range, other: Range, change: Range) -> Enclosure:
    return Enclosure(_interval(z), _interval(other), _interval(change))


@pytest.mark.parametrize("case", UNSTABLE)
def test_the_differences_lines_are_chords_with_the_least_intercepts(case: tuple[Range, Range, Range]) -> None:
    z, _, change = case
    lines = difference_lines(_box(*case))
    lower, below, upper, above = _numbers(lines.lower, lines.below, lines.upper, lines.above)
    values = _grid(z, also=(0.0,))
    changes = _grid(change, also=(0.0, -z[0], -z[1]))
    most = {d: max(_difference(v, d) for v in values) for d in changes}
    least = {d: min(_difference(v, d) for v in values) for d in changes}
    first, last = (Fraction(end) for end in change)
    size = Fraction(ROUNDED) * max(1, abs(first), abs(last))
    for slope, curve in ((upper, most), (lower, least)):
        chord = (curve[last] - curve[first]) / (last - first) if last > first else Fraction(0)
        assert abs(slope - min(max(chord, Fraction(0)), Fraction(1))) <= ROUNDED
    gap, drop = (max(most[d] - upper * d for d in changes), min(least[d] - lower * d for d in changes))
    assert gap <= above <= gap + size
    assert drop - size <= below <= drop


@pytest.mark.parametrize(
    ("case", "slope"),
    [
        (((0.5, 1.0), (0.25, 2.0), (-0.25, 1.0)), 1.0),
        (((0.0, 1.0), (0.0, 2.0), (-1.0, 1.0)), 1.0),
        (((-1.0, -0.5), (-2.0, -0.25), (-1.0, 0.25)), 0.0),
        (((-1.0, 0.0), (-2.0, 0.0), (-1.0, 1.0)), 0.0),
    ],
)
def test_the_difference_of_stable_rectifiers_is_exact(case: tuple[Range, Range, Range], slope: float) -> None:
    lines = difference_lines(_box(*case))
    assert [float(x) for x in (lines.lower, lines.below, lines.upper, lines.above)] == [slope, 0.0, slope, 0.0]


def _numbers_of(box: Enclosure) -> list[Tensor]:
    """What a pass reads of bent units."""
    lines = substitution._lines(box.original, box, joint=True)  # pyright: ignore[reportPrivateUsage]
    return [number.unsqueeze(1) for number in lines[:, 2:].unbind(1)]


@pytest.mark.parametrize(
    ("value", "change", "constant"), list(itertools.product((-2.0, 0.5), (-1.0, 3.0), (-1.0, 0.0)))
)
@pytest.mark.parametrize("case", UNSTABLE)
def test_a_functionals_least_value_over_a_box_is_at_a_corner(
    case: tuple[Range, Range, Range], value: float, change: float, constant: float
) -> None:
    p, q, c = (torch.full((1, 1, 1), x, dtype=torch.float64) for x in (value, change, constant))
    found = substitution._minimum(p, q, c, *_numbers_of(_box(*case))[11:])  # pyright: ignore[reportPrivateUsage]
    corners = [value * z + change * d + constant for z, d in itertools.product(case[0], case[2])]
    assert abs(float(found) - min(corners)) <= ROUNDED * max(1.0, *map(abs, corners))


@pytest.mark.parametrize(("value", "change"), list(itertools.product((-2.0, 0.0, 0.5), (-1.0, 0.5, 3.0))))
@pytest.mark.parametrize("case", UNSTABLE)
def test_of_two_relaxations_the_one_with_the_larger_minimum_is_kept(
    case: tuple[Range, Range, Range], value: float, change: float
) -> None:
    """And it holds: P·a + Q·α is nowhere smaller on the feasible part of the box."""
    box = _box(*case)
    p, q = (torch.full((1, 1, 1), x, dtype=torch.float64) for x in (value, change))
    new, moved, constant = substitution._both(p, q, _numbers_of(box))  # pyright: ignore[reportPrivateUsage]
    least = substitution._minimum(new, moved, constant, *_numbers_of(box)[11:])  # pyright: ignore[reportPrivateUsage]
    slopes = _numbers(new, moved, constant)
    for z, d in itertools.product(_grid(case[0], also=(0.0,)), _grid(case[2], also=(0.0,))):
        if case[1][0] <= z + d <= case[1][1]:
            exact = Fraction(value) * _relu(z) + Fraction(change) * _difference(z, d)
            assert float(exact - slopes[0] * z - slopes[1] * d - slopes[2]) >= -ROUNDED * max(1.0, *map(abs, case[2]))
    first, second = rectifier_lines(box.original), rectifier_lines(box.pruned)
    lines = difference_lines(box)
    joint = (
        _lines(value, first.lower, 0.0, first.upper, first.intercept),
        _lines(change, lines.lower, lines.below, lines.upper, lines.above),
    )
    apart = (
        _lines(value - change, first.lower, 0.0, first.upper, first.intercept),
        _lines(change, second.lower, 0.0, second.upper, second.intercept),
    )
    together = (joint[0][0], joint[1][0], joint[0][1] + joint[1][1])
    separate = (apart[0][0] + apart[1][0], apart[1][0], apart[0][1] + apart[1][1])
    for slope_z, slope_d, offset in (together, separate):
        corners = [slope_z * z + slope_d * d + offset for z, d in itertools.product(case[0], case[2])]
        assert float(least) >= min(corners) - ROUNDED * max(1.0, *map(abs, corners))


def _lines(factor: float, lower: Tensor, below: Tensor | float, upper: Tensor, above: Tensor) -> tuple[float, float]:
    """Slope and constant of the bound from below of factor · (what lies between the lines)."""
    slope, offset = (lower, below) if factor >= 0 else (upper, above)
    return factor * float(slope), factor * float(offset)
