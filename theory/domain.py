"""Refuse an inequality that divides by zero, or takes the log of a negative number, inside its own box.

A formula that is undefined in the box cannot hold on it; bisection would only run towards the pole. Each divisor,
argument of log and radicand is tried at the corners, edge midpoints and centre of the box: an exact zero there, or (for
a divisor) a change of sign, shows that the formula is undefined. What this misses ends as undecided, never as proved.
"""

from typing import cast

import sympy
from flint import arb, fmpq

from ..errors import PruneproofError
from .balls import tape
from .problem import Problem
from .region import probes


def refuse_poles(question: Problem, *, where: str) -> None:
    """Raise `PruneproofError` if a probe shows that a side of the inequality is undefined inside the box."""
    points = [point for point in probes(question.box) if all(c.positive(c.tape(*point)) for c in question.given)]
    for part in sympy.preorder_traversal(question.gap.formula):
        if isinstance(part, sympy.Pow) and part.args[1].is_negative:
            _refuse_zero(question, part.args[0], points, where)
        if isinstance(part, sympy.log):
            _refuse_sign(question, part.args[0], points, where, "log of", strict=True)
        if isinstance(part, sympy.Pow) and not part.args[1].is_integer:
            _refuse_sign(question, part.args[0], points, where, "a fractional power of", strict=False)


def _values(question: Problem, part: sympy.Basic, points: list[tuple[fmpq, ...]]) -> list[fmpq | arb]:
    run = tape(cast(sympy.Expr, part), question.gap.symbols, where="prove")
    return [cast("fmpq | arb", run(*point)) for point in points]


def _refuse_zero(question: Problem, divisor: sympy.Basic, points: list[tuple[fmpq, ...]], where: str) -> None:
    values = _values(question, divisor, points)
    zero = next((point for point, value in zip(points, values, strict=True) if value == 0), None)
    if zero is not None or (any(value > 0 for value in values) and any(value < 0 for value in values)):
        place = "changes sign in the box" if zero is None else f"is 0 at {_show(question, zero)}"
        raise PruneproofError(
            where,
            required="a formula without division by zero in the box",
            received=f"1/({divisor}), where {divisor} {place}",
            remedy="cut the box at the pole, or leave that end open",
        )


def _refuse_sign(
    question: Problem, argument: sympy.Basic, points: list[tuple[fmpq, ...]], where: str, what: str, *, strict: bool
) -> None:
    for point, value in zip(points, _values(question, argument, points), strict=True):
        if value < 0 or (strict and value == 0):
            raise PruneproofError(
                where,
                required="a formula that is defined on the box",
                received=f"{what} {argument} at {_show(question, point)}",
                remedy="shrink the box, or leave that end open",
            )


def _show(question: Problem, point: tuple[fmpq, ...]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in zip(question.gap.symbols, point, strict=True))
