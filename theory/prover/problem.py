"""An inequality on a box as exact data: read from sympy or from a certificate, written to a certificate.

Both ways lead through the same trees, so that what was searched and what is re-checked is the same formula. Symbols
come back without assumptions: nothing is simplified on the ground of a sign. What sympy cancels when it subtracts the
two sides is refused (see `definedness`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import sympy
from flint import fmpq

from pruneproof.errors import PruneproofError

from .box import MAX_SYMBOLS, Box, Side, region
from .expressions import Need, from_tree, rational, refuse_cancelled, to_tree
from .rules import Gap

_RELATIONS: dict[type[sympy.Basic], str] = {sympy.Gt: ">", sympy.Ge: ">=", sympy.Lt: "<", sympy.Le: "<="}
_NAME = re.compile(r"[^\W\d]\w*'*")  # shown to whoever checks: it must not look like a formula or steer the terminal


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

    def __str__(self) -> str:
        """The question in one line, as `x**2 >= 0 for x in [0, 1], given x > 0`."""
        names = {symbol.name: symbol for symbol in self.gap.symbols}
        claim, *given = [
            f"{from_tree(left, names)} {relation} {from_tree(right, names)}"
            for relation, left, right in self.statements
        ]
        ranges = ", ".join(f"{name} in {side}" for name, side in zip(names, self.box, strict=True))
        return f"{claim} for {ranges}" + (f", given {', '.join(given)}" if given else "")

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
    if not isinstance(given, Iterable):
        raise PruneproofError(where, required="a list of conditions", received=str(given), remedy="pass given=[…]")
    relations = [_relation(item, where) for item in (inequality, *given)]
    statements = [_statement(relation, where) for relation in relations]
    sides = region(box, where=where)
    free = set[sympy.Basic]().union(*(relation.free_symbols for relation in relations))
    missing = sorted(map(str, free - sides.keys()))
    if missing:
        received = f"none for {', '.join(missing)}"
        raise PruneproofError(where, required="a range for every symbol", received=received, remedy="add it to the box")
    names = {symbol.name: sympy.Symbol(symbol.name, real=True) for symbol in sides}
    if len(names) != len(sides):
        raise PruneproofError(where, required="symbols of different names", received=str(list(sides)), remedy="rename")
    return _assemble(statements, names, tuple(sides.values()), where)


def problem_from_json(data: object) -> Problem:
    """Read a problem from a certificate; what is malformed raises some exception, which `verify` tells in one line."""
    fields = cast("dict[str, list[object]]", data)
    rows = [cast("list[object]", row) for row in fields["box"]]
    statements = [fields["inequality"], *cast("list[list[object]]", fields["given"])]
    sides = dict(_side(row) for row in rows)
    if not (1 <= len(rows) <= MAX_SYMBOLS and len(sides) == len(rows)):
        raise ValueError("one to three symbols of different names")
    names = {name: sympy.Symbol(name, real=True) for name in sides}
    return _assemble(statements, names, tuple(sides.values()), "check")


def _side(row: list[object]) -> tuple[str, Side]:
    """A row `[name, low, high, low_open, high_open]` of a certificate."""
    name, first, last, low_open, high_open = row
    if not (isinstance(name, str) and type(low_open) is bool and type(high_open) is bool):
        raise ValueError("a range is [name, low, high, low_open, high_open], the last two true or false")
    low, high = rational(first), None if last is None else rational(last)
    side = Side(_fmpq(low), None if high is None else _fmpq(high), low_open, high_open)
    if side.high is not None and not side.low < side.high:
        raise ValueError(f"the range {side} is empty")
    return name, side


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


def _assemble(statements: list[list[object]], names: dict[str, sympy.Symbol], box: Box, where: str) -> Problem:
    strange = [name for name in names if not _NAME.fullmatch(name)]
    if strange:
        remedy = "use letters, digits and _, a letter first"
        raise PruneproofError(where, required="plain names for symbols", received=ascii(strange[0])[:60], remedy=remedy)
    gaps = [_gap(statement, names, where) for statement in statements]
    return Problem(gaps[0], box, tuple(gaps[1:]), tuple(statements))


def _gap(statement: list[object], names: dict[str, sympy.Symbol], where: str) -> Gap:
    relation, *sides = statement
    if relation not in _RELATIONS.values():
        required = "a relation <, <=, >, >="
        raise PruneproofError(where, required=required, received=ascii(relation)[:60], remedy="prove it again")
    needed: dict[Need, None] = {}
    left, right = (from_tree(side, names, needed=needed) for side in sides)
    difference = left - right if relation in (">", ">=") else right - left
    refuse_cancelled(needed, difference, where=where)
    return Gap(difference, tuple(names.values()), relation in (">", "<"))
