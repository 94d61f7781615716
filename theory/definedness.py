"""What a formula as written divides by, or takes a logarithm or a fractional power of; sympy may cancel it.

`1/x + 1 > 1/x` becomes `1 > 0` when sympy subtracts, and `exp(log(x))` becomes `x`: what is left is defined where the
formula that somebody wrote is not. So every such part of the formula as written must be in the difference as well,
where the rules look at it, or be known to be defined everywhere, as 1 + x² is positive for a real x.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

import sympy

from ..errors import PruneproofError

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
