"""A box of exact rational ends, one side per symbol, each end open or closed, the upper end possibly infinite."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import cast

import sympy
from flint import arb, fmpq

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import respect

MAX_SYMBOLS = 3
MAX_END_BITS = 1000  # of numerator or denominator: cut 80 times in two, such ends stay within what a certificate holds
DECLARED = ("complex", "real", "positive", "negative", "nonnegative", "nonpositive", "nonzero")


@dataclass(frozen=True)
class Side:
    """The range of one symbol; `high` is `None` for +∞."""

    low: fmpq
    high: fmpq | None
    low_open: bool = False
    high_open: bool = False

    def contains(self, point: fmpq) -> bool:
        """Is the point in the range, ends included only where they are closed?"""
        above = point > self.low or (point == self.low and not self.low_open)
        return above and (self.high is None or point < self.high or (point == self.high and not self.high_open))

    def ball(self) -> arb:
        """A ball around a finite range."""
        assert self.high is not None
        return arb((self.low + self.high) / 2, (self.high - self.low) / 2)

    def middle(self) -> fmpq:
        """The midpoint; twice as far out, and at least 1 further, on an infinite side."""
        return (self.low + self.high) / 2 if self.high is not None else max(2 * self.low, self.low + 1)

    def ends(self) -> list[fmpq]:
        """The finite ends."""
        return [self.low] if self.high is None else [self.low, self.high]

    def cut(self, point: fmpq) -> tuple["Side", "Side"]:
        """The two closed parts left and right of an interior point; together they are the side."""
        if not (self.low < point and (self.high is None or point < self.high)):
            raise PruneproofError("cut", required=f"a point inside {self}", received=str(point), remedy="cut inside")
        return replace(self, high=point, high_open=False), replace(self, low=point, low_open=False)

    def __str__(self) -> str:
        """The range in the usual notation."""
        high = "∞" if self.high is None else str(self.high)
        closing = ")" if self.high is None or self.high_open else "]"
        return f"{'(' if self.low_open else '['}{self.low}, {high}{closing}"


Box = tuple[Side, ...]


def region(ranges: Mapping[sympy.Symbol, object], *, where: str) -> dict[sympy.Symbol, Side]:
    """Read a user's box: symbol → `(low, high)`, closed, or a sympy `Interval`; exact numbers only, `oo` above."""
    if not isinstance(ranges, Mapping):
        remedy = "pass {symbol: (low, high)}"
        raise PruneproofError(where, required="a box", received=type(ranges).__name__, remedy=remedy)
    if not 1 <= len(ranges) <= MAX_SYMBOLS:
        needed = f"one to {MAX_SYMBOLS} symbols"
        raise PruneproofError(where, required=needed, received=f"{len(ranges)}", remedy="fix the others or split it")
    for symbol in ranges:
        _respect_kind(symbol, where)
    sides = {symbol: _side(symbol, given, where) for symbol, given in ranges.items()}
    for symbol, side in sides.items():
        for end, is_open in zip(side.ends(), (side.low_open, side.high_open), strict=False):
            if not is_open or symbol.is_integer:
                respect(symbol, end, where=where)
        _respect_open(symbol, side, where)
    return sides


_PLAIN = [sympy.Symbol("_", **declared).assumptions0 for declared in ({}, *({name: True} for name in DECLARED))]


def _respect_kind(symbol: object, where: str) -> None:
    """Refuse what declares more than a sign (polar, imaginary, extended_positive): no range shows that it is true."""
    if not isinstance(symbol, sympy.Symbol) or not (symbol.is_integer or symbol.assumptions0 in _PLAIN):
        needed = f"symbols that declare at most one of {', '.join(DECLARED)}"
        received = f"{symbol!s:.40} ({type(symbol).__name__})"
        raise PruneproofError(where, required=needed, received=received, remedy="use sympy.Symbol(name, real=True)")


def _respect_open(symbol: sympy.Symbol, side: Side, where: str) -> None:
    """A range must lie in what its symbol declares, for sympy has simplified on that ground."""
    if symbol.is_integer:
        remedy = "declare it real: the range holds every number between its ends"
        raise PruneproofError(where, required="real symbols", received=f"{symbol}, declared integer", remedy=remedy)
    above = symbol.is_nonnegative and side.low < 0
    below = symbol.is_nonpositive and (side.high is None or side.high > 0)
    across = symbol.is_nonzero and side.low < 0 and (side.high is None or side.high > 0)
    if above or below or across:
        remedy = "declare the symbol real"
        raise PruneproofError(where, required=f"a range that {symbol} declares", received=str(side), remedy=remedy)


def _side(symbol: sympy.Symbol, given: object, where: str) -> Side:
    if isinstance(given, sympy.Interval):
        return _ordered(symbol, given.start, given.end, bool(given.left_open), bool(given.right_open), where)
    if isinstance(given, tuple) and len(cast("tuple[object, ...]", given)) == 2:
        low, high = cast("tuple[object, object]", given)
        return _ordered(symbol, low, high, False, False, where)
    needed = f"a range for {symbol}"
    raise PruneproofError(where, required=needed, received=given, remedy="pass (low, high) or sympy.Interval")


def _ordered(symbol: sympy.Symbol, low: object, high: object, low_open: bool, high_open: bool, where: str) -> Side:
    if low == -sympy.oo:
        received, remedy = "-oo", f"substitute {symbol} = -y, or split at 0"
        raise PruneproofError(where, required=f"a finite lower end for {symbol}", received=received, remedy=remedy)
    first = _end(symbol, low, where)
    last = None if high == sympy.oo else _end(symbol, high, where)
    if last is not None and not first < last:
        received = f"{first} … {last}"
        raise PruneproofError(
            where, required=f"a range for {symbol} that is not empty", received=received, remedy="low < high"
        )
    return Side(first, last, low_open, high_open)


def _end(symbol: sympy.Symbol, end: object, where: str) -> fmpq:
    if isinstance(end, fmpq):
        return end
    if isinstance(end, int | Fraction | sympy.Rational) and not isinstance(end, bool):
        return exact_point(end, where=where)
    needed = f"exact rational ends for {symbol}"
    raise PruneproofError(where, required=needed, received=end, remedy='use sympy.Rational("0.1"), not a float')


def exact_point(number: object, *, where: str) -> fmpq:
    """An integer, fraction or sympy rational of moderate size, as it is."""
    if isinstance(number, bool) or not isinstance(number, int | Fraction | sympy.Rational):
        raise PruneproofError(where, required="an exact point", received=number, remedy="use sympy.Rational")
    point = fmpq(int(number.numerator), int(number.denominator))
    if point.height_bits() > MAX_END_BITS:
        needed, received = f"points of at most {MAX_END_BITS} bits", f"one of {point.height_bits()} bits"
        raise PruneproofError(where, required=needed, received=received, remedy="round it outward")
    return point


def probes(box: Box) -> list[tuple[fmpq, ...]]:
    """Corners, midpoints of edges and faces, and the centre: points to look for a counterexample at first."""
    choices = [sorted({*side.ends(), side.middle()}) for side in box]
    return [point for point in product(*choices) if all(side.contains(x) for side, x in zip(box, point, strict=True))]
