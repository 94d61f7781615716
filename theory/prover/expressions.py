"""What a formula as written divides by, or takes a logarithm or a fractional power of; sympy may cancel it.

`1/x + 1 > 1/x` becomes `1 > 0` when sympy subtracts, and `exp(log(x))` becomes `x`: what is left is defined where the
formula that somebody wrote is not. So every such part of the formula as written must be in the difference as well,
where the rules look at it, or be known to be defined everywhere, as 1 + x² is positive for a real x.

A formula as nested lists that JSON can hold, and back, without ever evaluating text.

A certificate may come from anyone, so `sympy.sympify` (which runs Python) must not read it. The tree names each node:
`["+", …]`, `["^", base, exponent]`, `["log", x]`, `"u"` for a symbol and `["q", "1/3"]` for an exact rational. What is
too deep or too large to check is refused on both ways, so that whatever is written can be read.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

import sympy

from pruneproof.errors import PruneproofError

Domain = Literal["positive", "nonnegative", "nonzero"]
Need = tuple[sympy.Expr, Domain]


def needs(function: object, arguments: Sequence[sympy.Basic]) -> Iterator[Need]:
    """What one node asks of its arguments, so that it is defined.

    >>> x, y = sympy.symbols("x y", real=True)
    >>> list(needs(sympy.log, [x])), list(needs(sympy.Pow, [x, sympy.Integer(-1)])), list(needs(sympy.Pow, [x, y]))
    ([(x, 'positive')], [(x, 'nonzero')], [(x, 'positive')])
    """
    if function is sympy.log:
        yield cast(sympy.Expr, arguments[0]), "positive"
    if function is sympy.Pow:
        base, exponent = cast("Sequence[sympy.Expr]", arguments)
        if not exponent.is_integer:
            yield base, "nonnegative" if exponent.is_positive else "positive"
        elif not exponent.is_positive:
            yield base, "nonzero"


def refuse_cancelled(written: Iterable[Need], difference: sympy.Expr, *, where: str) -> None:
    """Raise `PruneproofError` if a need of the formula as written is gone from the difference of its two sides."""
    kept = {need for node in sympy.preorder_traversal(difference) for need in needs(node.func, node.args)}
    kept |= {(part, weaker) for part, domain in kept if domain == "positive" for weaker in ("nonnegative", "nonzero")}
    for part, domain in written:
        if (part, domain) not in kept and not getattr(part, f"is_{domain}"):
            raise PruneproofError(
                where,
                required="an inequality whose poles, logarithms and roots do not cancel",
                received=f"{part}, which must be {domain} but is gone from {difference}",
                remedy="cancel it yourself, on a box where it is defined",
            )


Tree = str | list["Tree"]
MAX_DEPTH = 200
MAX_BITS = 10_000  # of a rational that is raised to a rational power
MAX_EXPONENT = 10_000  # also of the root: x^(p/q) with p, q up to this
MAX_RATIONAL = 8_000  # bits of numerator and denominator together
MAX_DIGITS = 2_500  # of a rational as text: 8000·log10(2) is 2409, and the signs
_MANY = {"+": sympy.Add, "*": sympy.Mul, "max": sympy.Max, "min": sympy.Min}


_ONE = {
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


_NODES: dict[str, type[sympy.Basic]] = {**_MANY, "^": sympy.Pow, **_ONE}
_NAMES = {node: name for name, node in _NODES.items()}
_CONSTANTS: dict[str, sympy.Expr] = {"pi": sympy.pi, "e": sympy.E, "euler": sympy.EulerGamma}


def to_tree(expression: sympy.Basic, *, where: str = "to_tree", depth: int = 0) -> Tree:
    """Write a formula as a tree; a node that has no name here is refused.

    >>> u = sympy.Symbol("u")
    >>> to_tree(sympy.log(1 + u) / 3)
    ['*', ['q', '1/3'], ['log', ['+', ['q', '1'], 'u']]]
    """
    if isinstance(expression, sympy.Symbol):
        return expression.name
    if depth > MAX_DEPTH:
        received, remedy = "a deeper one", "write it flatter, or name a part of it"
        raise PruneproofError(where, required=f"a formula at most {MAX_DEPTH} deep", received=received, remedy=remedy)
    if isinstance(expression, sympy.Rational):
        _refuse_long(expression, where)
        return ["q", str(expression)]
    for name, constant in _CONSTANTS.items():
        if expression == constant:
            return ["constant", name]
    if expression.func not in _NAMES:
        received = f"the float {expression}" if isinstance(expression, sympy.Float) else expression.func.__name__
        remedy = f"use exact rationals and {', '.join(_NODES)}"
        raise PruneproofError(where, required="an exact elementary formula", received=received, remedy=remedy)
    return [_NAMES[expression.func], *[to_tree(part, where=where, depth=depth + 1) for part in expression.args]]


def from_tree(
    tree: object, symbols: dict[str, sympy.Symbol], *, depth: int = 0, needed: dict[Need, None] | None = None
) -> sympy.Expr:
    """Read a tree back; anything that `to_tree` does not write is refused.

    What the formula needs in order to be defined, before sympy simplifies it, is noted in `needed`.
    """
    if isinstance(tree, str) and tree in symbols:
        return symbols[tree]
    if not isinstance(tree, list) or len(cast("list[object]", tree)) < 2 or depth > MAX_DEPTH:
        received = tree[:60] if isinstance(tree, str) else "a deep or empty list"
        received = received if isinstance(tree, str | list) else type(tree).__name__
        raise PruneproofError("from_tree", required="a formula tree", received=received, remedy="save it again")
    name, *parts = cast("list[object]", tree)
    _refuse_count(name, len(parts))
    if name == "q":
        return rational(parts[0])
    if name == "constant" and parts[0] in _CONSTANTS:
        return _CONSTANTS[cast(str, parts[0])]
    if name not in _NODES:
        raise PruneproofError(
            "from_tree", required=f"one of {', '.join(_NODES)}", received=name, remedy="save it again"
        )
    node = _NODES[cast(str, name)]
    arguments = [from_tree(part, symbols, depth=depth + 1, needed=needed) for part in parts]
    if name == "^" and _too_large(*arguments):
        _refuse_power(arguments[1])
    if needed is not None:
        needed.update(dict.fromkeys(needs(node, arguments)))
    return cast(sympy.Expr, node(*arguments))


def _refuse_count(name: object, arguments: int) -> None:
    """Refuse what sympy would read as something else: log(x, b) with a base, x^y without evaluation."""
    wanted = arguments >= 2 if name in _MANY else arguments == (2 if name == "^" else 1)
    if not wanted:
        needed = "two or more" if name in _MANY else "two" if name == "^" else "one"
        remedy = "save it again"
        raise PruneproofError("from_tree", required=f"{needed} after {name!r}", received=arguments, remedy=remedy)


def _too_large(base: sympy.Expr, exponent: sympy.Expr) -> bool:
    """Would sympy or a rule multiply out a power that fills the memory? (A certificate may come from anyone.)"""
    if not isinstance(exponent, sympy.Rational):
        return False
    if _height(exponent) > MAX_EXPONENT:
        return True
    for factor in sympy.Mul.make_args(base):
        if isinstance(factor, sympy.Rational) and abs(exponent) * _height(factor).bit_length() > MAX_BITS:
            return True
        inner = factor.args[1] if isinstance(factor, sympy.Pow) else None
        if isinstance(inner, sympy.Rational) and _height(exponent * inner) > MAX_EXPONENT:
            return True
    return False


def _height(number: sympy.Rational) -> int:
    return max(abs(int(number.p)), int(number.q))


def _refuse_power(exponent: sympy.Expr) -> None:
    shown = str(exponent)[:20] if _height(cast(sympy.Rational, exponent)).bit_length() <= MAX_BITS else "a long number"
    raise PruneproofError(
        "from_tree",
        required=f"numbers of moderate size: exponents up to {MAX_EXPONENT}",
        received=f"a power with exponent {shown}",
        remedy="simplify it",
    )


def _refuse_long(number: sympy.Rational, where: str) -> None:
    bits = int(number.p).bit_length() + int(number.q).bit_length()
    if bits > MAX_RATIONAL:
        needed = f"rationals of at most {MAX_RATIONAL} bits"
        raise PruneproofError(where, required=needed, received=f"one of {bits} bits", remedy="simplify it")


def rational(text: object) -> sympy.Rational:
    """Read an exact rational from text such as "-3/4"."""
    digits = text.removeprefix("-").split("/") if isinstance(text, str) and len(text) <= MAX_DIGITS else []
    if not 1 <= len(digits) <= 2 or not all(part.isascii() and part.isdigit() for part in digits):
        received = text[:60] if isinstance(text, str) else type(text).__name__
        raise PruneproofError("rational", required='a rational such as "-3/4"', received=received, remedy="write p/q")
    if len(digits) == 2 and int(digits[1]) == 0:
        raise PruneproofError("rational", required="a denominator that is not zero", received=text, remedy="write p/q")
    return cast(sympy.Rational, sympy.Rational(cast(str, text)))
