"""The ways to see that f > 0 on one box: each is sound by itself, and none needs to know how the box was found.

* natural: f on balls is positive;
* mean value: f(c) + Σ ∂_i f(X)·(X_i - c_i) is positive, the derivatives by first-order jets;
* convex: the second derivatives form a diagonally dominant matrix on the box, so that f lies above its
  tangent plane at the centre, which is positive;
* interval: f on intervals with exact, possibly infinite ends is positive (next to a pole, at infinity);
* end low, end high, end infinity, end exponential: next to one end of the range of the only symbol, f is a power of the
  distance times A + B·log with analytic A and B, whose leading terms have the right sign (`expansion`);
* tail n: on [X, ∞), f(X) > 0, f', …, f⁽ⁿ⁻¹⁾ ≥ 0 at X and f⁽ⁿ⁾ ≥ 0 on [X, ∞);
* tail exp n: f divided by the n-th exponential that it contains is positive on [X, ∞);
* excluded n: the n-th condition that the inequality assumes is violated on the whole box.

"Positive" is "not negative" for an inequality with ≥. Maxima, minima and absolute values are replaced by the
branch that is valid on the box before a rule is applied. All work is done at the precision of flint that
the caller sets.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import sympy
from flint import arb, arb_series, ctx, fmpq

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import Tape, tape
from pruneproof.theory.arithmetic.elementary import UNDEFINED, Number, Series, constant_term, defined
from pruneproof.theory.arithmetic.intervals import INFINITY, Interval, Undefined, at_infinity, evaluate, interval

from .box import Box, Side
from .expansion import ABOVE, BELOW, EXPONENTIAL, INVERSE, NoExpansion, expand, positive, vanishes
from .expressions import Need, all_needs

MAX_DERIVATIVES = 8  # that a tail may use
TAIL_ORDERS = range(5)
TAIL_EXPONENTIALS = range(4)
MAX_DERIVATIVE = 400  # operations of a derivative that is written at infinity
MAX_SMOOTH = 60  # operations of a formula whose second derivatives are taken, or that is divided by exponentials
MAX_POLYNOMIAL = 400  # the same for polynomials, whose derivatives get no larger
ENDS = {"low": ABOVE, "high": BELOW, "infinity": INVERSE, "exponential": EXPONENTIAL}
_KINKS = (sympy.Max, sympy.Min, sympy.Abs)


@dataclass(frozen=True, eq=False)
class Gap:
    """f, the difference of the two sides of an inequality `f > 0` (or `f >= 0`).

    What depends on the formula alone (its tape, derivatives, expansions) is made once and kept.

    Args:
        formula: The f.
        symbols: What it depends on.
        strict: Whether f must be positive rather than not negative.
    """

    formula: sympy.Expr
    symbols: tuple[sympy.Symbol, ...]
    strict: bool
    _kept: dict[object, object] = field(default_factory=dict[object, object], repr=False)

    @cached_property
    def tape(self) -> Tape:
        """f as straight-line exact arithmetic."""
        return tape(self.formula, self.symbols, where="prove")

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """What must be positive, not negative or not zero so that f is defined."""
        return tuple(all_needs(self.formula))

    @cached_property
    def has_kinks(self) -> bool:
        """Does f contain a maximum, a minimum or an absolute value?"""
        return bool(self.formula.has(*_KINKS))

    def kept(self, key: object, make: Callable[[], object]) -> object:
        """What `make` gives, made once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def positive(self, value: Number) -> bool:
        """Is a value (a jet's constant term) certainly on the right side?"""
        number = constant_term(value)
        return number > 0 if self.strict else number >= 0

    def negative(self, value: Number) -> bool:
        """Does a value certainly contradict the inequality?"""
        number = constant_term(value)
        return number <= 0 if self.strict else number < 0

    def resolved(self, box: Box) -> "Gap":
        """f with each maximum, minimum and absolute value replaced by the branch that is valid on a box, if one is."""
        if not self.has_kinks:
            return self
        kinks = cast("list[_Kink]", self.kept("kinks", lambda: _kinks(self.formula)))
        branches = tuple(_branch(kink, self, box) for kink in kinks)
        if all(branch is None for branch in branches):
            return self

        def make() -> Gap:
            chosen = {kink.node: branch for kink, branch in zip(kinks, branches, strict=True) if branch is not None}
            return Gap(_with_branches(self.formula, chosen), self.symbols, self.strict)

        return cast(Gap, self.kept(branches, make))


