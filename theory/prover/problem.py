"""An inequality on a box as exact data: read from sympy or from a certificate, written to a certificate.

Both ways lead through the same trees, so that what was searched and what is re-checked is the same formula.
Symbols come back without assumptions: nothing is simplified on the ground of a sign. What sympy cancels when
it subtracts the two sides is refused (see `expressions`). A range that ends at π or at -∞ is written in
another variable; a problem is a list of pieces with rational ends.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import cast

import sympy
from flint import fmpq

from pruneproof.errors import FileFormatError, InvalidTypeError, InvalidValueError, described

from .box import MAX_SYMBOLS, Box, Chart, Range, region
from .expressions import RESERVED, Need, Tree, from_tree, rational, refuse_cancelled, to_tree
from .rules import Gap

_RELATIONS: dict[type[sympy.Basic], str] = {sympy.Gt: ">", sympy.Ge: ">=", sympy.Lt: "<", sympy.Le: "<="}
_NAME = re.compile(r"[^\W\d]\w*'*")  # shown to whoever checks: it must not look like a formula or steer the terminal


@dataclass(frozen=True, eq=False)
class Piece:
    """One part of a problem, on a box of rational ends of which the upper ones may be infinite.

    Args:
        gap: The f, positive where the inequality holds.
        given: The conditions.
        box: The ranges.
        charts: How the variables of the problem are written in those of the piece.
    """

    gap: Gap
    given: tuple[Gap, ...]
    box: Box
    charts: tuple[Chart, ...]

    def excludes(self, point: tuple[fmpq, ...]) -> bool:
        """Is the point outside the box, or not certain to satisfy the conditions?"""
        inside = all(side.contains(x) for side, x in zip(self.box, point, strict=True))
        return not (inside and all(condition.positive(condition.tape(*point)) for condition in self.given))

    def original(self, point: tuple[fmpq, ...]) -> dict[str, sympy.Expr | fmpq]:
        """A point of the piece in the variables of the problem: rationals, or formulas where an end is a constant."""
        found: dict[str, sympy.Expr | fmpq] = {}
        for symbol, chart, t in zip(self.gap.symbols, self.charts, point, strict=True):
            x = chart.at(sympy.Rational(int(t.p), int(t.q)))
            found[symbol.name] = fmpq(int(x.p), int(x.q)) if isinstance(x, sympy.Rational) else x
        return found


@dataclass(frozen=True, eq=False)
class Problem:
    """The question "is the inequality true at every point of the box where all `given` conditions hold?".

    Args:
        ranges: Name of a variable → its range as given.
        statements: The inequality and the conditions, as [relation, left tree, right tree].
        pieces: The same on boxes of rational ends.
    """

    ranges: Mapping[str, Range]
    statements: tuple[list[object], ...]
    pieces: tuple[Piece, ...]

    @property
    def gap(self) -> Gap:
        """f on the first piece."""
        return self.pieces[0].gap

    @property
    def given(self) -> tuple[Gap, ...]:
        """The conditions on the first piece."""
        return self.pieces[0].given

    @property
    def box(self) -> Box:
        """The box of the first piece."""
        return self.pieces[0].box

    def __str__(self) -> str:
        """The question in one line, as `x**2 >= 0 for x in [0, 1], given x > 0`."""
        names = {name: sympy.Symbol(name, real=True) for name in self.ranges}
        claim, *given = [
            f"{from_tree(left, names)} {relation} {from_tree(right, names)}"
            for relation, left, right in self.statements
        ]
        ranges = ", ".join(f"{name} in {side}" for name, side in self.ranges.items())
        return f"{claim} for {ranges}" + (f", given {', '.join(given)}" if given else "")

    def as_json(self) -> dict[str, object]:
        """The problem as plain data."""
        rows = [
            [name, _end_to_json(side.low), _end_to_json(side.high), side.low_open, side.high_open]
            for name, side in self.ranges.items()
        ]
        return {"inequality": self.statements[0], "given": list(self.statements[1:]), "box": rows}


def _end_to_json(end: sympy.Expr) -> Tree | None:
    """`null` for an infinite end, text for a rational, else a tree."""
    if not end.is_finite:
        return None
    return str(end) if isinstance(end, sympy.Rational) else to_tree(end, where="prove")


def problem(
    inequality: object, box: Mapping[sympy.Symbol, object], given: Iterable[object] = (), *, where: str = "prove"
) -> Problem:
    """Read an inequality, a box and conditions.

    Args:
        inequality: A sympy `<`, `<=`, `>` or `>=`.
        box: Symbol → range.
        given: Inequalities to assume.
        where: The function to be named in messages.

    Returns:
        The problem.

    Raises:
        PruneproofError: For floats, unknown functions, symbols without a range or of an unfit name, and
            inequalities in which a pole or a logarithm cancels.
    """
    if not isinstance(given, Iterable):
        raise InvalidTypeError(f"{where}: the conditions must be a list, got {described(given)}. Pass given=[…].")
    relations = [_relation(item, where) for item in (inequality, *given)]
    statements = [_statement(relation, where) for relation in relations]
    sides = region(box, where=where)
    free = set[sympy.Basic]().union(*(relation.free_symbols for relation in relations))
    missing = sorted(map(str, free - sides.keys()))
    if missing:
        raise InvalidValueError(
            f"{where}: a range for every symbol is needed, and {', '.join(missing)} has none. Add it to the box."
        )
    ranges = {symbol.name: side for symbol, side in sides.items()}
    if len(ranges) != len(sides):
        raise InvalidValueError(f"{where}: two symbols have the same name in {list(sides)}. Rename one.")
    return _assemble(statements, ranges, where)


def problem_from_json(data: object) -> Problem:
    """Read a problem from a certificate; what is malformed raises an exception, which `verify` reports."""
    fields = cast("dict[str, list[object]]", data)
    rows = [cast("list[object]", row) for row in fields["box"]]
    statements = [fields["inequality"], *cast("list[list[object]]", fields["given"])]
    ranges = dict(_range(row) for row in rows)
    if not (1 <= len(rows) <= MAX_SYMBOLS and len(ranges) == len(rows)):
        raise ValueError("one to three symbols of different names")
    return _assemble(statements, ranges, "check")


def _range(row: list[object]) -> tuple[str, Range]:
    """A row `[name, low, high, low_open, high_open]` of a certificate."""
    name, first, last, low_open, high_open = row
    if not (isinstance(name, str) and type(low_open) is bool and type(high_open) is bool):
        raise ValueError("a range is [name, low, high, low_open, high_open], the last two true or false")
    symbol = sympy.Symbol("_", real=True)
    low, high = _end_from_json(first, -sympy.oo), _end_from_json(last, sympy.oo)
    interval = sympy.Interval(low, high, low_open, high_open) if low.is_finite and high.is_finite else None
    if interval is not None and interval.is_empty:
        raise ValueError(f"the range {low} … {high} is empty")
    side = region({symbol: (low, high)}, where="check")[symbol]
    return name, Range(side.low, side.high, side.low_open or low_open, side.high_open or high_open)


def _end_from_json(end: object, infinite: sympy.Expr) -> sympy.Expr:
    if end is None:
        return infinite
    return rational(end) if isinstance(end, str) else from_tree(end, {})


def _relation(item: object, where: str) -> sympy.Rel:
    if not isinstance(item, tuple(_RELATIONS)):
        raise InvalidTypeError(
            f"{where}: an inequality must be one of <, <=, >, >=, got {described(item)}. Pass e.g. "
            "sympy.Gt(left, right, evaluate=False), for sympy decides some by itself."
        )
    return cast(sympy.Rel, item)


def _statement(relation: sympy.Rel, where: str) -> list[object]:
    left, right = relation.args
    return [_RELATIONS[type(relation)], to_tree(left, where=where), to_tree(right, where=where)]


def _assemble(statements: list[list[object]], ranges: dict[str, Range], where: str) -> Problem:
    strange = [name for name in ranges if not _NAME.fullmatch(name)]
    if strange:
        raise InvalidValueError(
            f"{where}: symbols need plain names, letters, digits and _, a letter first, got {ascii(strange[0])[:60]}. "
            "Rename it."
        )
    taken = [name for name in ranges if name in RESERVED]
    if taken:
        raise InvalidValueError(
            f"{where}: a symbol is called {taken[0]}, which reads as the constant or function of that name. Rename it."
        )
    names = {name: sympy.Symbol(name, real=True) for name in ranges}
    differences = [_difference(statement, names, where) for statement in statements]
    choices = product(*(side.charts() for side in ranges.values()))
    pieces = tuple(_piece(differences, tuple(names.values()), charts, where) for charts in choices)
    return Problem(ranges, tuple(statements), pieces)


@dataclass(frozen=True, eq=False)
class _Difference:
    """left - right (or right - left), what the two sides need as written, and whether it must be positive."""

    formula: sympy.Expr
    needed: tuple[Need, ...]
    strict: bool


def _difference(statement: list[object], names: dict[str, sympy.Symbol], where: str) -> _Difference:
    relation, *sides = statement
    if relation not in _RELATIONS.values():
        raise FileFormatError(
            f"{where}: a relation is one of <, <=, >, >=, got {ascii(relation)[:60]}. Prove it again."
        )
    needed: dict[Need, None] = {}
    left, right = (from_tree(side, names, needed=needed) for side in sides)
    formula = left - right if relation in (">", ">=") else right - left
    refuse_cancelled(needed, formula, where=where)
    return _Difference(formula, tuple(needed), relation in (">", "<"))


def _piece(
    differences: list[_Difference], symbols: tuple[sympy.Symbol, ...], charts: tuple[Chart, ...], where: str
) -> Piece:
    moved = {symbol: chart.at(symbol) for symbol, chart in zip(symbols, charts, strict=True) if not chart.plain}
    gaps: list[Gap] = []
    for difference in differences:
        formula = cast(sympy.Expr, difference.formula.xreplace(moved)) if moved else difference.formula
        if moved:  # what sympy simplifies when it substitutes must not hide anything either
            refuse_cancelled(
                [(cast(sympy.Expr, part.xreplace(moved)), need) for part, need in difference.needed],
                formula,
                where=where,
            )
        gaps.append(Gap(formula, symbols, difference.strict))
    return Piece(gaps[0], tuple(gaps[1:]), tuple(chart.side for chart in charts), charts)
