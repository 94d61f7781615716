"""An inequality on a box as exact data: read from sympy or from a certificate, written to a certificate.

Both ways lead through the same trees, so that what was searched and what is re-checked is the same formula. Symbols
come back without assumptions: nothing is simplified on the ground of a sign.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import sympy
from flint import fmpq

from ..errors import PruneproofError
from .expression_tree import from_tree, rational, to_tree
from .leaves import Gap
from .region import MAX_SYMBOLS, Box, Side, region

_RELATIONS: dict[type[sympy.Basic], str] = {sympy.Gt: ">", sympy.Ge: ">=", sympy.Lt: "<", sympy.Le: "<="}


@dataclass(frozen=True, eq=False)
class Problem:
    """The question "is the inequality true at every point of the box where all `given` conditions hold?"."""

    gap: Gap
    box: Box
    given: tuple[Gap, ...]
    statements: tuple[list[object], ...]  # the inequality and the conditions, as [relation, left tree, right tree]

    def excludes(self, point: tuple[fmpq, ...]) -> bool:
        """Is the point outside the box, or not certain to satisfy the conditions?"""
        inside = all(side.contains(x) for side, x in zip(self.box, point, strict=True))
        return not (inside and all(condition.positive(condition.tape(*point)) for condition in self.given))

    def as_json(self) -> dict[str, object]:
        """The problem as plain data."""
        sides = [
            [name.name, str(side.low), None if side.high is None else str(side.high), side.low_open, side.high_open]
            for name, side in zip(self.gap.symbols, self.box, strict=True)
        ]
        return {"inequality": self.statements[0], "given": list(self.statements[1:]), "box": sides}


def problem(
    inequality: object, box: Mapping[sympy.Symbol, object], given: Iterable[object] = (), *, where: str = "prove"
) -> Problem:
    """Read an inequality, a box and conditions; floats, unknown functions and symbols without a range are refused."""
    relations = [_relation(item, where) for item in (inequality, *given)]
    sides = region(box, where=where)
    free = set[sympy.Basic]().union(*(relation.free_symbols for relation in relations))
    missing = sorted(map(str, free - sides.keys()))
    if missing:
        received = f"none for {', '.join(missing)}"
        raise PruneproofError(where, required="a range for every symbol", received=received, remedy="add it to the box")
    names = {symbol.name: sympy.Symbol(symbol.name, real=True) for symbol in sides}
    if len(names) != len(sides):
        raise PruneproofError(where, required="symbols of different names", received=str(list(sides)), remedy="rename")
    statements = [_statement(relation, where) for relation in relations]
    return _assemble(statements, names, tuple(sides.values()))


def problem_from_json(data: object) -> Problem:
    """Read a problem from a certificate; anything malformed is refused."""
    try:
        fields = cast("dict[str, list[object]]", data)
        rows = [cast("list[object]", row) for row in fields["box"]]
        statements = [fields["inequality"], *cast("list[list[object]]", fields["given"])]
        names = {str(row[0]): sympy.Symbol(str(row[0]), real=True) for row in rows}
        sides = tuple(_side(row) for row in rows)
        if not (1 <= len(rows) <= MAX_SYMBOLS and len(names) == len(rows)):
            raise ValueError("one to three symbols of different names")
        return _assemble(statements, names, sides)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, PruneproofError):
            raise
        raise PruneproofError(
            "check", required="a certificate", received=str(error), remedy="prove it again"
        ) from error


def _side(row: list[object]) -> Side:
    low, high = rational(row[1]), None if row[2] is None else rational(row[2])
    side = Side(_fmpq(low), None if high is None else _fmpq(high), row[3] is True, row[4] is True)
    if side.high is not None and not side.low < side.high:
        raise ValueError(f"the range {side} is empty")
    return side


def _fmpq(number: sympy.Rational) -> fmpq:
    return fmpq(int(number.p), int(number.q))


def _relation(item: object, where: str) -> sympy.Rel:
    if not isinstance(item, tuple(_RELATIONS)):
        remedy = "pass e.g. sympy.Gt(left, right, evaluate=False), for sympy decides some by itself"
        raise PruneproofError(where, required="an inequality <, <=, >, >=", received=str(item), remedy=remedy)
    return cast(sympy.Rel, item)


def _statement(relation: sympy.Rel, where: str) -> list[object]:
    left, right = relation.args
    return [_RELATIONS[type(relation)], to_tree(left, where=where), to_tree(right, where=where)]


def _assemble(statements: list[list[object]], names: dict[str, sympy.Symbol], box: Box) -> Problem:
    gaps = [_gap(statement, names) for statement in statements]
    return Problem(gaps[0], box, tuple(gaps[1:]), tuple(statements))


def _gap(statement: list[object], names: dict[str, sympy.Symbol]) -> Gap:
    relation, left, right = statement[0], from_tree(statement[1], names), from_tree(statement[2], names)
    if relation not in _RELATIONS.values():
        raise PruneproofError("check", required="a relation <, <=, >, >=", received=relation, remedy="prove it again")
    difference = left - right if relation in (">", ">=") else right - left
    return Gap(difference, tuple(names.values()), relation in (">", "<"))