@dataclass(frozen=True, eq=False)
class _Kink:
    """A maximum, minimum or absolute value: branch → the differences that are not negative where it is valid."""

    node: sympy.Expr
    branches: dict[sympy.Expr, list[sympy.Expr]]


def _kinks(formula: sympy.Expr) -> list[_Kink]:
    found: list[_Kink] = []
    for node in dict.fromkeys(sympy.postorder_traversal(formula)):
        if isinstance(node, sympy.Abs):
            argument = node.args[0]
            found.append(_Kink(node, {argument: [argument], -argument: [-argument]}))
        elif isinstance(node, sympy.Max | sympy.Min):
            sign = 1 if isinstance(node, sympy.Max) else -1
            parts = cast("list[sympy.Expr]", list(node.args))
            found.append(
                _Kink(node, {part: [sign * (part - other) for other in parts if other != part] for part in parts})
            )
    return found


def _branch(kink: _Kink, gap: Gap, box: Box) -> sympy.Expr | None:
    """The branch that is valid on the whole of a box; what does not apply is defined there too."""
    for branch, differences in kink.branches.items():
        if all(_at_least_zero(difference, gap, box) for difference in differences):
            return branch
    return None


def _at_least_zero(formula: sympy.Expr, gap: Gap, box: Box) -> bool:
    if all(side.high is not None for side in box):
        value = constant_term(tape(formula, gap.symbols, where="prove")(*[side.ball() for side in box]))
        if value >= 0:
            return True
        if not isinstance(value, fmpq) and value < 0:
            return False
    try:
        return bool(evaluate(formula, _intervals(gap, box)).low >= 0)
    except Undefined:
        return False


def _with_branches(formula: sympy.Expr, chosen: dict[sympy.Expr, sympy.Expr]) -> sympy.Expr:
    """The formula with each kink replaced by its branch, from the outside in."""
    if formula in chosen:
        return _with_branches(chosen[formula], chosen)
    if not formula.has(*_KINKS):
        return formula
    return formula.func(*[_with_branches(cast(sympy.Expr, part), chosen) for part in formula.args])


@contextmanager
def series_length(terms: int) -> Generator[None]:
    """Keep `terms` coefficients in every power series."""
    before, ctx.cap = ctx.cap, terms
    try:
        yield
    finally:
        ctx.cap = before


def at_point(gap: Gap, point: tuple[fmpq, ...]) -> Number:
    """f at an exact point: an exact rational, or a ball that contains it."""
    return gap.tape(*point)


def natural(gap: Gap, box: Box) -> Number | None:
    """f on the balls around a finite box."""
    return None if any(side.high is None for side in box) else gap.tape(*[side.ball() for side in box])


def gradient(gap: Gap, box: Box) -> list[arb]:
    """Enclosures of the partial derivatives over a finite box."""
    balls = [side.ball() for side in box]
    slopes: list[arb] = []
    with series_length(2):
        for index, centre in enumerate(balls):
            inputs: list[Number] = list(balls)
            inputs[index] = arb_series([centre, 1], 2)
            slopes.append(coefficient(gap.tape(*inputs), 1))
    return slopes


def coefficient(jet: Number, order: int) -> arb:
    """A Taylor coefficient over a ball; NaN where f is undefined, for an undefined summand marks the value alone."""
    if not defined(jet):
        return UNDEFINED
    return arb(jet[order]) if isinstance(jet, Series) else arb(0)


