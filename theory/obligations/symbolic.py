"""Discharge an identity with sympy; refute a false one with a point at which a ball excludes equality."""

from typing import cast

import sympy

from ...errors import PruneproofError
from ..balls import enclose
from .obligation import Identity

# Distinct rationals without structure: no two of them make an accidental identity likely.
_POINTS = tuple(sympy.Rational(*pair) for pair in ((7, 5), (3, 11), (13, 6), (2, 9), (17, 4), (5, 13), (19, 8), (1, 7)))


def holds(identity: Identity) -> bool:
    """Does sympy reduce the difference of both sides to zero?"""
    return sympy.simplify(_difference(identity)) == 0


def counterexample(identity: Identity) -> str | None:
    """A point at which the two sides certainly differ, in words; `None` if the points tried show none."""
    difference = _difference(identity)
    symbols = sorted(difference.free_symbols, key=str)
    for shift in range(len(_POINTS)):
        points = [_POINTS[(shift + index) % len(_POINTS)] for index in range(len(symbols))]
        try:
            ball = enclose(difference, dict(zip(cast("list[sympy.Symbol]", symbols), points, strict=True)))
        except PruneproofError:  # undefined there, or outside what a symbol declares
            continue
        if ball < 0 or ball > 0:
            shown = ", ".join(f"{symbol} = {point}" for symbol, point in zip(symbols, points, strict=True))
            return f"{shown or 'constants'}: difference {ball.str(6)}"
    return None


def _difference(identity: Identity) -> sympy.Expr:
    """Left minus right, with integrals, sums and limits carried out."""
    return identity.left.doit() - identity.right.doit()
