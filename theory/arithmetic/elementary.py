"""Exact and enclosing arithmetic: what each node of a formula means on rationals, balls and power series.

A number is an exact rational (`fmpq`), a ball that contains a real (`arb`), or a power series with
rational or ball coefficients (`fmpq_series`, `arb_series`: a jet). Rationals stay exact while the
operation keeps them rational and they stay small, so that `ceiling(6/2)` is 3 and not "3 or 4";
everything else becomes a ball, rounded outward by Arb. An operation that is undefined somewhere on its
ball returns NaN, which stays in the value of everything built on it: nothing can be concluded from it.
In a jet it marks the value, not every derivative: look at the value first.
"""

from collections.abc import Callable
from functools import reduce
from math import isqrt
from typing import Any

from flint import arb, arb_series, fmpq, fmpq_series

Series = fmpq_series | arb_series
Number = fmpq | arb | Series
Operation = Callable[..., Number]
EXACT_BITS = 4096  # beyond this size a rational becomes a ball: q**t with t in the millions must not fill the memory
EXACT_HARMONIC = 1000
MAX_DEGREE = 2**31  # of a root that Arb takes by itself
UNDEFINED = arb.nan()


def ball(number: Number) -> arb | Series:
    """A rational as a ball at the present precision; balls and series as they are."""
    return arb(number) if isinstance(number, fmpq) else number


def _tame(number: Number) -> Number:
    return arb(number) if isinstance(number, fmpq) and number.height_bits() > EXACT_BITS else number


def _add(left: Any, right: Any) -> Any:
    return left + right


def _multiply(left: Any, right: Any) -> Any:
    """The product; a zero series times NaN would be zero, and what is undefined would count as defined."""
    if (isinstance(left, Series) or isinstance(right, Series)) and not (defined(left) and defined(right)):
        return UNDEFINED
    return left * right


def defined(number: Number) -> bool:
    """Is the value finite? (NaN is what an undefined operation leaves.)"""
    value = constant_term(number)
    return isinstance(value, fmpq) or value.is_finite()


def total(*terms: Number) -> Number:
    """The sum of the arguments."""
    return _tame(reduce(_add, terms))


def product(*factors: Number) -> Number:
    """The product of the arguments."""
    return _tame(reduce(_multiply, factors))


def reciprocal(number: Number) -> Number:
    """1/x; undefined when the ball of x contains zero."""
    return UNDEFINED if contains_zero(number) else 1 / number


def contains_zero(number: Number) -> bool:
    """Can the number, or the value of the jet at its centre, be zero? (Yes where it is not finite.)"""
    value = constant_term(number)
    return value == 0 if isinstance(value, fmpq) else not (value > 0 or value < 0)