def mean_value(gap: Gap, box: Box, slopes: list[arb] | None = None) -> arb | None:
    """The mean-value enclosure of f over a finite box.

    Args:
        gap: The f.
        box: The box.
        slopes: Its `gradient`, if that is known already.

    Returns:
        A ball; `None` for an infinite box.
    """
    if any(side.high is None for side in box):
        return None
    centre = tuple(side.middle() for side in box)
    value = arb(cast("fmpq | arb", at_point(gap, centre)))
    for slope, side, middle in zip(slopes or gradient(gap, box), box, centre, strict=True):
        value += slope * (side.ball() - middle)
    return value


def convex(gap: Gap, box: Box) -> bool:
    """Is f convex on a finite box, and its tangent plane at the centre positive there?"""
    whole = natural(gap, box)
    if whole is None or gap.has_kinks or not defined(whole):
        return False
    second = cast("list[list[Tape]] | None", gap.kept("second", lambda: _second_derivatives(gap)))
    if second is None:
        return False
    balls = [side.ball() for side in box]
    entries = [[arb(cast("fmpq | arb", entry(*balls))) for entry in row] for row in second]
    if not all(_dominant(row, index) for index, row in enumerate(entries)):
        return False
    centre = tuple(side.middle() for side in box)
    points = tuple(_point(x) for x in centre)
    lowest = arb(cast("fmpq | arb", at_point(gap, centre)))
    for slope, side, middle in zip(gradient(gap, points), box, centre, strict=True):
        lowest -= abs(slope) * arb((side.ball() - middle).abs_upper())
    return gap.positive(lowest)


def _point(x: fmpq) -> Side:
    return Side(x, x)


def _dominant(row: list[arb], index: int) -> bool:
    """Is the diagonal entry at least the sum of the others?"""
    others = sum((abs(entry) for column, entry in enumerate(row) if column != index), arb(0))
    return bool(row[index] - others >= 0)


def _second_derivatives(gap: Gap) -> list[list[Tape]] | None:
    if sympy.count_ops(gap.formula) > (MAX_POLYNOMIAL if gap.formula.is_polynomial() else MAX_SMOOTH):
        return None
    symbols = gap.symbols
    entries = [[cast(sympy.Expr, sympy.diff(gap.formula, x, y)) for y in symbols] for x in symbols]
    try:
        return [[tape(entry, gap.symbols, where="prove") for entry in row] for row in entries]
    except PruneproofError:  # a derivative without an enclosure
        return None


def by_interval(gap: Gap, box: Box) -> arb | None:
    """The lower end of f over the box in interval arithmetic, infinite ends allowed; `None` where undefined."""
    try:
        return evaluate(gap.formula, _intervals(gap, box)).low
    except Undefined:
        return None


def _intervals(gap: Gap, box: Box) -> dict[sympy.Symbol, Interval]:
    return dict(zip(gap.symbols, map(_interval, box), strict=True))


def _interval(side: Side) -> Interval:
    if side.high is None:
        return interval(side.low, INFINITY, low_open=side.low_open)
    return interval(side.low, side.high, low_open=side.low_open, high_open=side.high_open)


def end(gap: Gap, box: Box, which: str) -> bool:
    """Is f positive on a range of its only symbol, by its expansion at one end?

    Args:
        gap: The f.
        box: One side.
        which: `"low"` or `"high"`, `"infinity"` in powers of 1/x, `"exponential"` in powers of exp(-x).

    Returns:
        `True` only if f is defined and positive on the whole range, the end included if it is closed.
    """
    if len(box) != 1 or gap.has_kinks:
        return False
    [side] = box
    finite = which in ("low", "high")
    if finite != (side.high is not None) or not (finite or side.low > 0):
        return False
    point = cast(fmpq, side.high) if which == "high" else side.low
    closed = finite and not (side.low_open if which == "low" else side.high_open)
    if closed and not _fine_at(gap, point):
        return False
    range_end = (point if finite else fmpq(0), ENDS[which], _reach(side, which))
    try:
        needs = all(_met(need, gap, range_end) for need in gap.needs)
        return needs and positive(expand(gap.formula, gap.symbols[0], *range_end[:2]), range_end[2], strict=gap.strict)
    except NoExpansion:
        return False


