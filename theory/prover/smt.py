"""Discharge a polynomial step with z3: the conditions and the negated claim have no common real solution.

The theory is that of real closed fields, which z3 decides exactly. A quotient is z3's, whose value at divisor 0 is
arbitrary: unsatisfiable then still means that the claim holds wherever it is defined. A satisfying model is the witness
against a false control. Conditions that contradict each other prove nothing and are reported.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from importlib import import_module
from typing import Any, Literal

import sympy

from pruneproof.errors import MissingPackageError, UnsupportedError

TIMEOUT = 20_000  # milliseconds a step; the slowest takes well under one second


def decide(claim: sympy.Basic, given: Iterable[sympy.Basic]) -> tuple[Literal["proved", "refuted", "undecided"], str]:
    """Whether the claim follows from the conditions, and the counterexample if it does not.

    Args:
        claim: A relation, or a Boolean combination of relations, between rational functions.
        given: The conditions.

    Returns:
        The verdict, and the witness against the claim or the reason why there is none.

    Raises:
        UnsupportedError: For what is not piecewise rational.
        MissingPackageError: Without z3.

    Example:
        >>> x = sympy.Symbol("x")
        >>> decide(x**2 > x, [x > 1])
        ('proved', '')
    """
    z3 = _z3()
    conditions = tuple(given)
    if _solver(z3, conditions).check() == z3.unsat:
        return "undecided", "the conditions contradict each other: anything would follow"
    solver = _solver(z3, (*conditions, sympy.Not(claim, evaluate=False)))
    answer = solver.check()
    if answer == z3.unsat:
        return "proved", ""
    if answer == z3.sat:
        model = solver.model()
        values = sorted(f"{name} = {model[name]}" for name in model.decls() if name.name() != "/0")
        return "refuted", ", ".join(values)
    return "undecided", str(solver.reason_unknown())


def _solver(z3: Any, conditions: tuple[sympy.Basic, ...]) -> Any:
    """A solver of its own, in a context of its own: what was asked before must not steer the search."""
    context = z3.Context()
    solver = z3.SolverFor("QF_NRA", ctx=context)
    solver.set("timeout", TIMEOUT)
    for condition in conditions:
        solver.add(_translate(condition, z3, context))
    return solver


def _z3() -> Any:
    try:
        return import_module("z3")
    except ImportError:
        raise MissingPackageError(
            "prove: the polynomial steps need z3, which is not installed. Run pip install 'pruneproof[proof]'."
        ) from None


def _translate(node: sympy.Basic, z3: Any, context: Any) -> Any:
    """A sympy formula as a z3 term; what is not piecewise rational is refused."""
    if isinstance(node, sympy.Symbol):
        return z3.Real(node.name, context)
    if isinstance(node, sympy.Rational):
        return z3.RealVal(str(node), context)
    if node in (sympy.true, sympy.false):
        return z3.BoolVal(bool(node), context)
    parts = [_translate(part, z3, context) for part in node.args]
    if isinstance(node, sympy.Pow) and isinstance(node.args[1], sympy.Integer):
        return _integer_power(parts[0], int(node.args[1]))
    rules: dict[object, Callable[..., Any]] = {
        sympy.Add: lambda *terms: reduce(lambda a, b: a + b, terms),
        sympy.Mul: lambda *terms: reduce(lambda a, b: a * b, terms),
        sympy.Max: lambda *terms: reduce(lambda a, b: z3.If(a >= b, a, b), terms),
        sympy.Min: lambda *terms: reduce(lambda a, b: z3.If(a <= b, a, b), terms),
        sympy.Abs: lambda term: z3.If(term >= 0, term, -term),
        sympy.And: z3.And,
        sympy.Or: z3.Or,
        sympy.Not: z3.Not,
        sympy.Eq: lambda left, right: left == right,
        sympy.Ge: lambda left, right: left >= right,
        sympy.Gt: lambda left, right: left > right,
        sympy.Le: lambda left, right: left <= right,
        sympy.Lt: lambda left, right: left < right,
    }
    if node.func not in rules:
        raise UnsupportedError(
            f"prove: a step without a box is given to z3, which has no {node.func.__name__} as in {node}. "
            "Introduce a symbol for it, or give the step a box."
        )
    return rules[node.func](*parts)


def _integer_power(base: Any, exponent: int) -> Any:
    product = reduce(lambda a, b: a * b, [base] * abs(exponent))
    return product if exponent > 0 else 1 / product