def integer_power(number: Number, exponent: int) -> Number:
    """x**n by repeated squaring; a square of a ball is cut at zero."""
    if exponent < 0:
        return reciprocal(integer_power(number, -exponent))
    if exponent == 0:
        return fmpq(1) if defined(number) else UNDEFINED
    if exponent == 1:
        return number
    half = integer_power(number, exponent // 2)
    square: Number = _multiply(half, half)
    if isinstance(square, arb):
        square = square.nonnegative_part() if square.is_finite() else UNDEFINED
    return _tame(_multiply(square, number) if exponent % 2 else square)


def root(number: Number, degree: int) -> Number:
    """The real root of a non-negative number; exact for the square of a rational."""
    if isinstance(number, fmpq):
        exact = _exact_square_root(number) if degree == 2 else None
        if exact is not None:
            return exact
        if number == 0:
            return fmpq(0)
    wide = ball(number)
    if degree == 2:
        return wide.sqrt()
    if isinstance(wide, arb) and degree <= MAX_DEGREE:
        return wide.root(degree) if wide >= 0 else UNDEFINED
    return exponential(product(fmpq(1, degree), logarithm(wide)))


def _exact_square_root(number: fmpq) -> fmpq | None:
    numerator, denominator = int(number.p), int(number.q)
    if numerator < 0:
        return None
    root = fmpq(isqrt(numerator), isqrt(denominator))
    return root if root * root == number else None


def power(base: Number, exponent: Number) -> Number:
    """base**exponent: by multiplication for an integer exponent, else exp(exponent·log base), for base > 0 only."""
    if isinstance(exponent, fmpq) and exponent.q == 1 and _affordable(base, exponent):
        return integer_power(base, int(exponent.p))
    if isinstance(base, fmpq) and base == 0 and constant_term(exponent) > 0:
        return fmpq(0)
    return exponential(product(exponent, logarithm(base)))


def _affordable(base: Number, exponent: fmpq) -> bool:
    """Is base**exponent better multiplied out than sent through exp and log (which need base > 0)?"""
    return not (isinstance(base, fmpq) and base > 0 and abs(exponent) * base.height_bits() > EXACT_BITS)


def exponential(number: Number) -> Number:
    """exp(x); exact at 0."""
    return fmpq(1) if isinstance(number, fmpq) and number == 0 else ball(number).exp()


def logarithm(number: Number) -> Number:
    """log(x), for x > 0; exact at 1."""
    return fmpq(0) if isinstance(number, fmpq) and number == 1 else ball(number).log()


def absolute(number: Number) -> Number:
    """abs(x); a jet only where its sign is certain."""
    if isinstance(number, Series):
        return number if number[0] > 0 else -number if number[0] < 0 else UNDEFINED
    return abs(number)


def largest(*numbers: Number) -> Number:
    """The maximum; of jets only where the order is certain."""
    return reduce(_larger, numbers)


def smallest(*numbers: Number) -> Number:
    """The minimum; of jets only where the order is certain."""
    return -reduce(_larger, [-number for number in numbers])


def _larger(first: Number, second: Number) -> Number:
    if isinstance(first, fmpq) and isinstance(second, fmpq):
        return max(first, second)
    if isinstance(first, Series) or isinstance(second, Series):
        left, right = constant_term(first), constant_term(second)
        return first if left > right else second if right > left else UNDEFINED
    return arb(first).max(arb(second))


def constant_term(number: Number) -> fmpq | arb:
    """The value of a jet at its centre; other numbers as they are."""
    return number[0] if isinstance(number, Series) else number


def ceiling(number: Number) -> Number:
    """The smallest integer not below x: exact for a rational, both candidates when a ball holds an integer."""
    return _rounded(number, lambda rational: fmpq(rational.ceil()), lambda wide: wide.ceil())


def floor(number: Number) -> Number:
    """The largest integer not above x: exact for a rational, both candidates when a ball holds an integer."""
    return _rounded(number, lambda rational: fmpq(rational.floor()), lambda wide: wide.floor())


def _rounded(number: Number, exact: Callable[[fmpq], fmpq], enclosing: Callable[[arb], arb]) -> Number:
    if isinstance(number, fmpq):
        return exact(number)
    if isinstance(number, Series):
        centre = arb(number[0])
        return UNDEFINED if centre.contains_integer() else enclosing(centre)
    return enclosing(number)


def harmonic(number: Number) -> Number:
    """The harmonic number H_n = 1 + 1/2 + … + 1/n, or ψ(x+1) + Euler's constant between the integers."""
    if isinstance(number, fmpq) and number.q == 1 and 0 <= number <= EXACT_HARMONIC:
        return fmpq.harmonic(int(number.p))
    if isinstance(number, Series):
        return UNDEFINED
    return (arb(number) + 1).digamma() + arb.const_euler() if number > -1 else UNDEFINED


SMOOTH = ("sin", "cos", "tan", "asin", "acos", "atan", "erf", "erfc")  # methods of balls and of series
_AT_ZERO = {"sin": 0, "cos": 1, "tan": 0, "asin": 0, "atan": 0, "erf": 0, "erfc": 1}  # exact values


def elementary(name: str) -> Operation:
    """An elementary function that balls and series both carry as the method `name`; exact at 0."""

    def apply(number: Number) -> Number:
        if isinstance(number, fmpq) and number == 0 and name in _AT_ZERO:
            return fmpq(_AT_ZERO[name])
        return getattr(ball(number), name)()

    return apply


def hyperbolic_tangent(number: Number) -> Number:
    """tanh(x); of a jet as 1 - 2/(exp(2x)+1), which series can do."""
    if isinstance(number, Series):
        return 1 - 2 * reciprocal((2 * number).exp() + 1)
    return fmpq(0) if isinstance(number, fmpq) and number == 0 else arb(number).tanh()


def hyperbolic_sine(number: Number) -> Number:
    """sinh(x); of a jet as (exp(x) - exp(-x))/2."""
    if isinstance(number, Series):
        return (number.exp() - (-number).exp()) / 2
    return fmpq(0) if isinstance(number, fmpq) and number == 0 else arb(number).sinh()


def hyperbolic_cosine(number: Number) -> Number:
    """cosh(x); of a jet as (exp(x) + exp(-x))/2."""
    if isinstance(number, Series):
        return (number.exp() + (-number).exp()) / 2
    return fmpq(1) if isinstance(number, fmpq) and number == 0 else arb(number).cosh()