def _reach(side: Side, which: str) -> fmpq:
    """How far the range reaches from the end in the variable u of the expansion, rounded up."""
    if which == "exponential":
        mantissa, exponent = (-arb(side.low)).exp().upper().man_exp()
        return fmpq(int(mantissa)) * fmpq(2) ** int(exponent)
    return 1 / side.low if side.high is None else side.high - side.low


def _fine_at(gap: Gap, point: fmpq) -> bool:
    """Is f defined and positive at an end of the box (or zero, where that is enough)?"""
    value = at_point(gap, (point,))
    if not defined(value):
        return False
    return gap.positive(value) or (not gap.strict and zero_at(gap, point))


def zero_at(gap: Gap, point: fmpq) -> bool:
    """Is f zero at a rational point, by exact arithmetic or by algebra?"""
    value = at_point(gap, (point,))
    if not defined(value):
        return False
    if isinstance(value, fmpq):
        return value == 0
    if not arb(cast(arb, value)).contains(0):
        return False
    return vanishes(gap.formula.subs(gap.symbols[0], sympy.Rational(int(point.p), int(point.q))))


def _met(need: Need, gap: Gap, range_end: tuple[fmpq, str, fmpq]) -> bool:
    """Does a divisor, a radicand or the argument of a logarithm have the right sign on the whole range?"""
    part, domain = need
    point, chart, reach = range_end
    signs = (part, -part) if domain == "nonzero" else (part,)
    for signed in signs:
        expansion = expand(signed, gap.symbols[0], point, chart)
        if positive(expansion, reach, strict=domain != "nonnegative"):
            return True
    return False


def tail(gap: Gap, box: Box, order: int) -> bool:
    """Is f positive on a box whose one infinite side starts at X, by the sign of f, f', … at X and of f⁽ⁿ⁾ beyond?"""
    index = _infinite(box)
    if index is None or not 0 <= order <= MAX_DERIVATIVES:
        return False
    return _defined_beyond(gap, box, index) and _beyond(gap, box, index, order) and _at_start(gap, box, index, order)


def tail_exponential(gap: Gap, box: Box, number: int) -> bool:
    """Is f, divided by one of the exponentials in it, positive on a box with one infinite side?"""
    index = _infinite(box)
    if index is None:
        return False
    divided = cast("list[sympy.Expr]", gap.kept("divided", lambda: _divided_by_exponentials(gap.formula)))
    if not 0 <= number < len(divided) or not _defined_beyond(gap, box, index):
        return False
    try:
        low = _at_infinity(divided[number], gap, box, index).low
    except Undefined:
        return False
    return bool(low > 0 or (not gap.strict and low >= 0))


def _divided_by_exponentials(formula: sympy.Expr) -> list[sympy.Expr]:
    """The formula divided by each exponential among its factors, every term with one exponential."""
    written = formula.rewrite([sympy.sinh, sympy.cosh], sympy.exp)
    if sympy.count_ops(written) > MAX_SMOOTH:
        return []
    terms = sympy.Add.make_args(sympy.expand_mul(written))
    factors = (part for term in terms for part in sympy.Mul.make_args(term))
    exponents = {cast(sympy.Expr, part.args[0]): None for part in factors if isinstance(part, sympy.exp)}
    return [
        sympy.Add(*[sympy.powsimp(term * sympy.exp(-exponent), combine="exp") for term in terms])
        for exponent in sorted(exponents, key=sympy.default_sort_key)
    ]


def _infinite(box: Box) -> int | None:
    """The one infinite side of a box, if it starts beyond 0."""
    infinite = [index for index, side in enumerate(box) if side.high is None]
    return infinite[0] if len(infinite) == 1 and box[infinite[0]].low > 0 else None


def _at_start(gap: Gap, box: Box, index: int, order: int) -> bool:
    if order == 0:
        return True
    inputs: list[Number] = [arb(side.low) if side.high is None else side.ball() for side in box]
    with series_length(order):
        inputs[index] = arb_series([box[index].low, 1], order)
        jet = gap.tape(*inputs)
    if not isinstance(jet, arb_series):
        return False
    return gap.positive(jet[0]) and all(jet[power] >= 0 for power in range(1, order))


