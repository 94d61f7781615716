"""A formula as nested lists that JSON can hold, and back, without ever evaluating text.

A certificate may come from anyone, so `sympy.sympify` (which runs Python) must not read it. The tree names each node:
`["+", …]`, `["^", base, exponent]`, `["log", x]`, `"u"` for a symbol and `["q", "1/3"]` for an exact rational.
"""

from typing import cast

import sympy

from ..errors import PruneproofError

Tree = str | list["Tree"]

MAX_DEPTH = 200
MAX_BITS = 10_000

_NODES: dict[str, type[sympy.Basic]] = {
    "+": sympy.Add,
    "*": sympy.Mul,
    "^": sympy.Pow,
    "max": sympy.Max,
    "min": sympy.Min,
    "abs": sympy.Abs,
    "exp": sympy.exp,
    "log": sympy.log,
    "tanh": sympy.tanh,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "atan": sympy.atan,
    "erf": sympy.erf,
    "erfc": sympy.erfc,
}
_NAMES = {node: name for name, node in _NODES.items()}
_CONSTANTS: dict[str, sympy.Expr] = {"pi": sympy.pi, "e": sympy.E, "euler": sympy.EulerGamma}


def to_tree(expression: sympy.Basic, *, where: str = "to_tree") -> Tree:
    """Write a formula as a tree; a node that has no name here is refused.

    >>> u = sympy.Symbol("u")
    >>> to_tree(sympy.log(1 + u) / 3)
    ['*', ['q', '1/3'], ['log', ['+', ['q', '1'], 'u']]]
    """
    if isinstance(expression, sympy.Symbol):
        return expression.name
    if isinstance(expression, sympy.Rational):
        return ["q", str(expression)]
    for name, constant in _CONSTANTS.items():
        if expression == constant:
            return ["constant", name]
    if expression.func not in _NAMES:
        kind = "the float" if isinstance(expression, sympy.Float) else f"{expression.func.__name__} in"
        remedy = f"use exact rationals and {', '.join(_NODES)}"
        raise PruneproofError(
            where, required="an exact elementary formula", received=f"{kind} {expression}", remedy=remedy
        )
    return [_NAMES[expression.func], *[to_tree(part, where=where) for part in expression.args]]


def from_tree(tree: object, symbols: dict[str, sympy.Symbol], *, depth: int = 0) -> sympy.Expr:
    """Read a tree back; anything that `to_tree` does not write is refused."""
    if isinstance(tree, str) and tree in symbols:
        return symbols[tree]
    if not isinstance(tree, list) or len(cast("list[object]", tree)) < 2 or depth > MAX_DEPTH:
        raise PruneproofError("from_tree", required="a formula tree", received=str(tree)[:60], remedy="save it again")
    name, *parts = cast("list[object]", tree)
    if name == "q":
        return rational(parts[0])
    if name == "constant" and parts[0] in _CONSTANTS:
        return _CONSTANTS[cast(str, parts[0])]
    if name not in _NODES:
        raise PruneproofError(
            "from_tree", required=f"one of {', '.join(_NODES)}", received=name, remedy="save it again"
        )
    arguments = [from_tree(part, symbols, depth=depth + 1) for part in parts]
    if name == "^" and _too_large(arguments):
        received = f"a power with exponent {str(arguments[1])[:20]}"
        raise PruneproofError("from_tree", required="numbers of moderate size", received=received, remedy="simplify it")
    return cast(sympy.Expr, _NODES[cast(str, name)](*arguments))


def _too_large(arguments: list[sympy.Expr]) -> bool:
    """Would sympy multiply out a power that fills the memory? (A certificate may come from anyone.)"""
    if len(arguments) != 2 or not all(isinstance(part, sympy.Rational) for part in arguments):
        return False
    base, exponent = (cast(sympy.Rational, part) for part in arguments)
    bits = max(int(base.p).bit_length(), int(base.q).bit_length())
    return abs(exponent) * bits > MAX_BITS


def rational(text: object) -> sympy.Rational:
    """Read an exact rational from text such as "-3/4"."""
    digits = text.removeprefix("-").split("/") if isinstance(text, str) and len(text) < MAX_BITS // 4 else []
    if not 1 <= len(digits) <= 2 or not all(part.isascii() and part.isdigit() for part in digits):
        raise PruneproofError("rational", required='a rational such as "-3/4"', received=text, remedy="write p/q")
    if len(digits) == 2 and int(digits[1]) == 0:
        raise PruneproofError("rational", required="a denominator that is not zero", received=text, remedy="write p/q")
    return cast(sympy.Rational, sympy.Rational(cast(str, text)))
