"""The ball of a formula contains its exact value: the formula itself, not a rounded copy of it."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from math import ceil, inf, nan

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb, ctx, fmpq
from hypothesis import given
from hypothesis import strategies as st

from pruneproof.errors import PruneproofError
from pruneproof.theory import Assumption, Bound, bounds
from pruneproof.theory.arithmetic.balls import enclose, rounded

x, y = sympy.symbols("x y", real=True)
k = sympy.Symbol("k", positive=True)


def _reference(expression: sympy.Expr, values: dict[sympy.Symbol, Fraction]) -> str:
    """The value by another route: sympy substitutes exact rationals, mpmath evaluates to 80 digits."""
    exact = [(symbol, sympy.Rational(value.numerator, value.denominator)) for symbol, value in values.items()]
    return str(sympy.N(expression.subs(exact), 80))


def _contains(ball: arb, digits: str) -> bool:
    """Does the ball meet the 80-digit value, give or take its last digits?"""
    with ctx.workprec(400):
        near = arb(digits).mid()
        return ball.overlaps(arb(near, abs(near) * arb("1e-75") + arb("1e-75")))


def _admissible(bound: Bound, wanted: int = 3) -> list[dict[str, Fraction]]:
    """Values at which no assumption fails, from a fixed list of rationals over four orders of magnitude."""
    scales = [Fraction(n, 7) * Fraction(4) ** power for power in range(-3, 5) for n in (3, 5, 8)]
    picks = np.random.default_rng(0).integers(len(scales), size=(4000, len(bound.symbols)))
    names = [symbol.name for symbol in bound.symbols]
    conditions = [one.condition for one in bound.assumptions if one.condition is not None]
    counts = {str(rounded.args[0]) for condition in conditions for rounded in condition.atoms(sympy.floor)}
    sets = (
        {name: Fraction(ceil(scales[i])) if name in counts else scales[i] for name, i in zip(names, row, strict=True)}
        for row in picks
    )
    good = (values for values in sets if all(holds is not False for _, holds in bound.check(**values)))
    return list(islice(good, wanted))


@pytest.mark.parametrize("bound", bounds(), ids=lambda bound: bound.name)
def test_every_bound_encloses_its_value(bound: Bound) -> None:
    sets = _admissible(bound)
    assert sets
    for values in sets:
        used = {symbol: values[symbol.name] for symbol in bound.symbols if symbol in bound.expr.free_symbols}
        ball = bound.enclose(**values)
        assert _contains(ball, _reference(bound.expr, used))
        assert ball.is_exact() or ball.rel_accuracy_bits() >= 53
        assert ball == 0 or not (ball * arb("1.0000000001")).overlaps(ball)  # a value off by 1e-10 is told apart


NODES: dict[str, sympy.Expr] = {
    "fractional power": (1 + x**2) ** sympy.Rational(2, 3) + (1 + y**2) ** (x / 3),
    "exp and log": sympy.exp(-x / 3) * sympy.log(2 + y**2) - sympy.sqrt(3 + x),
    "max, min, abs": sympy.Max(x, y, x * y) - sympy.Min(x + 1, y) + sympy.Abs(x - y),
    "trigonometry": sympy.sin(x) * sympy.cos(y) + sympy.atan(x) + sympy.tanh(y / 7),
    "error function": sympy.erf(x) - sympy.erfc(y / 3) + sympy.pi * sympy.E**2 + sympy.EulerGamma,
    "rounding": sympy.ceiling(10 * x) + sympy.floor(y / 3 + sympy.sqrt(2)),
}


@pytest.mark.parametrize("name", NODES)
@given(numbers=st.tuples(st.fractions(-2, 2, max_denominator=50), st.fractions(-2, 2, max_denominator=50)))
def test_every_node_encloses_its_value(name: str, numbers: tuple[Fraction, Fraction]) -> None:
    values = dict(zip((x, y), numbers, strict=True))
    assert _contains(enclose(NODES[name], values), _reference(NODES[name], values))


@given(st.integers(0, 3000))
def test_harmonic_numbers_are_enclosed(n: int) -> None:
    ball = enclose(sympy.harmonic(k), {k: n + 1})
    with ctx.workprec(200):
        assert ball.overlaps(arb(fmpq.harmonic(n + 1)))


def test_the_lambdify_trap() -> None:
    """`sympy.lambdify` prints 1/3 as a float: at the exact point its value excludes 0, the exact walk's does not."""
    trap = x - sympy.Rational(1, 3)
    assert 0 in enclose(trap, {x: Fraction(1, 3)})
    rounded_copy = sympy.lambdify([x], trap, modules="math")
    with ctx.workprec(128):
        assert 0 not in rounded_copy(arb(fmpq(1, 3)))


@pytest.mark.parametrize("value", [9, 9.0, Fraction(9), np.float64(9), np.int64(9), sympy.Integer(9), fmpq(9)])
def test_a_ceiling_of_an_exact_integer_is_exact(value: object) -> None:
    assert enclose(sympy.ceiling(x / 3), {x: value}) == 3