def _beyond(gap: Gap, box: Box, index: int, order: int) -> bool:
    derivative = cast(
        "sympy.Expr | None", gap.kept(("derivative", index, order), lambda: _derivative(gap, index, order))
    )
    if derivative is None:
        return False
    try:
        low = _at_infinity(derivative, gap, box, index).low
    except Undefined:
        return False
    return bool(low > 0 or (low >= 0 and (order > 0 or not gap.strict)))


def _derivative(gap: Gap, index: int, order: int) -> sympy.Expr | None:
    """f⁽ⁿ⁾ from f⁽ⁿ⁻¹⁾; `None` where it is too large."""
    if order == 0:
        return gap.formula
    lower = cast(
        "sympy.Expr | None", gap.kept(("derivative", index, order - 1), lambda: _derivative(gap, index, order - 1))
    )
    found = None if lower is None else cast(sympy.Expr, sympy.diff(lower, gap.symbols[index]))
    return found if found is not None and sympy.count_ops(found) <= MAX_DERIVATIVE else None


def _defined_beyond(gap: Gap, box: Box, index: int) -> bool:
    """Does every divisor, radicand and argument of a logarithm have its sign on the whole box?"""
    try:
        return all(_signed(need, gap, box, index) for need in gap.needs)
    except Undefined:
        return False


def _signed(need: Need, gap: Gap, box: Box, index: int) -> bool:
    part, domain = need
    found = _at_infinity(part, gap, box, index)
    if domain == "nonnegative":
        return bool(found.low >= 0)
    return bool(found.low > 0 or (found.high < 0 and domain == "nonzero"))


def _at_infinity(formula: sympy.Expr, gap: Gap, box: Box, index: int) -> Interval:
    """The range of a formula over the box, by the inverse of its infinite side."""
    symbol = gap.symbols[index]
    inverse, written = cast(
        "tuple[sympy.Symbol, sympy.Expr | None]",
        gap.kept(("at infinity", formula, index), lambda: _written(formula, symbol)),
    )
    if written is None:
        raise Undefined("powers of sums too high to multiply out")
    ranges = {name: ends for name, ends in _intervals(gap, box).items() if name != symbol}
    ranges[inverse] = interval(fmpq(0), 1 / box[index].low, low_open=True)
    return evaluate(written, ranges)


def _written(formula: sympy.Expr, symbol: sympy.Symbol) -> tuple[sympy.Symbol, sympy.Expr | None]:
    inverse = sympy.Dummy("v", real=True)
    try:
        return inverse, at_infinity(formula, symbol, inverse)
    except Undefined:
        return inverse, None


def excluded(condition: Gap, box: Box) -> bool:
    """Is a condition violated on the whole box?"""
    value = natural(condition, box)
    if value is not None:
        return condition.negative(value)
    try:
        high = evaluate(condition.formula, _intervals(condition, box)).high
    except Undefined:
        return False
    return bool(high < 0 or (condition.strict and high <= 0))


def rules() -> dict[str, Callable[[Gap, Box], bool]]:
    """Rule name → does it show f > 0 on the box? Excluded boxes, which need a condition, are not among them."""
    return {
        "natural": lambda gap, box: (value := natural(gap, box)) is not None and gap.positive(value),
        "mean value": lambda gap, box: (value := mean_value(gap, box)) is not None and gap.positive(value),
        "convex": convex,
        "interval": lambda gap, box: (value := by_interval(gap, box)) is not None and gap.positive(value),
        **{f"end {which}": _end_rule(which) for which in ENDS},
        **{f"tail {order}": _tail_rule(order) for order in TAIL_ORDERS},
        **{f"tail exp {number}": _exponential_rule(number) for number in TAIL_EXPONENTIALS},
    }


def _end_rule(which: str) -> Callable[[Gap, Box], bool]:
    return lambda gap, box: end(gap, box, which)


def _tail_rule(order: int) -> Callable[[Gap, Box], bool]:
    return lambda gap, box: tail(gap, box, order)


def _exponential_rule(number: int) -> Callable[[Gap, Box], bool]:
    return lambda gap, box: tail_exponential(gap, box, number)
