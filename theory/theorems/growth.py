"""How a formula grows in one of its symbols: logarithmic, a power, exponential, or towards a limit.

The class is found from certified values of the formula at three far-away points and two choices of the
other symbols; the coefficient is a limit by sympy, shown only if those values agree with it. Rounding to
whole numbers (`ceiling`) is left out, since it changes no growth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import log
from typing import cast

import sympy
from flint import arb

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import enclose

POINTS = (2**30, 2**60, 2**120)
OTHERS = (
    Fraction(11, 14),
    Fraction(5, 6),
)  # for the other symbols, divided by 1, 2, 3, …; below 1, as contractions are
AGREEMENT = 0.1  # relative: at 2^120 a constant beside a logarithm is worth less
TOLERANCE = 0.2  # of an exponent: times log 2^60: what is left when the class is right
_WORDS = {
    Fraction(1): "linear",
    Fraction(2): "quadratic",
    Fraction(1, 2): "like a square root",
    Fraction(-1): "inverse",
    Fraction(-1, 2): "like one over the square root",
    Fraction(-2): "inverse square",
}


@dataclass(frozen=True)
class Growth:
    """What a formula does as one symbol runs to an end of its range.

    Args:
        symbol: The symbol.
        scale: What runs to infinity: the symbol, or `1/s` as it goes to 0, or `1/(1-s)` as it goes to 1.
        word: `"logarithmic"`, `"linear"`, `"exponential"`, `"towards a limit"`, … or `"not classified"`.
        term: The leading term or the limit, if sympy finds it and the values agree.
    """

    symbol: sympy.Symbol
    scale: sympy.Expr
    word: str
    term: sympy.Expr | None = None

    def __str__(self) -> str:
        """Such as `logarithmic in m: 80*log(m)`."""
        if self.word == "towards a limit":
            return f"in {self.scale}: tends to {self.term if self.term is not None else 'a constant'}"
        return f"{self.word} in {self.scale}" + (f": ~ {self.term}" if self.term is not None else "")


def growth(formula: sympy.Expr, symbol: sympy.Symbol, *, below_one: bool = False) -> Growth:
    """The growth of a formula in one symbol, the others fixed.

    Args:
        formula: The formula, of positive symbols.
        symbol: The symbol that runs.
        below_one: Whether the symbol lies in (0, 1): then it runs to 0, or to 1 if the formula grows there.

    Returns:
        The class and, where it is found, the leading term.

    Example:
        >>> m, kappa = sympy.symbols("m kappa", positive=True)
        >>> str(growth(8 * kappa * sympy.log(m) + 1, m))
        'logarithmic in m: ~ 8*kappa*log(m)'
    """
    smooth = _unrounded(formula)
    scales = (1 / symbol, 1 / (1 - symbol)) if below_one else (symbol,)
    run = sympy.Dummy("run", positive=True)
    found: list[Growth] = []
    for scale in scales:
        inverse = {symbol: run, 1 / symbol: 1 / run, 1 / (1 - symbol): 1 - 1 / run}[scale]
        found.append(_along(smooth.subs(symbol, inverse), run, symbol, scale))
    return next((growth for growth in found if growth.word not in ("towards a limit", "not classified")), found[0])


def _unrounded(formula: sympy.Expr) -> sympy.Expr:
    plain = formula.replace(sympy.ceiling, lambda part: part).replace(sympy.floor, lambda part: part)
    return cast(sympy.Expr, plain.replace(sympy.harmonic, lambda part: sympy.log(part) + sympy.EulerGamma))


def _along(formula: sympy.Expr, run: sympy.Symbol, symbol: sympy.Symbol, scale: sympy.Expr) -> Growth:
    names = cast("list[sympy.Symbol]", sorted(formula.free_symbols - {run}, key=str))
    choices = [{name: other / (index + 1) for index, name in enumerate(names)} for other in OTHERS]
    words = [_classified(lambda point, values=values: enclose(formula, values | {run: point})) for values in choices]
    if words[0] is None or words[0] != words[1]:
        return Growth(symbol, scale, "not classified")
    power, logs = words[0]
    if isinstance(power, str):
        return Growth(symbol, scale, power)
    leading = _coefficient(formula, _shape(run, power, logs), run, choices[0])
    term = None if leading is None else leading * _shape(scale, power, logs)
    return Growth(symbol, scale, _word(power, logs), term)


def _shape(base: sympy.Expr, power: Fraction, logs: int) -> sympy.Expr:
    return base ** sympy.Rational(power.numerator, power.denominator) * sympy.log(base) ** logs


def _classified(value: Callable[[int], arb]) -> tuple[Fraction | str, int] | None:
    """Power and power of the logarithm of a function of large numbers, by the slope of log|f| between two of them."""
    try:
        balls = [value(point) for point in POINTS]
    except (PruneproofError, ArithmeticError, ValueError):
        return None
    if not all(ball < 0 or ball > 0 for ball in balls):
        return None
    sizes = [float(abs(ball).log()) for ball in balls]
    if abs(sizes[2]) > POINTS[1] ** 0.9:
        return "exponential" if sizes[2] > 0 else "exponentially small", 0
    slope = (sizes[2] - sizes[1]) / log(POINTS[2] / POINTS[1])
    for logs in (0, 1, -1, 2):
        rest = slope - logs * log(2) / log(POINTS[2] / POINTS[1])  # log log doubles from one point to the next
        power = Fraction(rest).limit_denominator(6)
        if abs(rest - power) * log(POINTS[2] / POINTS[1]) < TOLERANCE:
            return power, logs
    return None


def _word(power: Fraction, logs: int) -> str:
    if power == 0:
        return {0: "towards a limit", 1: "logarithmic", 2: "squared logarithm", -1: "inverse logarithm"}[logs]
    word = _WORDS.get(power, f"power {power}")
    return word if logs == 0 else f"{word}, times a logarithm" if logs == 1 else f"{word}, times a power of a logarithm"


def _coefficient(
    formula: sympy.Expr, shape: sympy.Expr, run: sympy.Symbol, values: dict[sympy.Symbol, Fraction]
) -> sympy.Expr | None:
    """The limit of formula/shape, if sympy finds one that agrees with the value far out."""
    resolved = _resolved(formula)
    if any(part.has(run) for part in resolved.atoms(sympy.Max, sympy.Min)):
        return None  # sympy's limits of these are slow, and sometimes wrong
    try:
        limit = sympy.limit(resolved / shape, run, sympy.oo)
        far = float(enclose(formula / shape, values | {run: POINTS[2]}))
        near = float(enclose(limit, {name: values[name] for name in cast("set[sympy.Symbol]", limit.free_symbols)}))
    except (PruneproofError, NotImplementedError, LookupError, ArithmeticError, ValueError, TypeError, RecursionError):
        return None
    return limit if abs(far - near) <= AGREEMENT * abs(near) else None


def _resolved(formula: sympy.Expr) -> sympy.Expr:
    """Max(0, x) as x, which sympy's limits understand; the value far out decides whether that was right."""
    return cast(sympy.Expr, formula.replace(sympy.Max, _without_zero))


def _without_zero(*parts: sympy.Expr) -> sympy.Expr:
    return cast(sympy.Expr, sympy.Max(*[part for part in parts if part != 0]))
