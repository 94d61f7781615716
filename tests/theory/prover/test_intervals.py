"""Interval powers and quotients against exact fractions, where a false bound would be proved if they were wrong."""

from fractions import Fraction

import pytest
import sympy
from flint import arb

from pruneproof.theory.arithmetic import intervals
from pruneproof.theory.prover.search import prove

x, y = sympy.symbols("x y", real=True)


@pytest.mark.parametrize("times", [4, 5, 8, 9, 12, 13])
def test_powers_of_intervals_end_where_powers_of_their_ends_do(times: int) -> None:
    top = Fraction(3, 2) ** times
    exact = sympy.Rational(top.numerator, top.denominator)
    box = {x: (1, sympy.Rational(3, 2)), y: (0, 1)}
    assert prove(sympy.Le(x**times * y, exact + 1), box).verdict == "proved"
    assert prove(sympy.Le(x**times * y, exact - 1), box).verdict == "refuted"


@pytest.mark.parametrize("ends", [(-1, 1), (-1, 2), (-3, 1)])
def test_a_quotient_over_zero_bounds_nothing(ends: tuple[int, int]) -> None:
    with pytest.raises(intervals.Undefined):
        intervals._reciprocal(intervals.interval(*map(arb, ends)))  # pyright: ignore[reportPrivateUsage]
