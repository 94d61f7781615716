"""A formula in x written in v = 1/x, so that an interval around v = 0 says what it does for large x.

Interval arithmetic cannot see that x²/(2 + 2x/3) grows like 3x/2: both parts are infinite. Written in v, with common
powers cancelled, every rational coefficient is finite at v = 0 or a clean power of v.
"""

from typing import cast

import sympy

from .intervals import Undefined

MAX_DEGREE = 64  # of what is multiplied out; (1 + x + y)^2000 would take hours


def at_infinity(formula: sympy.Expr, symbol: sympy.Symbol, inverse: sympy.Symbol) -> sympy.Expr:
    """The formula with `symbol` replaced by 1/`inverse`, its rational coefficients cancelled, term by term.

    Raises `Undefined` where powers of sums are too high to be multiplied out.

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
    back = {name: part.subs(symbol, 1 / inverse) for part, name in names.items()}
    return cast(sympy.Expr, sympy.Add(*written).xreplace(back))


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
