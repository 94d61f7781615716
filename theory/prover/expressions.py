"""Formulas as nested lists that JSON can hold, and back, without ever evaluating text; and where they are defined.

A certificate may come from anyone, so `sympy.sympify` (which runs Python) must not read it. The tree names
each node: `["+", …]`, `["^", base, exponent]`, `["log", x]`, `"u"` for a symbol and `["q", "1/3"]` for an
exact rational. What is too deep or too large to check is refused on both ways, so that whatever is written
can be read.

`1/x + 1 > 1/x` becomes `1 > 0` when sympy subtracts, and `exp(log(x))` becomes `x`: what is left is defined
where the formula that somebody wrote is not. So every divisor, every argument of a logarithm and every
radicand of the formula as written must be in the difference as well, where the rules look at it, or be
known to be defined everywhere, as 1 + x² is positive for a real x.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

import sympy

from pruneproof.errors import FileFormatError, InvalidValueError, UnsupportedError

Domain = Literal["positive", "nonnegative", "nonzero"]
Need = tuple[sympy.Expr, Domain]


def needs(function: object, arguments: Sequence[sympy.Basic]) -> Iterator[Need]:
    """What one node asks of its arguments, so that it is defined.

    Args:
        function: The node's function.
        arguments: Its arguments.

    Yields:
        Formulas with the sign that they must have.

    Example:
        >>> x, y = sympy.symbols("x y", real=True)
        >>> list(needs(sympy.log, [x])), list(needs(sympy.Pow, [x, sympy.Integer(-1)]))
        ([(x, 'positive')], [(x, 'nonzero')])
        >>> list(needs(sympy.Pow, [x, y])), list(needs(sympy.asin, [x]))
        ([(x, 'positive')], [(1 - x**2, 'nonnegative')])
    """
    if function is sympy.log:
        yield cast(sympy.Expr, arguments[0]), "positive"
    if function is sympy.tan:
        yield sympy.cos(arguments[0]), "nonzero"
    if function is sympy.asin or function is sympy.acos:
        yield 1 - cast(sympy.Expr, arguments[0]) ** 2, "nonnegative"
    if function is sympy.Pow:
        base, exponent = cast("Sequence[sympy.Expr]", arguments)
        if not exponent.is_integer:
            yield base, "nonnegative" if exponent.is_positive else "positive"
        elif not exponent.is_positive:
            yield base, "nonzero"


def all_needs(formula: sympy.Basic) -> dict[Need, None]:
    """What all nodes of a formula ask for, inner ones last, each once; without what holds for all real numbers."""
    found = (need for node in sympy.preorder_traversal(formula) for need in needs(node.func, node.args))
    return dict.fromkeys((part, domain) for part, domain in found if not getattr(part, f"is_{domain}"))


def refuse_cancelled(written: Iterable[Need], difference: sympy.Expr, *, where: str) -> None:
    """Refuse an inequality in which something that may be undefined is gone.

    Args:
        written: What the formula as written needs.
        difference: The difference of its two sides.
        where: The function to be named in messages.

    Raises:
        InvalidValueError: If a need of the formula as written is not one of the difference.
    """
    found = {need for node in sympy.preorder_traversal(difference) for need in needs(node.func, node.args)}
    found |= {(part, weaker) for part, domain in found if domain == "positive" for weaker in ("nonnegative", "nonzero")}
    kept = {_normal(need) for whole in found for need in _factors(whole)}
    for part, domain in (need for whole in written for need in _factors(whole)):
        if _normal((part, domain)) not in kept and not getattr(part, f"is_{domain}"):
            raise InvalidValueError(
                f"{where}: the poles, logarithms and roots of an inequality must not cancel, but {part}, which must be "
                f"{domain}, is gone from {difference}. Cancel it yourself, on a box where it is defined."
            )


def _factors(need: Need) -> Iterator[Need]:
    """A product or a power is not zero where no factor and no base is."""
    part, domain = need
    if domain != "nonzero" or not (part.is_Mul or (part.is_Pow and part.args[1].is_positive)):
        yield need
        return
    for factor in part.args if part.is_Mul else part.args[:1]:
        yield from _factors((cast(sympy.Expr, factor), domain))


def _normal(need: Need) -> Need:
    """The same need without a constant factor that does not matter to it: 2x is positive where x is."""
    part, domain = need
    factor, rest = part.as_independent(*part.free_symbols, as_Add=False) if part.free_symbols else (sympy.S.One, part)
    kept = rest if factor.is_positive or (domain == "nonzero" and factor.is_nonzero) else part
    return (-kept if domain == "nonzero" and kept.could_extract_minus_sign() else kept), domain


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
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "asin": sympy.asin,
    "acos": sympy.acos,
    "atan": sympy.atan,
    "erf": sympy.erf,
    "erfc": sympy.erfc,
}


_NODES: dict[str, type[sympy.Basic]] = {**_MANY, "^": sympy.Pow, **_ONE}
_NAMES = {node: name for name, node in _NODES.items()}
_CONSTANTS: dict[str, sympy.Expr] = {"pi": sympy.pi, "e": sympy.E, "euler": sympy.EulerGamma}
CONSTANTS = {**_CONSTANTS, "E": sympy.E, "oo": sympy.oo}  # by the names under which they are typed
FUNCTIONS = {**_ONE, "max": sympy.Max, "min": sympy.Min, "sqrt": sympy.sqrt, "ln": sympy.log}  # by their usual names
_READ_AS_OTHER = (*FUNCTIONS, *_CONSTANTS, "oo", "inf", "infinity", "nan", "zoo")
RESERVED = frozenset({"I", *_READ_AS_OTHER, *map(str.upper, _READ_AS_OTHER), *map(str.capitalize, _READ_AS_OTHER)})


def to_tree(expression: sympy.Basic, *, where: str = "to_tree", depth: int = 0) -> Tree:
    """Write a formula as a tree.

    Args:
        expression: The formula.
        where: The function to be named in messages.
        depth: How deep the formula stands in another one.

    Returns:
        Nested lists of texts.

    Raises:
        UnsupportedError: For a function that has no name here.
        InvalidValueError: For floats and for what is too deep or too long to be checked.

    Example:
        >>> u = sympy.Symbol("u")
        >>> to_tree(sympy.log(1 + u) / 3)
        ['*', ['q', '1/3'], ['log', ['+', ['q', '1'], 'u']]]
    """
    if isinstance(expression, sympy.Symbol):
        return expression.name
    if depth > MAX_DEPTH:
        raise InvalidValueError(
            f"{where}: the formula is nested more than {MAX_DEPTH} deep. Write it flatter, or name a part of it."
        )
    if isinstance(expression, sympy.Rational):
        _refuse_long(expression, where)
        return ["q", str(expression)]
    for name, constant in _CONSTANTS.items():
        if expression == constant:
            return ["constant", name]
    if expression.func not in _NAMES:
        received = f"the float {expression}" if isinstance(expression, sympy.Float) else expression.func.__name__
        raise UnsupportedError(
            f"{where}: an inequality must be an exact elementary formula, got {received}. Use exact rationals and "
            f"{', '.join(_NODES)}."
        )
    return [_NAMES[expression.func], *[to_tree(part, where=where, depth=depth + 1) for part in expression.args]]


def from_tree(
    tree: object, symbols: dict[str, sympy.Symbol], *, depth: int = 0, needed: dict[Need, None] | None = None
) -> sympy.Expr:
    """Read a tree back.

    Args:
        tree: What `to_tree` wrote, or anything that claims to be it.
        symbols: Name → symbol.
        depth: How deep the tree stands in another one.
        needed: Where to note what the formula needs in order to be defined, before sympy simplifies it.

    Returns:
        The formula.

    Raises:
        FileFormatError: For anything that `to_tree` does not write.
    """
    if isinstance(tree, str) and tree in symbols:
        return symbols[tree]
    if not isinstance(tree, list) or len(cast("list[object]", tree)) < 2 or depth > MAX_DEPTH:
        received = tree[:60] if isinstance(tree, str) else "a deep or empty list"
        received = received if isinstance(tree, str | list) else type(tree).__name__
        raise FileFormatError(f"check: {received!r} is no formula tree. Prove the inequality again and save it.")
    name, *parts = cast("list[object]", tree)
    _refuse_count(name, len(parts))
    if name == "q":
        return rational(parts[0])
    if name == "constant" and parts[0] in _CONSTANTS:
        return _CONSTANTS[cast(str, parts[0])]
    if name not in _NODES:
        raise FileFormatError(
            f"check: a formula tree has the nodes {', '.join(_NODES)}, got {ascii(name)[:40]}. Prove it again."
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
        raise FileFormatError(
            f"check: {str(name)[:40]!r} takes {needed} arguments, got {arguments}. Prove it again and save it."
        )


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
    raise InvalidValueError(
        f"prove: numbers must be of moderate size, exponents up to {MAX_EXPONENT}, got a power with exponent {shown}. "
        "Simplify it."
    )


def _refuse_long(number: sympy.Rational, where: str) -> None:
    bits = int(number.p).bit_length() + int(number.q).bit_length()
    if bits > MAX_RATIONAL:
        raise InvalidValueError(f"{where}: rationals may have {MAX_RATIONAL} bits, got one of {bits}. Simplify it.")


def rational(text: object) -> sympy.Rational:
    """Read an exact rational from text.

    Args:
        text: Such as `"-3/4"`.

    Returns:
        The number.

    Raises:
        FileFormatError: For anything else.
    """
    digits = text.removeprefix("-").split("/") if isinstance(text, str) and len(text) <= MAX_DIGITS else []
    if not 1 <= len(digits) <= 2 or not all(part.isascii() and part.isdigit() for part in digits):
        received = ascii(text)[:60] if isinstance(text, str) else type(text).__name__
        raise FileFormatError(f'check: an exact rational is written like "-3/4", got {received}. Write p/q.')
    if len(digits) == 2 and int(digits[1]) == 0:
        raise FileFormatError(f"check: a denominator must not be zero, got {text}. Write p/q with q > 0.")
    return cast(sympy.Rational, sympy.Rational(cast(str, text)))
