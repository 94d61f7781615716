"""What a formula of one variable does next to one end of its range: A(w) + B(w)·log(w), A and B analytic.

At an end x₀ the variable is written x = x₀ ± u, at infinity x = 1/u or, where exponentials occur,
x = -log(u), with u ≥ 0 small; where roots of u occur, u = w^q. Logarithms of what vanishes (or grows) like a
power of u are split, log(c·u + …) = log(u) + log(c + …), poles are multiplied out, and what is left is
A + B·log(w). If the first a coefficients of A vanish exactly, A(w) = w^a·α(w) with α(w) in the a-th Taylor
coefficient over [0, w]; likewise for B. Then the sign near the end is that of the leading terms: for two
sides that touch there, for u·log(u), sin(u)/u, and for tails.

Coefficients vanish exactly if they do so as rational functions of log 2, log 3, …, π, e and roots, taken
for independent: whatever relation may hold between these, what vanishes in this form is zero.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce
from math import lcm
from typing import cast

import sympy
from flint import arb, arb_series, ctx, fmpq

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import Tape, tape
from pruneproof.theory.arithmetic.elementary import UNDEFINED, Number, Series, defined

MAX_ORDER = 10  # Taylor coefficients that may vanish before the leading one
MAX_SIZE = 300  # operations of a formula that is expanded: beyond it the algebra takes longer than more boxes
MAX_TERMS = 400  # of what an expanded formula is a sum of
SMALL_FACTOR = 10**9  # of a rational whose logarithm is split into those of primes


class NoExpansion(ArithmeticError):
    """The formula is not of the form A + B·log(w) with analytic A and B at this end."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """A formula times w^poles as A(w) + B(w)·log(u), u = w^root, next to u = 0.

    Args:
        analytic: A, with its first Taylor coefficients known to vanish.
        logarithmic: B; `None` if there is no logarithm.
        root: The q.
        poles: The power of w by which the formula was multiplied.
    """

    analytic: "Analytic"
    logarithmic: "Analytic | None"
    root: int
    poles: int


@dataclass(frozen=True, eq=False)
class Analytic:
    """An analytic function of w whose first `order` Taylor coefficients at 0 vanish; all of them for `None`."""

    function: Tape
    order: int | None

    def quotient(self, reach: fmpq) -> arb:
        """A ball that contains function(w)/w^order for 0 < w ≤ `reach`, the limit at 0 included."""
        assert self.order is not None
        ball = arb(reach / 2, reach / 2)
        best = _coefficient(self.function, ball, self.order)
        for beyond in (1, 2, 4):  # more terms exactly, the remainder over the interval
            near = _coefficients(self.function, arb(0), self.order + beyond)
            remainder = _coefficient(self.function, ball, self.order + beyond)
            if near is None or not remainder.is_finite():
                continue
            terms = [*near[self.order :], remainder]
            tighter = reduce(lambda total, term: total * ball + term, reversed(terms))
            best = best.intersection(tighter) if best.is_finite() and best.overlaps(tighter) else tighter
        return best


def _coefficients(function: Tape, centre: arb, count: int) -> list[arb] | None:
    """The first Taylor coefficients around every point of a ball."""
    before, ctx.cap = ctx.cap, count + 1
    try:
        jet = function(arb_series([centre, 1], count + 1))
        if not defined(jet):
            return None
        return [_entry(jet, power) for power in range(count)]
    finally:
        ctx.cap = before


def _coefficient(function: Tape, centre: arb, order: int) -> arb:
    found = _coefficients(function, centre, order + 1)
    return UNDEFINED if found is None else found[order]


def _entry(jet: Number, power: int) -> arb:
    if isinstance(jet, Series):
        return arb(jet[power])
    return arb(jet) if power == 0 else arb(0)


ABOVE, BELOW, INVERSE, EXPONENTIAL = "above", "below", "inverse", "exponential"  # x = x₀ + u, x₀ - u, 1/u, -log(u)


@lru_cache(maxsize=512)
def expand(formula: sympy.Expr, symbol: sympy.Symbol, end: fmpq, chart: str) -> Expansion:
    """Expand a formula at one end of the range of its only symbol.

    Args:
        formula: The formula.
        symbol: Its symbol.
        end: The end; of no meaning at infinity.
        chart: How x is written in u: `ABOVE` or `BELOW` the end, `INVERSE` or `EXPONENTIAL` at infinity.

    Returns:
        The expansion, which depends on no box: it is made once.

    Raises:
        NoExpansion: Where the formula has another form there, or is too large.
    """
    if sympy.count_ops(formula) > MAX_SIZE:
        raise NoExpansion("too large")
    u = sympy.Symbol("u_", positive=True)
    point = sympy.Rational(int(end.p), int(end.q))
    near = {ABOVE: point + u, BELOW: point - u, INVERSE: 1 / u, EXPONENTIAL: -sympy.log(u)}[chart]
    if chart == EXPONENTIAL:
        formula = formula.rewrite([sympy.sinh, sympy.cosh, sympy.tanh], sympy.exp)
    logarithm = sympy.Dummy("log u", real=True)
    written = _split(cast(sympy.Expr, formula.xreplace({symbol: near})), u, logarithm)
    root = _root(written, u)
    w = sympy.Symbol("w_", positive=True)
    parts = _by_logarithm(written.subs(u, w**root), logarithm)
    poles = max(0, *(_poles(part, w) for part in parts))
    analytic, *rest = [_analytic(_multiplied(part, w**poles), w) for part in parts]
    return Expansion(analytic, rest[0] if rest else None, root, poles)


def _split(formula: sympy.Expr, u: sympy.Symbol, logarithm: sympy.Symbol) -> sympy.Expr:
    """Logarithms and roots of what behaves like a power of u, written with that power in front."""
    if not formula.has(u) or formula.is_Symbol:
        return formula
    if isinstance(formula, sympy.log):
        argument = _split(formula.args[0], u, logarithm)
        power, rest = _leading_power(argument, u)
        return power * logarithm + sympy.log(rest) if power else sympy.log(rest)
    if isinstance(formula, sympy.atan):
        argument = _split(formula.args[0], u, logarithm)
        power, rest = _leading_power(argument, u)
        if power >= 0:
            return sympy.atan(argument)
        sign = _sign_at_zero(rest, u)  # atan(y) = ±π/2 - atan(1/y); where the rest changes sign, 1/rest is undefined
        return sign * sympy.pi / 2 - sympy.atan(u**-power / rest)
    if isinstance(formula, sympy.Pow):
        base, exponent = (part for part in formula.args)
        if not isinstance(exponent, sympy.Rational):
            raise NoExpansion("a variable exponent")
        inner = _split(base, u, logarithm)
        if exponent.is_integer and exponent > 0:
            return inner**exponent
        power, rest = _leading_power(inner, u)
        return u ** (power * exponent) * rest**exponent
    return formula.func(*[_split(cast(sympy.Expr, part), u, logarithm) for part in formula.args])


def _leading_power(formula: sympy.Expr, u: sympy.Symbol) -> tuple[sympy.Rational, sympy.Expr]:
    """The power of u by which a formula is divided so that a non-zero number is left at u = 0, and what is left.

    A rational function is divided exactly; any other formula must not vanish there.
    """
    if formula == u:
        return sympy.S.One, sympy.S.One
    if formula.is_rational_function(u):
        numerator, denominator = sympy.fraction(sympy.together(formula))
        powers = [_lowest(part, u) for part in (numerator, denominator)]
        above, below = (
            sympy.expand(part / u**power) for part, power in zip((numerator, denominator), powers, strict=True)
        )
        return sympy.Integer(powers[0] - powers[1]), above / below
    return sympy.S.Zero, formula  # an enclosure of it near 0 will be undefined if it vanishes


def _sign_at_zero(formula: sympy.Expr, u: sympy.Symbol) -> int:
    value = arb(cast("fmpq | arb", tape(formula, [u], where="prove")(fmpq(0))))
    if value > 0:
        return 1
    if value < 0:
        return -1
    raise NoExpansion("a sign that is not certain")


def _lowest(polynomial: sympy.Expr, u: sympy.Symbol) -> int:
    terms = sympy.Poly(polynomial, u).monoms()
    return min(power for (power,) in terms)


def _root(formula: sympy.Expr, u: sympy.Symbol) -> int:
    """The least q for which every power of u is one of u^(1/q)."""
    powers = [
        part.args[1] for part in sympy.preorder_traversal(formula) if isinstance(part, sympy.Pow) and part.args[0] == u
    ]
    return lcm(1, *(int(power.q) for power in powers if isinstance(power, sympy.Rational)))


def _by_logarithm(formula: sympy.Expr, logarithm: sympy.Symbol) -> list[sympy.Expr]:
    """The coefficients of log(u)^0 and, if it occurs, log(u)^1."""
    expanded = cast(sympy.Expr, sympy.expand(formula, deep=False, log=False, power_base=False, power_exp=False))
    expanded = cast(sympy.Expr, sympy.expand_mul(expanded))
    terms = sympy.Add.make_args(expanded)
    if len(terms) > MAX_TERMS:
        raise NoExpansion("too many terms")
    parts: list[list[sympy.Expr]] = [[], []]
    for term in terms:
        coefficient, power = term.as_independent(logarithm, as_Add=False)
        if not term.has(logarithm):
            parts[0].append(term)
        elif power == logarithm:
            parts[1].append(coefficient)
        else:
            raise NoExpansion("a logarithm inside a function, or its square")
    sums = [sympy.Add(*part) for part in parts]
    return sums if parts[1] else sums[:1]


def _poles(part: sympy.Expr, w: sympy.Symbol) -> int:
    """The highest power of 1/w among the terms of a sum."""
    powers = [sympy.sympify(term.as_powers_dict().get(w, 0)) for term in sympy.Add.make_args(part)]
    return max([0, *(-int(power) for power in powers if isinstance(power, sympy.Integer))])


def _multiplied(part: sympy.Expr, factor: sympy.Expr) -> sympy.Expr:
    """A sum times a factor, term by term, so that powers cancel."""
    return sympy.Add(*[term * factor for term in sympy.Add.make_args(part)])


def _analytic(part: sympy.Expr, w: sympy.Symbol) -> Analytic:
    """A sum with the number of its Taylor coefficients that vanish."""
    try:
        function = tape(part, [w], where="prove")
    except PruneproofError:  # sympy has turned a tangent into a cotangent, say
        raise NoExpansion("a function without an enclosure") from None
    if part == 0:
        return Analytic(function, None)
    near = _coefficients(function, arb(0), MAX_ORDER + 1)
    if near is None:
        raise NoExpansion("undefined at the end")
    derivative = part
    for order, ball in enumerate(near):
        if not ball.contains(0):
            return Analytic(function, order)
        if not vanishes(derivative.subs(w, 0)):
            raise NoExpansion("a coefficient that may or may not vanish")
        derivative = cast(sympy.Expr, sympy.diff(derivative, w))
        if sympy.count_ops(derivative) > 20 * MAX_SIZE:
            break
    raise NoExpansion("too many vanishing coefficients")


def vanishes(number: sympy.Expr) -> bool:
    """Is a formula without variables zero, by algebra alone?

    Args:
        number: Such as `log(4) - 2*log(2)`.

    Returns:
        `True` only if it is zero; `False` may also mean that the algebra does not show it.

    Example:
        >>> vanishes(sympy.log(4) / sympy.log(2) - 2), vanishes(sympy.pi - sympy.Rational(22, 7))
        (True, False)
    """
    if number.has(sympy.nan, sympy.zoo, sympy.oo):
        return False
    numerator, _ = sympy.fraction(sympy.together(number.replace(sympy.log, _split_logarithm)))
    return sympy.expand(numerator) == 0


def _split_logarithm(argument: sympy.Expr) -> sympy.Expr:
    """log(p/q) as a sum over primes; other logarithms as they are."""
    if not isinstance(argument, sympy.Rational) or argument <= 0:
        return sympy.log(argument)
    if max(int(argument.p), int(argument.q)) > SMALL_FACTOR:
        return sympy.log(argument)
    primes = cast("dict[int, int]", sympy.factorrat(argument))
    return sympy.Add(*[power * sympy.log(prime) for prime, power in primes.items()])


def positive(expansion: Expansion, reach: fmpq, *, strict: bool) -> bool:
    """Is the expanded formula positive for 0 < u ≤ `reach`?

    Args:
        expansion: What `expand` gave.
        reach: How far from the end.
        strict: Whether zero is not enough.

    Returns:
        `True` only if it certainly is.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> jordan = expand(sympy.sin(x) - 2 * x / sympy.pi, x, fmpq(0), ABOVE)
        >>> positive(jordan, fmpq(1), strict=True)
        True
    """
    try:
        wide = _root_above(reach, expansion.root)
        lowest = _lower(expansion, wide)
    except PruneproofError:
        return False
    return bool(lowest > 0 or (not strict and lowest >= 0))


def _root_above(reach: fmpq, degree: int) -> fmpq:
    """A rational that is not below the root of a number, and not much above it."""
    if degree == 1:
        return reach
    with ctx.workprec(64):
        upper = arb(reach).root(degree).upper()
    mantissa, exponent = upper.man_exp()
    return fmpq(mantissa) * fmpq(2) ** int(exponent)


def _lower(expansion: Expansion, wide: fmpq) -> arb:
    """A lower bound of the formula, divided by a positive power of w, on (0, wide]; NaN if there is none."""
    analytic, logarithmic = expansion.analytic, expansion.logarithmic
    if logarithmic is None or logarithmic.order is None:
        return arb(0) if analytic.order is None else _least(analytic.quotient(wide))
    if not wide < 1:
        return UNDEFINED
    rate = -expansion.root * logarithmic.quotient(wide)  # log(u) = -q·L with L = -log(w) > 0
    ahead = 0 if analytic.order is None else analytic.order - logarithmic.order
    value = arb(0) if analytic.order is None else analytic.quotient(wide)
    if ahead >= 0:  # the logarithm leads: w^ahead·α + β·L, L ≥ -log(wide)
        least = _least(rate)
        if not least >= 0:
            return UNDEFINED
        return _least(least * -arb(wide).log() + value * _ball_power(wide, ahead))
    return _least(value + rate * _small_logarithm(wide, -ahead))


def _ball_power(wide: fmpq, power: int) -> arb:
    """w^power for 0 < w ≤ wide."""
    top = wide**power
    return arb(top / 2, top / 2) if power else arb(1)


def _small_logarithm(wide: fmpq, power: int) -> arb:
    """w^power·(-log w) for 0 < w ≤ wide < 1: it rises up to exp(-1/power), where it is 1/(e·power)."""
    turning = (-1 / arb(power)).exp()
    top = 1 / (arb.const_e() * power)
    if arb(wide) < turning:
        top = arb(wide) ** power * -arb(wide).log()
    return arb(0).union(top)


def _least(ball: arb) -> arb:
    return ball.lower() if ball.is_finite() else UNDEFINED
