"""The ways to see that f > 0 on one box: each is sound by itself, and none needs to know how the box was found.

* natural: f on balls is positive;
* mean value: f(c) + Σ ∂_i f(X)·(X_i - c_i) is positive, the derivatives by first-order jets;
* interval: f on intervals with exact, possibly infinite ends is positive (next to a pole, at infinity);
* touch: f and its first n-1 derivatives vanish at an end x₀ of the box, by exact rational series, and the n-th Taylor
  coefficient has the right sign on the whole box: f = f⁽ⁿ⁾(ξ)/n!·(x-x₀)ⁿ (one symbol);
* tail n: on [X, ∞), f(X) > 0, f', …, f⁽ⁿ⁻¹⁾ ≥ 0 at X and f⁽ⁿ⁾ ≥ 0 on [X, ∞);
* excluded: a condition that the inequality assumes is violated on the whole box.

"Positive" is "not negative" for an inequality with ≥. All work is done at the precision of flint that the caller sets.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import sympy
from flint import arb, arb_series, ctx, fmpq, fmpq_series

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import Tape, tape
from pruneproof.theory.arithmetic.elementary import UNDEFINED, Number, Series, constant_term, defined
from pruneproof.theory.arithmetic.intervals import INFINITY, Interval, Undefined, at_infinity, evaluate, interval

from .box import Box, Side

MAX_ORDER = 8  # derivatives that a touch or a tail may use


@dataclass(frozen=True, eq=False)
class Gap:
    """f, the difference of the two sides of an inequality `f > 0` (or `f >= 0`), and the symbols it depends on."""

    formula: sympy.Expr
    symbols: tuple[sympy.Symbol, ...]
    strict: bool

    @cached_property
    def tape(self) -> Tape:
        """f as straight-line exact arithmetic."""
        return tape(self.formula, self.symbols, where="prove")

    def positive(self, value: Number) -> bool:
        """Is a value (a jet's constant term) certainly on the right side?"""
        number = constant_term(value)
        return number > 0 if self.strict else number >= 0

    def negative(self, value: Number) -> bool:
        """Does a value certainly contradict the inequality?"""
        number = constant_term(value)
        return number <= 0 if self.strict else number < 0


@contextmanager
def series_length(terms: int) -> Generator[None]:
    """Keep `terms` coefficients in every power series."""
    before, ctx.cap = ctx.cap, terms
    try:
        yield
    finally:
        ctx.cap = before


def at_point(gap: Gap, point: tuple[fmpq, ...]) -> Number:
    """f at an exact point: an exact rational, or a ball that contains it."""
    return gap.tape(*point)


def natural(gap: Gap, box: Box) -> Number | None:
    """f on the balls around a finite box."""
    return None if any(side.high is None for side in box) else gap.tape(*[side.ball() for side in box])


def gradient(gap: Gap, box: Box) -> list[arb]:
    """Enclosures of the partial derivatives over a finite box."""
    balls = [side.ball() for side in box]
    slopes: list[arb] = []
    with series_length(2):
        for index, centre in enumerate(balls):
            inputs: list[Number] = list(balls)
            inputs[index] = arb_series([centre, 1], 2)
            slopes.append(coefficient(gap.tape(*inputs), 1))
    return slopes


def coefficient(jet: Number, order: int) -> arb:
    """A Taylor coefficient over a ball; NaN where f is undefined, for an undefined summand marks the value alone."""
    if not defined(jet):
        return UNDEFINED
    return arb(jet[order]) if isinstance(jet, Series) else arb(0)


def mean_value(gap: Gap, box: Box, slopes: list[arb] | None = None) -> arb | None:
    """The mean-value enclosure of f over a finite box; `slopes` is its `gradient` if that is known already."""
    if any(side.high is None for side in box):
        return None
    centre = tuple(side.middle() for side in box)
    value = arb(cast("fmpq | arb", at_point(gap, centre)))
    for slope, side, middle in zip(slopes or gradient(gap, box), box, centre, strict=True):
        value += slope * (side.ball() - middle)
    return value


def by_interval(gap: Gap, box: Box) -> arb | None:
    """The lower end of f over the box in interval arithmetic, infinite ends allowed; `None` where undefined."""
    try:
        return evaluate(gap.formula, _intervals(gap, box)).low
    except Undefined:
        return None


def _intervals(gap: Gap, box: Box) -> dict[sympy.Symbol, Interval]:
    return dict(zip(gap.symbols, map(_interval, box), strict=True))


def _interval(side: Side) -> Interval:
    if side.high is None:
        return interval(side.low, INFINITY, low_open=side.low_open)
    return interval(side.low, side.high, low_open=side.low_open, high_open=side.high_open)


def exact_jet(gap: Gap, point: fmpq) -> list[fmpq] | None:
    """The Taylor coefficients of f at a rational point, if all of them are rational; else `None`."""
    with series_length(MAX_ORDER + 1):
        try:
            jet = gap.tape(fmpq_series([point, 1], 1, MAX_ORDER + 1))
        except (PruneproofError, ValueError, ArithmeticError, TypeError, AttributeError):  # a log at 2, say
            return None
        return [jet[order] for order in range(MAX_ORDER + 1)] if isinstance(jet, fmpq_series) else None


def touches(gap: Gap, side: Side) -> bool:
    """Does f touch zero at an end of the side and stay positive on the rest of it?"""
    return any(_touches_at(gap, side, end) for end in side.ends())


def _touches_at(gap: Gap, side: Side, end: fmpq) -> bool:
    coefficients = exact_jet(gap, end)
    if coefficients is None or side.high is None:
        return False
    order = next((index for index, value in enumerate(coefficients) if value != 0), 0)
    closed = not (side.low_open if end == side.low else side.high_open)
    if order == 0 or (gap.strict and closed):
        return False
    with series_length(order + 1):
        jet = gap.tape(arb_series([side.ball(), 1], order + 1))
    leading = coefficient(jet, order)
    return leading > 0 if end == side.low or order % 2 == 0 else leading < 0


def tail(gap: Gap, box: Box, order: int) -> bool:
    """Is f positive on a box whose one infinite side starts at X, by the sign of f, f', … at X and of f⁽ⁿ⁾ beyond?"""
    infinite = [index for index, side in enumerate(box) if side.high is None]
    if len(infinite) != 1 or not 0 <= order <= MAX_ORDER:
        return False
    [index] = infinite
    return _beyond(gap, box, index, order) and (order == 0 or _at_start(gap, box, index, order))


def _at_start(gap: Gap, box: Box, index: int, order: int) -> bool:
    inputs: list[Number] = [arb(side.low) if side.high is None else side.ball() for side in box]
    with series_length(order):
        inputs[index] = arb_series([box[index].low, 1], order)
        jet = gap.tape(*inputs)
    if not isinstance(jet, arb_series):
        return False
    return gap.positive(jet[0]) and all(jet[power] >= 0 for power in range(1, order))


def _beyond(gap: Gap, box: Box, index: int, order: int) -> bool:
    if box[index].low <= 0:
        return False
    symbol = gap.symbols[index]
    derivative = cast(sympy.Expr, sympy.diff(gap.formula, symbol, order))
    try:
        if not all(_nonzero(part, gap, box, index, positive) for part, positive in _must_not_vanish(gap.formula)):
            return False
        low = _at_infinity(derivative, gap, box, index).low
    except Undefined:
        return False
    return low > 0 or (low >= 0 and (order > 0 or not gap.strict))


def _must_not_vanish(formula: sympy.Expr) -> Iterator[tuple[sympy.Expr, bool]]:
    """Every divisor (False), argument of a logarithm and radicand (True: it must be positive)."""
    for part in sympy.preorder_traversal(formula):
        if isinstance(part, sympy.log):
            yield part.args[0], True
        if isinstance(part, sympy.Pow) and not (part.args[1].is_integer and part.args[1].is_positive):
            yield part.args[0], not part.args[1].is_integer


def _nonzero(part: sympy.Expr, gap: Gap, box: Box, index: int, positive: bool) -> bool:
    found = _at_infinity(part, gap, box, index)
    return found.low > 0 or (found.high < 0 and not positive)


def _at_infinity(formula: sympy.Expr, gap: Gap, box: Box, index: int) -> Interval:
    """The range of a formula over the box, by the inverse of its infinite side."""
    symbol, inverse = gap.symbols[index], sympy.Dummy("v", real=True)
    ranges = {name: ends for name, ends in _intervals(gap, box).items() if name != symbol}
    ranges[inverse] = interval(fmpq(0), 1 / box[index].low, low_open=True)
    return evaluate(at_infinity(formula, symbol, inverse), ranges)


def excluded(condition: Gap, box: Box) -> bool:
    """Is a condition violated on the whole box?"""
    value = natural(condition, box)
    return value is not None and condition.negative(value)


def leaf_rules() -> dict[str, Callable[[Gap, Box], bool]]:
    """Rule name → does it show f > 0 on the box? Excluded boxes, which need a condition, are not among them."""
    return {
        "natural": lambda gap, box: (value := natural(gap, box)) is not None and gap.positive(value),
        "mean value": lambda gap, box: (value := mean_value(gap, box)) is not None and gap.positive(value),
        "interval": lambda gap, box: (value := by_interval(gap, box)) is not None and gap.positive(value),
        "touch": lambda gap, box: len(box) == 1 and touches(gap, box[0]),
        **{f"tail {order}": _tail_rule(order) for order in range(5)},
    }


def _tail_rule(order: int) -> Callable[[Gap, Box], bool]:
    return lambda gap, box: tail(gap, box, order)
