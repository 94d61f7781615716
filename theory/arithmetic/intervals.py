"""Intervals with exact end points that may be infinite: what a formula does next to a pole and at infinity.

A ball cannot hold [4, ∞) and its rounded radius reaches past the end of [0, 1]. An interval keeps both
ends, so that 1/[0, 1/4] = [4, ∞], log [0, 1] = [-∞, 0] and √[0, 1] = [0, 1]. Each end is computed by Arb
and rounded outward. What is undefined (∞ - ∞, a division by an interval with zero inside, log of a
negative number) raises `Undefined`. A pole is only admitted where no point of the box lies on it: at an
open end of a symbol, in a divisor or argument of a logarithm that is linear in that symbol alone, so that
it vanishes nowhere else. Products u^p·log(c·u) and sin(u)/u are enclosed as one function of u.

For large x a formula is written in v = 1/x, so that an interval around v = 0 says what it does there.
Interval arithmetic cannot see that x²/(2 + 2x/3) grows like 3x/2: both parts are infinite. Written in v,
with common powers cancelled, every rational coefficient is finite at v = 0 or a clean power of v.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import cast

import sympy
from flint import arb, fmpq

INFINITY = arb.pos_inf()


class Undefined(ArithmeticError):
    """The formula has no value, or no enclosure, on the interval."""


@dataclass(frozen=True)
class Interval:
    """All reals between two exact ends; -∞ and +∞ stand for "unbounded".

    Args:
        low: The lower end.
        high: The upper end.
        low_open: Whether the range of a symbol leaves its lower end out; results count as closed.
        high_open: The same for the upper end.
    """

    low: arb
    high: arb
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:  # NaN too
            raise Undefined(f"[{self.low}, {self.high}]")


def interval(low: fmpq | arb, high: fmpq | arb, *, low_open: bool = False, high_open: bool = False) -> Interval:
    """The interval between two numbers, widened to exact ends where they are not representable.

    Args:
        low: The lower end.
        high: The upper end.
        low_open: As for `Interval`.
        high_open: As for `Interval`.

    Returns:
        The interval.

    Raises:
        Undefined: If an end is not a number.
    """
    return Interval(arb(low).lower(), arb(high).upper(), low_open, high_open)


def evaluate(expression: sympy.Expr, values: dict[sympy.Symbol, Interval]) -> Interval:
    """The range of a formula over the intervals of its symbols, enclosed node by node.

    Args:
        expression: The formula.
        values: Symbol → interval.

    Returns:
        An interval that contains every value.

    Raises:
        Undefined: Where the formula has no value, or no enclosure.

    Example:
        >>> x = sympy.Symbol("x")
        >>> evaluate(sympy.log(1 + 1 / x), {x: interval(fmpq(0), fmpq(1), low_open=True)}).high
        [+/- inf]
    """
    if isinstance(expression, sympy.Symbol):
        return values[expression]
    if isinstance(expression, sympy.Rational):
        number = fmpq(int(expression.p), int(expression.q))
        return interval(number, number)
    if expression in _CONSTANTS:
        return interval(_CONSTANTS[expression](), _CONSTANTS[expression]())
    if isinstance(expression, sympy.Mul):
        return _product([factor for factor in expression.args], values)
    arguments = [evaluate(cast(sympy.Expr, part), values) for part in expression.args]
    if isinstance(expression, sympy.log) or (isinstance(expression, sympy.Pow) and not arguments[1].low > 0):
        _refuse_pole(expression.args[0], arguments[0], values)
    if isinstance(expression, sympy.Pow):
        base, exponent = (part for part in expression.args)
        if exponent.free_symbols:
            return _exp(_product([exponent, sympy.log(base)], values))
        return _power(arguments[0], arguments[1], exponent)
    if expression.func not in _FUNCTIONS:
        raise Undefined(f"no interval rule for {expression.func}")
    return _FUNCTIONS[expression.func](*arguments)


def _refuse_pole(vanishing: sympy.Expr, found: Interval, values: dict[sympy.Symbol, Interval]) -> None:
    """Raise unless the formula is nowhere zero, or zero at an open end of its only symbol and linear in it."""
    if found.low > 0 or found.high < 0:
        return
    [symbol, *others] = [*vanishing.free_symbols, None]
    slope = sympy.diff(vanishing, symbol) if isinstance(symbol, sympy.Symbol) else sympy.S.Zero
    if others != [None] or not isinstance(slope, sympy.Rational) or slope == 0:
        raise Undefined(f"a pole where {vanishing} vanishes")
    side = values[cast(sympy.Symbol, symbol)]
    rising, at_low = bool(slope > 0), found.low == 0
    if not (at_low or found.high == 0) or not (side.low_open if rising == at_low else side.high_open):
        raise Undefined(f"a pole where {vanishing} vanishes")


def _product(factors: list[sympy.Expr], values: dict[sympy.Symbol, Interval]) -> Interval:
    """A product, with a pair u^p·log(c·u) or sin(u)/u taken as one factor."""
    paired = _logarithmic_pair(factors, values) or _sine_pair(factors, values)
    ranges = [evaluate(factor, values) for factor in factors]
    return reduce(_multiply, [*ranges, paired] if paired else ranges)


def _logarithmic_pair(factors: list[sympy.Expr], values: dict[sympy.Symbol, Interval]) -> Interval | None:
    """The range of u^p·log(c·u), p > 0, c > 0; its two factors are taken out of the list."""
    for logarithm in [factor for factor in factors if isinstance(factor, sympy.log)]:
        for power in [factor for factor in factors if factor is not logarithm]:
            base, exponent = power.as_base_exp()
            ratio = sympy.cancel(logarithm.args[0] / base) if exponent.is_Rational and exponent > 0 else None
            if isinstance(ratio, sympy.Rational) and ratio > 0 and base.free_symbols:
                inner = evaluate(base, values)
                _refuse_pole(base, inner, values)
                factors.remove(logarithm)
                factors.remove(power)
                return _times_logarithm(inner, _fmpq(ratio), _fmpq(cast(sympy.Rational, exponent)))
    return None


def _fmpq(number: sympy.Rational) -> fmpq:
    return fmpq(int(number.p), int(number.q))


def _times_logarithm(inner: Interval, ratio: fmpq, exponent: fmpq) -> Interval:
    """The range of u^p·log(c·u), which falls up to c·u = exp(-1/p) and rises from there."""
    if not inner.low >= 0:
        raise Undefined("log of an interval with negative numbers")

    def value(end: arb) -> arb:
        return arb(0) if end == 0 else INFINITY if end == INFINITY else end ** arb(exponent) * (end * arb(ratio)).log()

    turning = (-1 / arb(exponent)).exp() / arb(ratio)
    ends = [value(inner.low), value(inner.high)]
    if not (inner.low >= turning or inner.high <= turning):
        ends.append(turning ** arb(exponent) * -1 / arb(exponent))
    return interval(reduce(lambda a, b: a.min(b), ends), reduce(lambda a, b: a.max(b), ends))


def _sine_pair(factors: list[sympy.Expr], values: dict[sympy.Symbol, Interval]) -> Interval | None:
    """The range of sin(u)/u; its two factors are taken out of the list."""
    for sine in [factor for factor in factors if isinstance(factor, sympy.sin)]:
        argument = cast(sympy.Expr, sine.args[0])
        divisor = 1 / argument
        if divisor in factors:
            inner = evaluate(argument, values)
            _refuse_pole(argument, inner, values)
            factors.remove(sine)
            factors.remove(divisor)
            if not (inner.low.is_finite() and inner.high.is_finite()):
                return interval(fmpq(-1), fmpq(1))
            ball = inner.low.union(inner.high).sinc()
            return interval(ball.lower().max(arb(-1)), ball.upper().min(arb(1)))
    return None


def _add(left: Interval, right: Interval) -> Interval:
    return interval(left.low + right.low, left.high + right.high)


def _multiply(left: Interval, right: Interval) -> Interval:
    products = [_end_product(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    return interval(reduce(lambda a, b: a.min(b), products), reduce(lambda a, b: a.max(b), products))


def _end_product(left: arb, right: arb) -> arb:
    """0·∞ is 0: an infinite end stands for arbitrarily large finite numbers."""
    return arb(0) if left == 0 or right == 0 else left * right


def _reciprocal(divisor: Interval) -> Interval:
    if divisor.low > 0 or divisor.high < 0:
        return interval(1 / divisor.high, 1 / divisor.low)
    if divisor.low == 0 and divisor.high > 0:
        return interval(1 / divisor.high, INFINITY)
    if divisor.high == 0 and divisor.low < 0:
        return interval(-INFINITY, 1 / divisor.low)
    raise Undefined("division by an interval with zero inside")


def _power(base: Interval, exponent: Interval, symbolic: sympy.Basic) -> Interval:
    if isinstance(symbolic, sympy.Integer):
        times = int(symbolic)
        return _reciprocal(_integer_power(base, -times)) if times < 0 else _integer_power(base, times)
    if not base.low >= 0 or (base.low == 0 and not exponent.low > 0):
        raise Undefined("a power of an interval that is not positive")
    return _exp(_multiply(exponent, _log(base)))


def _integer_power(base: Interval, times: int) -> Interval:
    if times % 2 == 0 and not base.low >= 0:
        magnitude = _absolute(base)
        return _integer_power(magnitude, times)
    return interval(_signed_power(base.low, times), _signed_power(base.high, times))


def _signed_power(end: arb, times: int) -> arb:
    if times < 2:
        return end if times else arb(1)
    half = _signed_power(end, times // 2)
    return half * half * end if times % 2 else half * half


def _absolute(argument: Interval) -> Interval:
    if argument.low >= 0:
        return argument
    if argument.high <= 0:
        return interval(-argument.high, -argument.low)
    return interval(fmpq(0), (-argument.low).max(argument.high))


def _exp(argument: Interval) -> Interval:
    return interval(argument.low.exp(), argument.high.exp())


def _log(argument: Interval) -> Interval:
    if not argument.low >= 0:
        raise Undefined("log of an interval with negative numbers")
    return interval(*(-INFINITY if end == 0 else end.log() for end in (argument.low, argument.high)))


def _monotone(function: Callable[[arb], object]) -> Callable[[Interval], Interval]:
    return lambda argument: interval(cast(arb, function(argument.low)), cast(arb, function(argument.high)))


def _falling(function: Callable[[arb], object]) -> Callable[[Interval], Interval]:
    return lambda argument: interval(cast(arb, function(argument.high)), cast(arb, function(argument.low)))


def _within_one(function: Callable[[Interval], Interval]) -> Callable[[Interval], Interval]:
    """A function that is defined on [-1, 1] only."""

    def apply(argument: Interval) -> Interval:
        if not (argument.low >= -1 and argument.high <= 1):
            raise Undefined("an inverse sine or cosine beyond 1")
        return function(argument)

    return apply


def _erfc(end: arb) -> arb:
    if end.is_finite():
        return end.erfc()
    return arb(0) if end > 0 else arb(2)


def _wave(function: Callable[[arb], arb]) -> Callable[[Interval], Interval]:
    """Sine and cosine: by balls on finite intervals, between -1 and 1 anyway."""

    def apply(argument: Interval) -> Interval:
        if not (argument.low.is_finite() and argument.high.is_finite()):
            return interval(fmpq(-1), fmpq(1))
        ball = function(argument.low.union(argument.high))
        return interval(ball.lower().max(arb(-1)), ball.upper().min(arb(1)))

    return apply


def _tan(argument: Interval) -> Interval:
    """The tangent, which rises between two poles."""
    if not (argument.low.is_finite() and argument.high.is_finite()):
        raise Undefined("a tangent of an unbounded interval")
    turns = [(end / arb.pi() + arb(fmpq(1, 2))).floor() for end in (argument.low, argument.high)]
    if not (turns[0].is_exact() and turns[0] == turns[1]):
        raise Undefined("a pole of the tangent")
    return interval(argument.low.tan(), argument.high.tan())


def _hyperbolic_cosine(argument: Interval) -> Interval:
    magnitude = _absolute(argument)
    return interval(magnitude.low.cosh(), magnitude.high.cosh())


def _maximum(left: Interval, right: Interval) -> Interval:
    return interval(left.low.max(right.low), left.high.max(right.high))


def _minimum(left: Interval, right: Interval) -> Interval:
    return interval(left.low.min(right.low), left.high.min(right.high))


_CONSTANTS: dict[object, Callable[[], arb]] = {
    sympy.pi: arb.pi,
    sympy.E: arb.const_e,
    sympy.EulerGamma: arb.const_euler,
}


_FUNCTIONS: dict[object, Callable[..., Interval]] = {
    sympy.Add: lambda *terms: reduce(_add, terms),
    sympy.Mul: lambda *factors: reduce(_multiply, factors),
    sympy.Max: lambda *terms: reduce(_maximum, terms),
    sympy.Min: lambda *terms: reduce(_minimum, terms),
    sympy.Abs: _absolute,
    sympy.exp: _exp,
    sympy.log: _log,
    sympy.tanh: _monotone(lambda end: end.tanh()),
    sympy.atan: _monotone(lambda end: end.atan()),
    sympy.erf: _monotone(lambda end: 1 - _erfc(end)),
    sympy.erfc: _falling(lambda end: _erfc(end)),
    sympy.sinh: _monotone(lambda end: end.sinh()),
    sympy.cosh: _hyperbolic_cosine,
    sympy.tan: _tan,
    sympy.asin: _within_one(_monotone(lambda end: end.asin())),
    sympy.acos: _within_one(_falling(lambda end: end.acos())),
    sympy.sin: _wave(lambda ball: ball.sin()),
    sympy.cos: _wave(lambda ball: ball.cos()),
}


MAX_DEGREE = 64  # of what is multiplied out; (1 + x + y)^2000 would take hours


def at_infinity(formula: sympy.Expr, symbol: sympy.Symbol, inverse: sympy.Symbol) -> sympy.Expr:
    """The formula with a symbol replaced by the inverse of another, rational coefficients cancelled.

    Args:
        formula: The formula.
        symbol: The symbol that runs to infinity.
        inverse: The symbol that stands for its inverse.

    Returns:
        The formula, term by term.

    Raises:
        Undefined: Where powers of sums are too high to be multiplied out.

    Example:
        >>> x, v = sympy.symbols("x v")
        >>> at_infinity(sympy.log(1 + x) - x**2 / (2 + 2 * x**2), x, v)
        log(1 + 1/v) - 1/(2*v**2 + 2)
    """
    if _degree(formula) > MAX_DEGREE:
        raise Undefined("powers of sums too high to multiply out")
    outer = [part for part in sympy.postorder_traversal(formula) if part.is_Function and part.has(symbol)]
    names = {part: sympy.Dummy() for part in _maximal(outer)}
    replaced = cast(sympy.Expr, formula.xreplace(names))
    terms = _coefficients(replaced, tuple(names.values()))
    written = [_in_inverse(coefficient, symbol, inverse) * product for product, coefficient in terms.items()]
    back = {name: _inner_in_inverse(part, symbol, inverse) for part, name in names.items()}
    return cast(sympy.Expr, sympy.Add(*written).xreplace(back))


def _inner_in_inverse(function: sympy.Basic, symbol: sympy.Symbol, inverse: sympy.Symbol) -> sympy.Basic:
    """A function with its argument in the inverse; the argument of exp as one fraction, ∞ - ∞ within it cancelled."""
    if isinstance(function, sympy.exp):
        return sympy.exp(sympy.factor(_in_inverse(cast(sympy.Expr, function.args[0]), symbol, inverse)))
    return function.subs(symbol, 1 / inverse)


def _degree(formula: sympy.Basic) -> int:
    """The degree of a formula multiplied out, powers of a single symbol or function left as they are."""
    if isinstance(formula, sympy.Pow) and isinstance(formula.args[1], sympy.Integer):
        base, times = formula.args[0], abs(int(formula.args[1]))
        return times * _degree(base) if base.has(sympy.Add) else 1
    if isinstance(formula, sympy.Mul):
        return sum(_degree(part) for part in formula.args)
    if isinstance(formula, sympy.Add):
        return max(_degree(part) for part in formula.args)
    return max((1, *(_degree(part) for part in formula.args)))


def _maximal(functions: list[sympy.Basic]) -> list[sympy.Basic]:
    """The functions that are not part of another one of the list."""
    inner = {part for function in functions for part in sympy.preorder_traversal(function) if part != function}
    return [function for function in dict.fromkeys(functions) if function not in inner]


def _coefficients(formula: sympy.Expr, names: tuple[sympy.Symbol, ...]) -> dict[sympy.Expr, sympy.Expr]:
    """Products of the named functions → their coefficients, if the formula is polynomial in them; else it is whole."""
    if not names or not formula.is_polynomial(*names):
        return {sympy.S.One: formula}
    polynomial = sympy.Poly(formula, *names)
    return {
        sympy.Mul(*[name**power for name, power in zip(names, powers, strict=True)]): cast(sympy.Expr, coefficient)
        for powers, coefficient in polynomial.terms()
    }


def _in_inverse(coefficient: sympy.Expr, symbol: sympy.Symbol, inverse: sympy.Symbol) -> sympy.Expr:
    substituted = coefficient.subs(symbol, 1 / inverse)
    return cast(sympy.Expr, sympy.cancel(substituted) if substituted.is_rational_function() else substituted)
