"""Exact walk of a sympy formula: the formula itself, never a rounded copy of it, on rationals and balls.

`sympy.lambdify` prints 1/3 as a float, so what it evaluates is another formula. Here the tree is
translated node by node (a rational stays a rational) into a `Tape`; a node without an exact or
outward-rounded meaning is refused, and so is a sympy `Float`, whose intended value nobody knows. The
enclosures rest on Arb (F. Johansson, IEEE Trans. Computers 66(8), 2017): the ball of a result
contains the result for all points of the argument balls.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isfinite, nextafter
from typing import cast

import sympy
from flint import arb, ctx, fmpq

from pruneproof.errors import InvalidTypeError, InvalidValueError, PruneproofError, UnsupportedError, described

from . import elementary
from .elementary import Number, Operation

FIRST_PRECISION = 128
LAST_PRECISION = 8192
WANTED_BITS = 64  # of relative accuracy: more than a float has


_FUNCTIONS: dict[object, Operation] = {
    sympy.Add: elementary.total,
    sympy.Mul: elementary.product,
    sympy.Max: elementary.largest,
    sympy.Min: elementary.smallest,
    sympy.Abs: elementary.absolute,
    sympy.exp: elementary.exponential,
    sympy.log: elementary.logarithm,
    sympy.ceiling: elementary.ceiling,
    sympy.floor: elementary.floor,
    sympy.harmonic: elementary.harmonic,
    sympy.tanh: elementary.hyperbolic_tangent,
    sympy.sinh: elementary.hyperbolic_sine,
    sympy.cosh: elementary.hyperbolic_cosine,
    **{getattr(sympy, name): elementary.elementary(name) for name in elementary.SMOOTH},
}


_CONSTANTS: dict[object, Callable[[], arb]] = {
    sympy.pi: arb.pi,
    sympy.E: arb.const_e,
    sympy.EulerGamma: arb.const_euler,
}


@dataclass(frozen=True)
class Tape:
    """A formula as a straight list of operations on numbered slots; equal sub-formulas share a slot.

    Args:
        symbols: What the first slots hold.
        steps: Operations with the slots of their arguments.
        result: The slot of the formula's value.
    """

    symbols: tuple[sympy.Symbol, ...]
    steps: tuple[tuple[Operation, tuple[int, ...]], ...]
    result: int

    def __call__(self, *numbers: Number) -> Number:
        """Evaluate at the present precision of flint.

        Args:
            *numbers: One number per symbol: `fmpq`, `arb` or `arb_series`, mixed as you like.

        Returns:
            The value; it is not finite where an operation is undefined.
        """
        slots = list(numbers)
        for operation, arguments in self.steps:
            slots.append(operation(*[slots[argument] for argument in arguments]))
        return slots[self.result]


def tape(expression: sympy.Expr, symbols: Iterable[sympy.Symbol], *, where: str = "tape") -> Tape:
    """Translate a formula into a `Tape`.

    Args:
        expression: The formula.
        symbols: What its value depends on, in the order in which numbers will be given.
        where: The function to be named in messages.

    Returns:
        The tape; the same for the same formula, so that a formula is translated once.

    Raises:
        UnsupportedError: For a function without an enclosure.
        InvalidValueError: For a float in the formula, or a symbol that is not listed.
    """
    return _translated(expression, tuple(symbols), where)


@lru_cache(maxsize=1024)
def _translated(expression: sympy.Expr, names: tuple[sympy.Symbol, ...], where: str) -> Tape:
    slots: dict[sympy.Basic, int] = {symbol: index for index, symbol in enumerate(names)}
    steps: list[tuple[Operation, tuple[int, ...]]] = []
    for node in sympy.postorder_traversal(expression):
        if node in slots:
            continue
        operation, arguments = _operation(node, where)
        if all(argument in slots for argument in arguments):
            steps.append((operation, tuple(slots[argument] for argument in arguments)))
            slots[node] = len(names) + len(steps) - 1
    return Tape(names, tuple(steps), slots[expression])


def _operation(node: sympy.Basic, where: str) -> tuple[Operation, tuple[sympy.Basic, ...]]:
    """The operation of a node and the nodes it needs."""
    if isinstance(node, sympy.Rational):
        constant = fmpq(int(node.p), int(node.q))
        return lambda: constant, ()
    if node in _CONSTANTS:
        return cast(Operation, _CONSTANTS[node]), ()
    if isinstance(node, sympy.Pow):
        return _power(node)
    if node.func in _FUNCTIONS:
        return _FUNCTIONS[node.func], node.args
    raise _refusal(node, where)


def _power(node: sympy.Pow) -> tuple[Operation, tuple[sympy.Basic, ...]]:
    base, exponent = node.args
    if not isinstance(exponent, sympy.Rational):
        return elementary.power, (base, exponent)
    degree, times = int(exponent.q), int(exponent.p)
    if degree == 1:
        return lambda number: elementary.integer_power(number, times), (base,)
    return lambda number: elementary.integer_power(elementary.root(number, degree), times), (base,)


def _refusal(node: sympy.Basic, where: str) -> PruneproofError:
    if isinstance(node, sympy.Float):
        return InvalidValueError(
            f"{where}: the formula contains the float {node}, whose exact value nobody knows. Write it as "
            "sympy.Rational, or pass the number as the value of a symbol."
        )
    if isinstance(node, sympy.Symbol):
        return InvalidValueError(f"{where}: the symbol {node} has neither a value nor a range. Add {node}.")
    known = ", ".join(sorted(getattr(function, "__name__", "?") for function in _FUNCTIONS))
    return UnsupportedError(
        f"{where}: {node.func.__name__} in {node} cannot be enclosed. "
        f"Write the formula with rationals, powers and {known}."
    )


def exact(value: object, *, where: str, name: str) -> fmpq | arb:
    """A given number without rounding.

    Args:
        value: An integer, fraction, sympy constant, finite float (which stands for the binary
            fraction it stores) or numpy or torch scalar; a ball is taken as it is, and results then
            hold for each of its points.
        where: The function to be named in messages.
        name: The number to be named in messages.

    Returns:
        The number.

    Raises:
        InvalidTypeError: For what is no number.
        InvalidValueError: For NaN and infinity.
    """
    if isinstance(value, arb | fmpq):
        return value
    if isinstance(value, sympy.Rational):
        return fmpq(int(value.p), int(value.q))
    if isinstance(value, sympy.Expr) and not value.free_symbols:
        return cast("fmpq | arb", tape(value, (), where=where)())
    item = getattr(value, "item", None)  # numpy and torch scalars
    number = item() if callable(item) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Fraction):
        raise InvalidTypeError(
            f"{where}: {name} must be a number, got {described(value)}. Pass an int, a fraction or a float."
        )
    if isinstance(number, float) and not isfinite(number):  # an integer may be too large for a float
        raise InvalidValueError(f"{where}: {name} must be finite, got {number}. Check where it comes from.")
    return fmpq(*number.as_integer_ratio())


def enclose(expression: sympy.Expr, values: Mapping[sympy.Symbol, object], *, where: str = "enclose") -> arb:
    """A ball that contains the exact value of a formula, to 64 bits or better wherever its value is decided.

    The precision is doubled from 128 to 8192 bits until the ball is narrow. Where a `ceiling` stays
    undecided, because its argument is an integer that no ball can recognise, the ball holds both
    candidates: it still contains the value.

    Args:
        expression: A sympy formula.
        values: Symbol → number, read as by `exact`.
        where: The function to be named in messages.

    Returns:
        The ball.

    Raises:
        PruneproofError: For a node that cannot be enclosed, a value outside what its symbol declares
            (such as `positive=True`), and a formula that is undefined at the values.

    Example:
        >>> x = sympy.Symbol("x")
        >>> 0 in enclose(x - sympy.Rational(1, 3), {x: Fraction(1, 3)})
        True
    """
    numbers: dict[sympy.Symbol, object] = dict(values)
    run = tape(expression, numbers, where=where)
    for symbol, value in numbers.items():
        respect(symbol, exact(value, where=where, name=symbol.name), where=where)
    precision = FIRST_PRECISION
    while True:
        with ctx.workprec(precision):
            exacts = [exact(value, where=where, name=symbol.name) for symbol, value in numbers.items()]
            result = arb(cast("fmpq | arb", run(*exacts)))
        if (result.is_finite() and result.rel_accuracy_bits() >= WANTED_BITS) or precision >= LAST_PRECISION:
            break
        precision *= 2
    if not result.is_finite():
        shown = ", ".join(f"{symbol} = {value}" for symbol, value in numbers.items())
        raise InvalidValueError(f"{where}: {expression} is not defined at {shown}. Check the values.")
    return result


def respect(symbol: sympy.Symbol, number: fmpq | arb, *, where: str) -> None:
    """Refuse a value that contradicts what its symbol declares: sympy has simplified the formula on that ground.

    Args:
        symbol: The symbol with its declarations.
        number: Its value.
        where: The function to be named in messages.

    Raises:
        InvalidValueError: If the number is, say, negative although the symbol is declared positive.
    """
    integral = number.is_integer() if isinstance(number, arb) else number.q == 1
    broken = [
        property_
        for property_, holds in {
            "positive": number > 0,
            "negative": number < 0,
            "nonnegative": number >= 0,
            "nonpositive": number <= 0,
            "nonzero": number > 0 or number < 0,
            "zero": number == 0,
            "imaginary": False,
            "integer": integral,
        }.items()
        if getattr(symbol, f"is_{property_}") and not holds
    ]
    if broken:
        raise InvalidValueError(f"{where}: {symbol} must be {broken[0]}, got {number}. Change the value of {symbol}.")


def rounded(value: arb, direction: int) -> float:
    """The float next to a ball.

    Args:
        value: The ball.
        direction: +1 for a float that is not below its upper end, -1 for one that is not above its
            lower end, 0 for the nearest to its middle.

    Returns:
        The float.
    """
    if direction == 0:
        return float(value.mid())
    with ctx.workprec(LAST_PRECISION):
        end = value.upper() if direction > 0 else value.lower()
        near = float(end)
        if arb(near) < end if direction > 0 else arb(near) > end:
            near = nextafter(near, direction * float("inf"))
    return near
