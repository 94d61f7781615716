"""A statement as a formula with a name, a source and assumptions, evaluated with a certified rounding direction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import sympy
from flint import arb, fmpq
from sympy.logic.boolalg import Boolean

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic import balls
from pruneproof.theory.arithmetic.inversion import crossing

Sense = Literal["<=", ">=", "=="]
Status = Literal["published", "shape", "derived"]
_DIRECTION = {"<=": +1, ">=": -1, "==": 0}


@dataclass(frozen=True)
class Assumption:
    """One condition under which a statement holds.

    **Arguments:** `text`, the condition in words; `condition`, the same as a sympy relation over the statement's
    symbols, or `None` when their values cannot decide it.

    >>> steps = sympy.Symbol("k", positive=True)
    >>> Assumption("at least one step", steps >= 1).condition
    k >= 1
    """

    text: str
    condition: Boolean | None = None


@dataclass(frozen=True, eq=False)
class Bound:
    """The statement "measured quantity `sense` `expr`", under assumptions.

    **Arguments:** `name`, e.g. `"G1"`; `statement`, one sentence; `source`, where it is proved; `status`: `"published"`
    (checked in the paper), `"shape"` (the published form, constants symbolic), `"derived"` (proved in this package);
    `symbols`, symbol → "meaning (unit)"; `assumptions`; `expr`, the right-hand side; `sense`, one of `<=`, `>=`, `==`;
    `obligations`, the ids of the machine-checked steps of its proof.

    Values are given by symbol name. A float stands for the binary fraction it stores.

    >>> k, V = sympy.symbols("k V", positive=True)
    >>> symbols = {k: "size (units)", V: "spread"}
    >>> Bound("demo", "loss <= V/(2k)", "none", "derived", symbols, (), V / (2 * k), "<=").bound(k=3, V=1)
    0.16666666666666669
    """

    name: str
    statement: str
    source: str
    status: Status
    symbols: Mapping[sympy.Symbol, str]
    assumptions: tuple[Assumption, ...]
    expr: sympy.Expr
    sense: Sense
    obligations: tuple[str, ...] = ()

    def bound(self, **values: object) -> float:
        """The value of `expr`, rounded so that the statement stays true: up for `<=`, down for `>=`, nearest for `==`.

        **Arguments:** one number per symbol that `expr` contains; others may be given and are ignored.
        Raises `PruneproofError` for a missing, unknown or non-finite value, and where `expr` is undefined.
        """
        return balls.rounded(self.enclose(**values), _DIRECTION[self.sense])

    def enclose(self, **values: object) -> arb:
        """A ball that contains the exact value of `expr`; arguments as for `bound`."""
        given = self._given(values)
        missing = sorted(map(str, self.expr.free_symbols - given.keys()))
        if missing:
            self._refuse("enclose", f"a value for {', '.join(missing)}", sorted(values), "add them")
        used = {symbol: given[symbol] for symbol in self.symbols if symbol in self.expr.free_symbols}
        return balls.enclose(self.expr, used, where=f"{self.name}.enclose")

    def solve(self, symbol: str, *, value: object, **values: object) -> arb:
        """The value of one symbol at which `expr` equals `value`: in closed form if it occurs once, else by bisection.

        **Arguments:** `symbol`, its name; `value`, the target; one number for each other symbol of `expr`.
        Returns a ball that contains a solution (a point of crossing, where `expr` jumps); `float` gives its middle.
        Raises `PruneproofError` when `expr` never takes the value for positive numbers.

        >>> from pruneproof.theory.theorems.greedy.statement import G2
        >>> round(float(G2.solve("k", value=0.02, D_y=1, gamma=0.5)), 12)
        5.0
        """
        unknown = self._symbol(symbol)
        given = self._given(values)
        known = {name: given[name] for name in given if name in self.expr.free_symbols and name != unknown}
        missing = self.expr.free_symbols - known.keys() - {unknown}
        if missing or unknown not in self.expr.free_symbols:
            needed = f"values for every symbol of {self.expr} but one"
            self._refuse("solve", needed, [symbol, *sorted(values)], "give each of the others a value")
        return crossing(self.expr, unknown, value, known, where=f"{self.name}.solve")

    def series(self, symbol: str, point: int | sympy.Expr, order: int) -> sympy.Expr:
        """The expansion of `expr` in one symbol at `point` (`sympy.oo` too), with the order term."""
        expansion = sympy.series(self.expr, self._symbol(symbol), cast(int, point), order)
        return cast(sympy.Expr, expansion)

    def latex(self) -> str:
        """The right-hand side as LaTeX."""
        return str(sympy.latex(self.expr))

    def check(self, **values: object) -> tuple[tuple[Assumption, bool | None], ...]:
        """Each assumption with whether it holds at the values; `None` where they do not decide it."""
        given = self._given(values)
        return tuple((assumption, _holds(assumption.condition, given)) for assumption in self.assumptions)

    def _symbol(self, name: str) -> sympy.Symbol:
        plain = name.replace("_", "")  # L0 is L_0
        found = [symbol for symbol in self.symbols if symbol.name.replace("_", "") == plain]
        if not found:
            known = ", ".join(symbol.name for symbol in self.symbols)
            self._refuse("symbol", f"one of its symbols ({known})", name, "use the names of `symbols`")
        return found[0]

    def _given(self, values: Mapping[str, object]) -> dict[sympy.Symbol, fmpq | arb]:
        given = {self._symbol(name): balls.exact(value, where=self.name, name=name) for name, value in values.items()}
        if len(given) < len(values):
            required, remedy = "each symbol under one of its spellings", "leave the others out"
            raise PruneproofError(self.name, required=required, received=", ".join(sorted(values)), remedy=remedy)
        for symbol, number in given.items():
            balls.respect(symbol, number, where=self.name)
        return given

    def _refuse(self, method: str, required: str, received: object, remedy: str) -> None:
        raise PruneproofError(f"{self.name}.{method}", required=required, received=received, remedy=remedy)


def _holds(condition: Boolean | None, given: Mapping[sympy.Symbol, fmpq | arb]) -> bool | None:
    """Three-valued truth of a condition; a comparison within rounding of equality is decided only if it is exact."""
    if condition is None or not condition.free_symbols <= given.keys():
        return None
    if isinstance(condition, sympy.And | sympy.Or | sympy.Not):
        parts = [_holds(cast(Boolean, part), given) for part in condition.args]
        return _combined(condition, parts)
    if condition in (sympy.true, sympy.false):
        return bool(condition)
    return compare(condition, given)


def _combined(condition: Boolean, parts: list[bool | None]) -> bool | None:
    if isinstance(condition, sympy.Not):
        return None if parts[0] is None else not parts[0]
    decisive = isinstance(condition, sympy.Or)  # one true part settles Or, one false part settles And
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def compare(relation: Boolean, given: Mapping[sympy.Symbol, object]) -> bool | None:
    """Whether an inequality or equation holds at the values; `None` if their balls overlap too much to tell."""
    left, right = (cast(sympy.Expr, side) for side in relation.args)
    if not isinstance(relation, sympy.Rel):
        raise PruneproofError("check", required="a relation", received=str(relation), remedy="use <, <=, >, >=, Eq, Ne")
    used = {symbol: value for symbol, value in given.items() if symbol in relation.free_symbols}
    difference = balls.enclose(left - right, used, where="check")
    answers: dict[object, tuple[bool, bool]] = {
        sympy.Lt: (difference < 0, difference >= 0),
        sympy.Le: (difference <= 0, difference > 0),
        sympy.Gt: (difference > 0, difference <= 0),
        sympy.Ge: (difference >= 0, difference < 0),
        sympy.Eq: (difference == 0, difference < 0 or difference > 0),
        sympy.Ne: (difference < 0 or difference > 0, difference == 0),
    }
    yes, no = answers[type(relation)]
    return True if yes else False if no else None
