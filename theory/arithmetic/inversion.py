"""Solve `formula = value` for one symbol: by undoing the operations around it, else by certified bisection.

A symbol that occurs once sits at the end of one path of invertible operations; undoing them in turn
gives the closed form. Otherwise a sign change of `formula - value` between two exact points is found
and halved; it encloses a solution (or the point where a step function jumps across the value).
"""

from collections.abc import Callable, Mapping
from typing import cast

import sympy
from flint import arb, ctx, fmpq

from pruneproof.errors import InvalidValueError, PruneproofError

from . import balls

DOUBLINGS = 256  # how far from 1 the search for a sign change goes: 2**-256 … 2**256
BISECTIONS = 128


def closed_form(formula: sympy.Expr, symbol: sympy.Symbol, target: sympy.Expr) -> sympy.Expr | None:
    """The positive solution of `formula = target` as a formula.

    Args:
        formula: What is solved.
        symbol: For which symbol.
        target: The right-hand side.

    Returns:
        The solution, or `None` if the symbol does not occur exactly once.

    Example:
        >>> x, y = sympy.symbols("x y", positive=True)
        >>> closed_form(sympy.exp(x**2) + 1, x, y)
        sqrt(log(y - 1))
    """
    if sum(node == symbol for node in sympy.preorder_traversal(formula)) != 1:
        return None
    while formula != symbol:
        inner = next(part for part in formula.args if symbol in part.free_symbols)
        undone = _undo(formula, cast(sympy.Expr, inner), target)
        if undone is None:
            return None
        formula, target = cast(sympy.Expr, inner), undone
    return target


def _undo(node: sympy.Expr, inner: sympy.Expr, target: sympy.Expr) -> sympy.Expr | None:
    """What `inner` must be for `node` to be `target`; the positive branch of an even power."""
    rest = [cast(sympy.Expr, part) for part in node.args if part != inner]
    if isinstance(node, sympy.Add):
        return target - sympy.Add(*rest)
    if isinstance(node, sympy.Mul):
        return target / sympy.Mul(*rest)
    if isinstance(node, sympy.exp):
        return sympy.log(target)
    if isinstance(node, sympy.log):
        return sympy.exp(target)
    if isinstance(node, sympy.Pow) and node.args[0] == inner:
        return target ** (1 / rest[0])
    if isinstance(node, sympy.Pow):
        return sympy.log(target) / sympy.log(rest[0])
    return None


def crossing(
    formula: sympy.Expr, symbol: sympy.Symbol, value: object, known: Mapping[sympy.Symbol, object], *, where: str
) -> arb:
    """A ball around a positive value of a symbol at which a formula crosses a value.

    Args:
        formula: The formula.
        symbol: The symbol.
        value: The value.
        known: The other symbols with their numbers.
        where: The function to be named in messages.

    Returns:
        The ball.

    Raises:
        InvalidValueError: If no crossing is found between 2**-256 and 2**256.
    """
    target = sympy.Dummy("target", real=True)
    level = balls.exact(value, where=where, name="value")
    solution = closed_form(formula, symbol, target)
    if solution is not None:
        found = _closed(solution, formula, symbol, {**known, target: level}, level)
        if found is not None:
            return found
    return _bisected(formula - target, symbol, {**known, target: level}, where)


def _closed(
    solution: sympy.Expr,
    formula: sympy.Expr,
    symbol: sympy.Symbol,
    known: Mapping[sympy.Symbol, object],
    level: fmpq | arb,
) -> arb | None:
    """The closed form as a ball, if it is defined, of the sign its symbol declares and not an extraneous root."""
    try:
        found = balls.enclose(solution, _used(known, solution))
        balls.respect(symbol, found, where="solve")
        reached = balls.enclose(formula, _used({**known, symbol: found}, formula))
    except PruneproofError:
        return None
    return found if reached.overlaps(arb(level)) else None  # squaring may have lost a sign


def _used(known: Mapping[sympy.Symbol, object], formula: sympy.Expr) -> dict[sympy.Symbol, object]:
    return {name: number for name, number in known.items() if name in formula.free_symbols}


def _bisected(gap: sympy.Expr, symbol: sympy.Symbol, known: Mapping[sympy.Symbol, object], where: str) -> arb:
    run = balls.tape(gap, [symbol, *known], where=where)
    numbers = [balls.exact(number, where=where, name=name.name) for name, number in known.items()]

    def sign(point: fmpq) -> int:
        with ctx.workprec(4 * BISECTIONS):
            height = arb(cast("fmpq | arb", run(point, *numbers)))
        return 1 if height > 0 else -1 if height < 0 else 0

    ends = _sign_change(sign)
    if ends is None:
        side, other = ("above", "larger") if sign(fmpq(1)) > 0 else ("below", "smaller")
        raise InvalidValueError(
            f"{where}: no {symbol} brings the bound to this value: it stays {side} it for every {symbol} that was "
            f"tried, from 2**-{DOUBLINGS} to 2**{DOUBLINGS}. Ask for a {other} value, or change the other symbols."
        )
    low, high = ends
    start = sign(low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sign(middle) == start else (low, middle)
    with ctx.workprec(4 * BISECTIONS):
        return arb((low + high) / 2, (high - low) / 2)


def _sign_change(sign: Callable[[fmpq], int]) -> tuple[fmpq, fmpq] | None:
    """Two neighbouring powers of two between which the sign changes, the ones nearest to 1 in ratio."""
    signs: dict[int, int] = {0: sign(fmpq(1))}
    for step in range(1, DOUBLINGS + 1):
        for exponent in (step, -step):
            inward = exponent - 1 if exponent > 0 else exponent + 1
            signs[exponent] = sign(fmpq(2) ** exponent)
            if signs[exponent] * signs[inward] < 0:
                first, last = sorted((exponent, inward))
                return fmpq(2) ** first, fmpq(2) ** last
            if signs[exponent] == 0:  # undefined or exactly on the value: keep the last sign that was certain
                signs[exponent] = signs[inward]
    return None
