"""Inequalities and ranges as people type them, read without evaluating text.

`x*log(x) > -0.37`, `x in (0, 1]`: numbers are exact (0.37 is 37/100), `^` and `**` are powers, the constants
are `pi`, `e`, `euler`, `oo`, the functions those of `expressions`.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import cast

import sympy

from pruneproof.errors import InvalidValueError, UnknownNameError, did_you_mean

from .expressions import CONSTANTS, FUNCTIONS, Need, needs, refuse_cancelled

MAX_LENGTH = 2000  # characters
MAX_EXPONENT = 400  # decimal, of a number: beyond it exact arithmetic would fill the memory
_RELATIONS: dict[type[ast.cmpop], type[sympy.Rel]] = {
    ast.Lt: sympy.Lt,
    ast.LtE: sympy.Le,
    ast.Gt: sympy.Gt,
    ast.GtE: sympy.Ge,
}
_BINARY: dict[type[ast.operator], Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_RANGE = re.compile(r"\s*(\w+)\s+in\s+([\[(])(.+),([^,]+)([\])])\s*")


def inequality(text: str, *, where: str = "prove") -> sympy.Rel:
    """Read an inequality.

    Args:
        text: Such as `"x*log(x) > -0.37"`.
        where: The function to be named in messages.

    Returns:
        The inequality over real symbols.

    Raises:
        InvalidValueError: If the text is no inequality.
        UnknownNameError: For an unknown function.

    Example:
        >>> inequality("x^2 >= 0.5")
        x**2 >= 1/2
    """
    tree = _parsed(text, where)
    relation = _RELATIONS.get(type(tree.ops[0])) if isinstance(tree, ast.Compare) and len(tree.ops) == 1 else None
    if not isinstance(tree, ast.Compare) or relation is None:
        raise InvalidValueError(
            f'{where}: {text!r} is not an inequality with one of <, <=, >, >=. Write e.g. "exp(x) >= 1 + x".'
        )
    asked: list[Need] = []
    left, right = (_formula(side, text, where, asked) for side in (tree.left, tree.comparators[0]))
    refuse_cancelled(asked, left - right, where=where)
    return cast(sympy.Rel, relation(left, right, evaluate=False))


def box(texts: Iterable[str], *, where: str = "prove") -> dict[sympy.Symbol, sympy.Interval]:
    """Read the ranges of variables.

    Args:
        texts: Such as `["x in (0, 1]", "y in [0, oo)"]`.
        where: The function to be named in messages.

    Returns:
        Symbol → interval.

    Raises:
        InvalidValueError: If a text is no range.

    Example:
        >>> box(["x in (0, pi/2]"])
        {x: Interval.Lopen(0, pi/2)}
    """
    ranges: dict[sympy.Symbol, sympy.Interval] = {}
    for text in texts:
        match = _RANGE.fullmatch(text)
        if match is None:
            raise InvalidValueError(f'{where}: {text!r} is not a range. Write e.g. "x in (0, 1]" or "x in [0, oo)".')
        name, opening, low, high, closing = match.groups()
        symbol = sympy.Symbol(name, real=True)
        if symbol in ranges:
            raise InvalidValueError(f"{where}: {name} has two ranges. Give it one.")
        ends = [_formula(_parsed(end, where), end, where, []) for end in (low, high)]
        if not all(end.is_extended_real for end in ends):
            raise InvalidValueError(f"{where}: the ends in {text!r} must be real numbers or ±oo. Correct them.")
        interval = sympy.Interval(*ends, left_open=opening == "(", right_open=closing == ")")
        if not isinstance(interval, sympy.Interval):
            raise InvalidValueError(f"{where}: the range of {name} in {text!r} must not be empty. Give low < high.")
        ranges[symbol] = interval
    return ranges


def _parsed(text: str, where: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise InvalidValueError(f"{where}: a formula may have {MAX_LENGTH} characters, got {len(text)}. Shorten it.")
    try:
        return ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InvalidValueError(f"{where}: {text!r} cannot be read as a formula. Check brackets and signs.") from None


def _formula(node: ast.expr, text: str, where: str, asked: list[Need]) -> sympy.Expr:
    """The formula of a tree; what its nodes ask of their arguments is added to `asked`, before SymPy cancels any."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _number(ast.get_source_segment(text.strip().replace("^", "**"), node) or str(node.value), where)
    if isinstance(node, ast.Name):
        return CONSTANTS.get(node.id) or sympy.Symbol(node.id, real=True)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _formula(node.operand, text, where, asked)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = (_formula(side, text, where, asked) for side in (node.left, node.right))
        if isinstance(node.op, ast.Pow) and left.is_number and right.is_number and abs(right) > MAX_EXPONENT:
            raise InvalidValueError(f"{where}: the power {left}^{right} is too large. Simplify it.")
        if isinstance(node.op, ast.Pow | ast.Div):
            power = (left, right) if isinstance(node.op, ast.Pow) else (right, sympy.Integer(-1))
            asked += needs(sympy.Pow, power)
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, [_formula(part, text, where, asked) for part in node.args], where, asked)
    raise InvalidValueError(
        f"{where}: {text!r} is not a formula of numbers, names, + - * / ^, brackets and functions. Rewrite it."
    )


def _call(name: str, arguments: list[sympy.Expr], where: str, asked: list[Need]) -> sympy.Expr:
    if name not in FUNCTIONS:
        raise UnknownNameError(
            f"{where}: there is no function {name!r}.{did_you_mean(name, FUNCTIONS)} The functions are "
            f"{', '.join(FUNCTIONS)}."
        )
    if name not in ("max", "min") and len(arguments) != 1:
        raise InvalidValueError(f"{where}: {name} takes one argument, got {len(arguments)}. Check the brackets.")
    root = name == "sqrt"
    asked += needs(sympy.Pow if root else FUNCTIONS[name], [*arguments, sympy.S.Half] if root else arguments)
    return cast(sympy.Expr, FUNCTIONS[name](*arguments))


def _number(text: str, where: str) -> sympy.Expr:
    """A number as it is written: 0.37 is 37/100."""
    digits = Decimal(text.replace("_", ""))
    if digits and abs(digits.adjusted()) > MAX_EXPONENT:
        raise InvalidValueError(f"{where}: the number {text[:20]} is too large or too small. Rescale the inequality.")
    exact = Fraction(digits)
    return sympy.Rational(exact.numerator, exact.denominator)
