"""Exact walk of a sympy formula: the formula itself, never a rounded copy of it, evaluated on rationals and balls.

`sympy.lambdify` prints 1/3 as a float, so what it evaluates is another formula. Here the tree is translated node by
node (a rational stays a rational) into a `Tape`; a node without an exact or outward-rounded meaning is refused, and so
is a sympy `Float`, whose intended value nobody knows. The enclosures rest on Arb (F. Johansson, IEEE Trans. Computers
66(8), 2017): the ball of a result contains the result for all points of the argument balls.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, nextafter
from typing import cast

import sympy
from flint import arb, ctx, fmpq

from pruneproof.errors import PruneproofError

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
    sympy.sin: elementary.elementary("sin"),
    sympy.cos: elementary.elementary("cos"),
    sympy.atan: elementary.elementary("atan"),
    sympy.erf: elementary.elementary("erf"),
    sympy.erfc: elementary.elementary("erfc"),
}


_CONSTANTS: dict[object, Callable[[], arb]] = {
    sympy.pi: arb.pi,
    sympy.E: arb.const_e,
    sympy.EulerGamma: arb.const_euler,
}


@dataclass(frozen=True)
class Tape:
    """A formula as a straight list of operations on numbered slots; the first slots are the symbols.

    Equal sub-formulas share a slot. Calling the tape with one number per symbol (`fmpq`, `arb` or `arb_series`, mixed
    as you like) gives the value of the formula at the present precision of flint.
    """

    symbols: tuple[sympy.Symbol, ...]
    steps: tuple[tuple[Operation, tuple[int, ...]], ...]
    result: int

    def __call__(self, *numbers: Number) -> Number:
        """Evaluate; undefined operations give a number that is not finite."""
        slots = list(numbers)
        for operation, arguments in self.steps:
            slots.append(operation(*[slots[argument] for argument in arguments]))
        return slots[self.result]


def tape(expression: sympy.Expr, symbols: Iterable[sympy.Symbol], *, where: str = "tape") -> Tape:
    """Translate a formula into a `Tape`; a node without an enclosure, a Float or a free symbol is refused."""
    names = tuple(symbols)
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
    raise PruneproofError(where, **_refusal(node))


def _power(node: sympy.Pow) -> tuple[Operation, tuple[sympy.Basic, ...]]:
    base, exponent = node.args
    if not isinstance(exponent, sympy.Rational):
        return elementary.power, (base, exponent)
    degree, times = int(exponent.q), int(exponent.p)
    if degree == 1:
        return lambda number: elementary.integer_power(number, times), (base,)
    return lambda number: elementary.integer_power(elementary.root(number, degree), times), (base,)


def _refusal(node: sympy.Basic) -> dict[str, str]:
    if isinstance(node, sympy.Float):
        return {
            "required": "an exact formula",
            "received": f"the float {node}",
            "remedy": "write it as sympy.Rational, or pass the number as a value",
        }
    if isinstance(node, sympy.Symbol):
        return {
            "required": "a value or range for every symbol",
            "received": f"none for {node}",
            "remedy": f"add {node}",
        }
    known = ", ".join(sorted(getattr(function, "__name__", "?") for function in _FUNCTIONS))
    return {
        "required": f"rationals, powers and {known}",
        "received": f"{node.func.__name__} in {node}",
        "remedy": "rewrite it with these functions",
    }


def exact(value: object, *, where: str, name: str) -> fmpq | arb:
    """A given number without rounding: integers, fractions, sympy rationals and the binary value of a finite float.

    A ball is taken as it is: the result then contains the value for every point of the ball.
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
        raise PruneproofError(where, required=f"a number for {name}", received=value, remedy="pass an int or a float")
    if isinstance(number, float) and not isfinite(number):  # an integer may be too large for a float
        raise PruneproofError(where, required=f"a finite {name}", received=number, remedy="check where it comes from")
    return fmpq(*number.as_integer_ratio())


def enclose(expression: sympy.Expr, values: Mapping[sympy.Symbol, object], *, where: str = "enclose") -> arb:
    """A ball that contains the exact value of a formula, to 64 bits or better wherever its value is decided.

    **Arguments:** `expression`, a sympy formula; `values`, symbol → number: a Python or numpy float stands for the
    binary fraction it stores, a `flint.arb` for every point of its ball.

    The precision is doubled from 128 to 8192 bits until the ball is narrow. Where a `ceiling` stays undecided, because
    its argument is an integer that no ball can recognise, the ball holds both candidates: it still contains the value.
    Raises `PruneproofError` for a node it cannot walk, a value outside what its symbol declares (such as
    `positive=True`), and a formula that is undefined at the values.

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
        raise PruneproofError(
            where, required="values at which the formula is defined", received=shown, remedy="check them"
        )
    return result


def respect(symbol: sympy.Symbol, number: fmpq | arb, *, where: str) -> None:
    """Refuse a value that contradicts what its symbol declares: sympy has simplified the formula on that ground."""
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
        needed = f"{symbol} to be {broken[0]}"
        raise PruneproofError(where, required=needed, received=number, remedy=f"change the value of {symbol}")


def rounded(value: arb, direction: int) -> float:
    """The float next to a ball: not below its upper end for +1, not above its lower end for -1, nearest for 0."""
    if direction == 0:
        return float(value.mid())
    with ctx.workprec(LAST_PRECISION):
        end = value.upper() if direction > 0 else value.lower()
        near = float(end)
        if arb(near) < end if direction > 0 else arb(near) > end:
            near = nextafter(near, direction * float("inf"))
    return near