def test_an_undecidable_ceiling_keeps_both_candidates() -> None:
    ball = enclose(sympy.ceiling(sympy.log(x) / sympy.log(2)), {x: 8})
    assert 3 in ball
    assert 4 <= rounded(ball, +1) < 4.001  # the radius of a ball is rounded up


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_the_float_is_on_the_safe_side(value: float, other: float) -> None:
    v = sympy.Symbol("v", positive=True)
    for sense in ("<=", ">=", "=="):
        bound = Bound("b", "", "", "derived", {k: "", v: ""}, (), sympy.exp(-v / 1000) / (3 * k), sense)
        number, ball = bound.bound(k=value, v=other), bound.enclose(k=value, v=other)
        exact = fmpq(*number.as_integer_ratio())
        assert {"<=": exact >= ball, ">=": exact <= ball, "==": True}[sense]
        assert abs(number / float(ball) - 1) < 2.0**-51  # and within two units of the last place


def test_rounding_survives_the_range_of_floats() -> None:
    assert enclose(sympy.exp(x), {x: 10**4}) > arb("1e4000")
    assert rounded(arb("1e400"), +1) == inf
    assert rounded(arb("1e400"), -1) == np.finfo(float).max
    assert rounded(arb("1e-400"), +1) > 0.0
    assert rounded(arb("1e-400"), -1) == 0.0


def test_a_float_means_the_fraction_it_stores() -> None:
    assert enclose(x - Fraction(0.1), {x: 0.1}) == 0
    assert enclose(x - sympy.Rational(1, 10), {x: 0.1}) != 0


def _bad() -> Iterable[tuple[str, sympy.Expr, dict[sympy.Symbol, object], str]]:
    yield "float in the formula", x * 0.1, {x: 1}, "float 0.1"
    yield "unknown function", sympy.gamma(x), {x: 1}, "gamma"
    yield "unknown constant", x + sympy.oo * y, {x: 1, y: 1}, "oo|Infinity"
    yield "free symbol", x + y, {x: 1}, "y"
    yield "NaN", x + 1, {x: nan}, "finite"
    yield "infinity", x + 1, {x: inf}, "finite"
    yield "a word", x + 1, {x: "one"}, "number"
    yield "a truth value", x + 1, {x: True}, "number"
    yield "a pole", 1 / x, {x: 0}, "defined"
    yield "log of a negative number", sympy.log(x), {x: -1}, "defined"
    yield "a broken declaration", sympy.sqrt(k**2), {k: -1}, "positive"


@pytest.mark.parametrize(("expression", "values", "reason"), [case[1:] for case in _bad()], ids=[c[0] for c in _bad()])
def test_what_cannot_be_enclosed_is_refused(
    expression: sympy.Expr, values: dict[sympy.Symbol, object], reason: str
) -> None:
    with pytest.raises(PruneproofError, match=reason):
        enclose(expression, values)


def test_missing_and_unknown_values_are_named() -> None:
    bound = Bound("b", "", "", "derived", {k: "", x: ""}, (), x / k, "<=")
    with pytest.raises(PruneproofError, match="x is missing"):
        bound.bound(k=1)
    with pytest.raises(PruneproofError, match="k, x"):
        bound.bound(k=1, x=1, z=1)
    assert bound.bound(k=2, x=1) == 0.5


def test_large_powers_stay_cheap() -> None:
    q = sympy.Symbol("q", positive=True)
    ball = enclose(q**k, {q: Fraction(999_999, 1_000_000), k: 10**9})
    assert ball.rel_accuracy_bits() >= 53
    assert (
        _contains(ball, mpmath.mpf(1) * mpmath.exp(10**9 * mpmath.log1p(mpmath.mpf(-1) / 10**6))) or mpmath.mp.dps < 80
    )


@given(st.fractions(-3, 3, max_denominator=20), st.fractions(0, 1, max_denominator=20))
def test_a_ball_as_value_covers_all_its_points(centre: Fraction, radius: Fraction) -> None:
    formula = sympy.exp(x) - x**2 + sympy.Max(x, 1) * sympy.Abs(x)
    middle, spread = (fmpq(*number.as_integer_ratio()) for number in (centre, radius))
    whole = enclose(formula, {x: arb(middle, spread)})
    for point in (middle - spread, middle, middle + spread):
        assert whole.overlaps(enclose(formula, {x: point}))


def test_assumptions_are_three_valued() -> None:
    a, b = sympy.symbols("a b", positive=True)
    conditions = (a < b, sympy.And(a < b, a > 1), sympy.Or(a > 5, b > 1), sympy.Not(a > b), None)
    bound = Bound("b", "", "", "derived", {a: "", b: ""}, tuple(Assumption("", c) for c in conditions), a, "<=")
    assert [holds for _, holds in bound.check(a=2, b=3)] == [True, True, True, True, None]
    assert [holds for _, holds in bound.check(a=3, b=2)] == [False, False, True, False, None]
    assert [holds for _, holds in bound.check(a=6)] == [None, None, True, None, None]  # one true part settles an Or
