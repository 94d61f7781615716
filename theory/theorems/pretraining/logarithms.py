"""Where each logarithm and each ratio in the length of pre-training comes from: log k, log L₀, log m, m/d, m²/d.

Nothing is typed in: every entry is taken out of the statements by sympy, so a change of a statement
changes the table.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import sympy

from pruneproof.theory.theorems.greedy.statement import k

from .gradient_descent import L_0, B, X, d, eta, m
from .thresholds import PUBLISHED_SHAPE, T1_CONDITION, T1_THRESHOLD, T3_THRESHOLD

if TYPE_CHECKING:
    from rich.table import Table

mean = sympy.Symbol("mean", positive=True)  # mean loss of one example at the start


@dataclass(frozen=True)
class Origin:
    """One factor of the pre-training length: which, in which statement, its term there, why, and when."""

    factor: str
    statement: str
    term: sympy.Expr
    why: str
    when: str


def origins() -> tuple[Origin, ...]:
    """The terms of the thresholds, in the order log k, log L₀, log m (twice), m/d, m²/d.

    >>> [origin.factor for origin in origins()]
    ['log k', 'log L₀', 'log m', 'log m', 'm/d', 'm²/d']
    >>> origins()[0].term
    -log(k)/(2*log(q))
    """
    threshold = _inside(T1_THRESHOLD.expr)
    summed = sympy.expand(sympy.expand_log(threshold.subs(L_0, m * mean), force=True))
    every_example = _inside(T3_THRESHOLD.expr)
    generic = _inside(T1_CONDITION.expr).subs(eta, 1 / (B**2 * X**2)).subs(X, sympy.sqrt(m / d))
    shape = PUBLISHED_SHAPE.series("m", sympy.oo, 0).removeO()
    fixed = "a fixed contraction q, i.e. a fixed condition number"
    return (
        Origin("log k", "T1", _term(threshold, k), "the dense loss must fall to V/(2k), the floor of k neurons", fixed),
        Origin("log L₀", "T1", _term(threshold, L_0), "it falls from L₀ by a constant factor a step", fixed),
        Origin("log m", "T1", _term(summed, m), "L₀ is a sum over the m examples", f"loss not divided by m; {fixed}"),
        Origin("log m", "T3", _term(every_example, m), "no example may be lost: the loss must be below 1/(2m)", fixed),
        Origin("m/d", "T1", _term(generic, k), "κ = B²‖X‖²/λ₀ and ‖X‖² ≈ m/d", "gradient descent, generic unit inputs"),
        Origin("m²/d", "published shape", shape, "contraction 1 - c·d/m² a step", "SGD, c unspecified, m² ≫ d"),
    )


def _inside(expression: sympy.Expr) -> sympy.Expr:
    """The threshold before it is rounded up and cut at zero, its logarithms expanded."""
    [rounded] = expression.atoms(sympy.ceiling)
    return cast(sympy.Expr, sympy.expand(sympy.expand_log(rounded.args[0], force=True)))


def _term(expression: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    """The part of a sum that carries the logarithm of a symbol."""
    return expression.coeff(sympy.log(symbol)) * sympy.log(symbol)


def origin_table() -> "Table":
    """The table for the terminal (`rich.print`)."""
    from rich.table import Table

    table = Table(
        "factor", "statement", "term", "comes from", "holds for", title="Where the pre-training length comes from"
    )
    for origin in origins():
        table.add_row(origin.factor, origin.statement, str(origin.term), origin.why, origin.when)
    return table
