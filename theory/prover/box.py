"""The ranges of the variables as a user gives them, and the boxes of exact rational ends that a search cuts.

A range may end at a constant such as π/2 or at ±∞. It is written as one or two *charts*: x = a + b·t with
t in a range of rational ends whose upper end may be infinite, so that everything else deals with those.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import cast

import sympy
from flint import arb, fmpq

from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.theory.arithmetic.balls import enclose, respect

MAX_SYMBOLS = 3
MAX_END_BITS = 1000  # of numerator or denominator: cut 80 times in two, such ends stay within what a certificate holds
DECLARED = ("complex", "real", "positive", "negative", "nonnegative", "nonpositive", "nonzero")


@dataclass(frozen=True)
class Side:
    """The range of one chart's variable.

    Args:
        low: The lower end.
        high: The upper end; `None` for +∞.
        low_open: Whether the lower end is left out.
        high_open: Whether the upper end is left out.
    """

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
            raise InvalidValueError(f"cut: {point} is not inside {self}. Cut between the ends.")
        return replace(self, high=point, high_open=False), replace(self, low=point, low_open=False)

    def __str__(self) -> str:
        """The range in the usual notation."""
        high = "∞" if self.high is None else str(self.high)
        closing = ")" if self.high is None or self.high_open else "]"
        return f"{'(' if self.low_open else '['}{self.low}, {high}{closing}"


Box = tuple[Side, ...]


@dataclass(frozen=True)
class Range:
    """The range of a variable as given.

    Args:
        low: The lower end, a number without variables or -∞.
        high: The upper end, a number without variables or ∞.
        low_open: Whether the lower end is left out.
        high_open: Whether the upper end is left out.
    """

    low: sympy.Expr
    high: sympy.Expr
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        """The range in the usual notation."""
        low, high = (str(end).replace("oo", "∞") for end in (self.low, self.high))
        opening = "(" if self.low_open or self.low == -sympy.oo else "["
        return f"{opening}{low}, {high}{')' if self.high_open or self.high == sympy.oo else ']'}"

    def charts(self) -> tuple["Chart", ...]:
        """The range by variables with rational ends, of which the upper one may be infinite."""
        zero = fmpq(0)
        if self.low == -sympy.oo and self.high == sympy.oo:
            return Chart(sympy.S.Zero, sympy.S.One, Side(zero, None)), Chart(
                sympy.S.Zero, -sympy.S.One, Side(zero, None)
            )
        if self.low == -sympy.oo:
            return (Chart(self.high, -sympy.S.One, Side(zero, None, self.high_open)),)
        if isinstance(self.low, sympy.Rational) and (self.high == sympy.oo or isinstance(self.high, sympy.Rational)):
            high = None if self.high == sympy.oo else _fmpq(self.high)
            side = Side(_fmpq(self.low), high, self.low_open, self.high_open)
            return (Chart(sympy.S.Zero, sympy.S.One, side),)
        if self.high == sympy.oo:
            return (Chart(self.low, sympy.S.One, Side(zero, None, self.low_open)),)
        return (Chart(self.low, self.high - self.low, Side(zero, fmpq(1), self.low_open, self.high_open)),)


@dataclass(frozen=True)
class Chart:
    """x = start + factor·t, t in `side`."""

    start: sympy.Expr
    factor: sympy.Expr
    side: Side

    def at(self, t: sympy.Expr) -> sympy.Expr:
        """The point x of a parameter t."""
        return self.start + self.factor * t

    @property
    def plain(self) -> bool:
        """Is t the variable itself?"""
        return self.start == 0 and self.factor == 1


def _fmpq(number: sympy.Basic) -> fmpq:
    assert isinstance(number, sympy.Rational)
    return fmpq(int(number.p), int(number.q))


def region(ranges: Mapping[sympy.Symbol, object], *, where: str) -> dict[sympy.Symbol, Range]:
    """Read a user's box.

    Args:
        ranges: Symbol → `(low, high)`, closed, or a sympy `Interval`; exact ends: rationals, constants such
            as `sympy.pi / 2`, or ±∞.
        where: The function to be named in messages.

    Returns:
        Symbol → range.

    Raises:
        InvalidTypeError: For what is no box or no exact number.
        InvalidValueError: For an empty range, too many symbols, or a range beyond what a symbol declares.
    """
    if not isinstance(ranges, Mapping):
        raise InvalidTypeError(
            f"{where}: the box must be a dictionary, got {described(ranges)}. Pass {{symbol: (low, high)}}."
        )
    if not 1 <= len(ranges) <= MAX_SYMBOLS:
        raise InvalidValueError(
            f"{where}: a box has one to {MAX_SYMBOLS} symbols, got {len(ranges)}. Give some of them values."
        )
    for symbol in ranges:
        _respect_kind(symbol, where)
    sides = {symbol: _range(symbol, given, where) for symbol, given in ranges.items()}
    for symbol, side in sides.items():
        _respect_declared(symbol, side, where)
    return sides


_PLAIN = [sympy.Symbol("_", **declared).assumptions0 for declared in ({}, *({name: True} for name in DECLARED))]


def _respect_kind(symbol: object, where: str) -> None:
    """Refuse what declares more than a sign (polar, imaginary, extended_positive): no range shows that it is true."""
    if not isinstance(symbol, sympy.Symbol) or not (symbol.is_integer or symbol.assumptions0 in _PLAIN):
        raise InvalidTypeError(
            f"{where}: symbols may declare at most one of {', '.join(DECLARED)}, got {symbol!s:.40} "
            f"({type(symbol).__name__}). Use sympy.Symbol(name, real=True)."
        )


def _respect_declared(symbol: sympy.Symbol, side: Range, where: str) -> None:
    """A range must lie in what its symbol declares, for sympy has simplified on that ground."""
    if symbol.is_integer:
        raise InvalidValueError(
            f"{where}: {symbol} is declared integer, but a range holds every number between its ends. Declare it real."
        )
    for end, is_open in ((side.low, side.low_open), (side.high, side.high_open)):
        if end.is_finite and not is_open:
            respect(symbol, enclose(end, {}, where=where), where=where)
    below_zero, above_zero = bool(side.low < 0), bool(side.high > 0)
    across = symbol.is_nonzero and below_zero and above_zero
    if (symbol.is_nonnegative and below_zero) or (symbol.is_nonpositive and above_zero) or across:
        raise InvalidValueError(
            f"{where}: the range {side} of {symbol} goes beyond what {symbol} declares. Declare the symbol real."
        )


def _range(symbol: sympy.Symbol, given: object, where: str) -> Range:
    if isinstance(given, sympy.Interval):
        return _ordered(symbol, given.start, given.end, bool(given.left_open), bool(given.right_open), where)
    if isinstance(given, tuple) and len(cast("tuple[object, ...]", given)) == 2:
        low, high = cast("tuple[object, object]", given)
        return _ordered(symbol, low, high, False, False, where)
    raise InvalidTypeError(
        f"{where}: the range for {symbol} must be (low, high) or a sympy.Interval, got {described(given)}."
    )


def _ordered(symbol: sympy.Symbol, low: object, high: object, low_open: bool, high_open: bool, where: str) -> Range:
    first, last = _end(symbol, low, where), _end(symbol, high, where)
    if first == sympy.oo or last == -sympy.oo or not _below(first, last, where):
        raise InvalidValueError(
            f"{where}: the range for {symbol}, {first} … {last}, must not be empty. Give low < high."
        )
    return Range(first, last, low_open or first == -sympy.oo, high_open or last == sympy.oo)


def _below(low: sympy.Expr, high: sympy.Expr, where: str) -> bool:
    if not (low.is_finite and high.is_finite):
        return True
    return bool(enclose(high - low, {}, where=where) > 0)


def _end(symbol: sympy.Symbol, end: object, where: str) -> sympy.Expr:
    if end in (sympy.oo, -sympy.oo):
        return cast(sympy.Expr, end)
    if isinstance(end, int | Fraction | sympy.Rational | fmpq) and not isinstance(end, bool):
        point = exact_point(end, where=where)
        return cast(sympy.Expr, sympy.Rational(int(point.p), int(point.q)))
    if isinstance(end, sympy.Expr) and not end.free_symbols and not end.atoms(sympy.Float):
        enclose(end, {}, where=where)  # refuses what has no enclosure
        return end
    raise InvalidTypeError(
        f'{where}: the ends for {symbol} must be exact, got {described(end)}. Use sympy.Rational("0.1"), not a float.'
    )


def exact_point(number: object, *, where: str) -> fmpq:
    """An exact rational of moderate size, as it is.

    Args:
        number: An integer, fraction or sympy rational.
        where: The function to be named in messages.

    Returns:
        The number.

    Raises:
        InvalidTypeError: For any other number.
        InvalidValueError: For more than 1000 bits.
    """
    if isinstance(number, fmpq):
        point = number
    elif isinstance(number, bool) or not isinstance(number, int | Fraction | sympy.Rational):
        raise InvalidTypeError(
            f"{where}: a point must be an exact rational, got {described(number)}. Use sympy.Rational."
        )
    else:
        point = fmpq(int(number.numerator), int(number.denominator))
    if point.height_bits() > MAX_END_BITS:
        raise InvalidValueError(
            f"{where}: points may have {MAX_END_BITS} bits, got one of {point.height_bits()}. Round it outward."
        )
    return point


def probes(box: Box) -> list[tuple[fmpq, ...]]:
    """Corners, midpoints of edges and faces, and the centre: points to look for a counterexample at first."""
    choices = [sorted({*side.ends(), side.middle()}) for side in box]
    return [point for point in product(*choices) if all(side.contains(x) for side, x in zip(box, point, strict=True))]
