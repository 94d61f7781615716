"""Refuse an inequality that divides by zero, or takes the log of a negative number, inside its own box.

A formula that is undefined in the box cannot hold on it; bisection would only run towards the pole. Each divisor,
argument of log and radicand is tried at the corners, edge midpoints and centre of the box: an exact zero there, or (for
a divisor) a change of sign, shows that the formula is undefined. What this misses ends as undecided, never as proved.

Prove or refute an inequality of one to three real variables on a box, with a certificate that others can re-check.

Branch and bound: a box is decided by one of the rules of `leaves`, or cut in two. Three answers are possible: proved
(every leaf of the tree of cuts is decided), refuted (a point of the box where a ball certifies the opposite), or
undecided (the boxes where neither came out). Nothing is ever rounded towards the answer: formulas are walked exactly,
box ends are rationals, and every rule is sound on closed boxes, so open ends only ever make the claim weaker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, cast

import sympy
from flint import arb, ctx, fmpq

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import tape

from .box import Box, Side, exact_point, probes
from .problem import Problem, problem
from .rules import at_point, by_interval, exact_jet, excluded, gradient, mean_value, natural, tail, touches


def refuse_poles(question: Problem, *, where: str) -> None:
    """Raise `PruneproofError` if a probe shows that a side of the inequality is undefined inside the box."""
    points = [point for point in probes(question.box) if all(c.positive(c.tape(*point)) for c in question.given)]
    for part in sympy.preorder_traversal(question.gap.formula):
        if isinstance(part, sympy.Pow) and part.args[1].is_negative:
            _refuse_zero(question, part.args[0], points, where)
        if isinstance(part, sympy.log):
            _refuse_sign(question, part.args[0], points, where, "log of", strict=True)
        if isinstance(part, sympy.Pow) and not part.args[1].is_integer:
            _refuse_sign(question, part.args[0], points, where, "a fractional power of", strict=False)


def _values(question: Problem, part: sympy.Basic, points: list[tuple[fmpq, ...]]) -> list[fmpq | arb]:
    run = tape(cast(sympy.Expr, part), question.gap.symbols, where="prove")
    return [cast("fmpq | arb", run(*point)) for point in points]


def _refuse_zero(question: Problem, divisor: sympy.Basic, points: list[tuple[fmpq, ...]], where: str) -> None:
    values = _values(question, divisor, points)
    zero = next((point for point, value in zip(points, values, strict=True) if value == 0), None)
    if zero is not None or (any(value > 0 for value in values) and any(value < 0 for value in values)):
        place = "changes sign in the box" if zero is None else f"is 0 at {_show(question, zero)}"
        raise PruneproofError(
            where,
            required="a formula without division by zero in the box",
            received=f"1/({divisor}), where {divisor} {place}",
            remedy="cut the box at the pole, or leave that end open",
        )


def _refuse_sign(
    question: Problem, argument: sympy.Basic, points: list[tuple[fmpq, ...]], where: str, what: str, *, strict: bool
) -> None:
    for point, value in zip(points, _values(question, argument, points), strict=True):
        if value < 0 or (strict and value == 0):
            raise PruneproofError(
                where,
                required="a formula that is defined on the box",
                received=f"{what} {argument} at {_show(question, point)}",
                remedy="shrink the box, or leave that end open",
            )


def _show(question: Problem, point: tuple[fmpq, ...]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in zip(question.gap.symbols, point, strict=True))


Verdict = Literal["proved", "refuted", "undecided"]
Step = str | tuple[int, fmpq]  # a leaf's rule, or a cut: which side, where
PRECISION = 128
PRECISIONS = range(2, 4097)  # bits with which a proof may be found and checked
MAX_BOXES = 100_000
MAX_DEPTH = 80
MAX_OPEN = 4  # undecided boxes after which the search stops
TAIL_ORDERS = range(5)


@dataclass(frozen=True, eq=False)
class Proof:
    """The answer to one `prove`.

    **Fields:** `verdict`; `problem`; `steps`, the tree of cuts in preorder (proved); `boxes`, the number of boxes
    looked at; `leaves`, those that decide; `precision` in bits; `witness`, symbol name → exact coordinate, with
    `value`, a ball around the difference of the two sides there, which the claim says is positive (refuted); `where`,
    the boxes left open, in words (undecided); `seconds`.
    """

    verdict: Verdict
    problem: Problem
    steps: tuple[Step, ...]
    boxes: int
    precision: int
    witness: dict[str, fmpq] | None
    value: arb | None
    where: tuple[str, ...]
    seconds: float

    @property
    def leaves(self) -> int:
        """How many boxes the proof consists of."""
        return sum(isinstance(step, str) for step in self.steps)


def prove(
    inequality: sympy.Basic,
    box: Mapping[sympy.Symbol, object],
    *,
    given: Iterable[sympy.Basic] = (),
    tail: Mapping[sympy.Symbol, sympy.Expr | int] | None = None,
    touch: Iterable[sympy.Expr | int] = (),
    precision: int = PRECISION,
    max_boxes: int = MAX_BOXES,
) -> Proof:
    """Prove or refute an inequality on a box.

    **Arguments:** `inequality`, a sympy `<`, `<=`, `>` or `>=`; `box`, symbol → `(low, high)` or `sympy.Interval`,
    exact rational ends, up to three symbols; `given`, inequalities to assume; `tail`, for each symbol that runs to
    infinity where its tail starts (a positive rational; beyond it signs of derivatives decide); `touch`, interior
    points where the two sides touch (ends of the box are tried by themselves); `precision`, bits; `max_boxes`, effort.
    Raises `PruneproofError` for floats, unknown functions, a symbol without a range, an empty box, an infinite one
    without a tail, and a formula that is undefined inside the box.

    >>> x = sympy.Symbol("x", real=True)
    >>> prove(sympy.exp(x) > 1 + x, {x: (sympy.Rational(1, 8), 1)}).verdict
    'proved'
    >>> prove(sympy.exp(x) > 1 + x + x**2 / 2, {x: (-1, 1)}).witness
    {'x': -1}
    """
    start = perf_counter()
    if type(precision) is not int or precision not in PRECISIONS:
        needed = f"a precision of {PRECISIONS[0]} to {PRECISIONS[-1]} bits"
        raise PruneproofError("prove", required=needed, received=precision, remedy="leave it at 128 at first")
    question = problem(inequality, box, given)
    with ctx.workprec(precision):
        cuts = _first_cuts(question, tail or {}, touch)
        refuse_poles(question, where="prove")
        search = _Search(question, cuts, max_boxes)
        verdict = search.run()
    return Proof(
        verdict,
        question,
        tuple(search.steps) if verdict == "proved" else (),
        search.boxes,
        precision,
        search.witness,
        search.value,
        tuple(search.open),
        perf_counter() - start,
    )


def _first_cuts(
    question: Problem, tails: Mapping[sympy.Symbol, sympy.Expr | int], touch: Iterable[sympy.Expr | int]
) -> list[tuple[int, fmpq]]:
    """Where to cut before searching: at the start of each tail and at interior touching points."""
    if not isinstance(tails, Mapping) or not all(isinstance(symbol, sympy.Symbol) for symbol in tails):
        raise PruneproofError("prove", required="a tail {symbol: X}", received=str(tails), remedy="pass tail={x: X}")
    if not isinstance(touch, Iterable):
        raise PruneproofError("prove", required="a list of points", received=str(touch), remedy="pass touch=[…]")
    names = [symbol.name for symbol in question.gap.symbols]
    starts = {symbol.name: exact_point(start, where="prove") for symbol, start in tails.items()}
    cuts = [(0, exact_point(point, where="prove")) for point in touch]
    for index, (name, side) in enumerate(zip(names, question.box, strict=True)):
        if side.high is None and not (name in starts and starts[name] > 0 and starts[name] >= side.low):
            remedy = f"pass tail={{{name}: X}} with X > 0"
            raise PruneproofError(
                "prove", required=f"a tail for {name} → ∞", received="none in its range", remedy=remedy
            )
        if side.high is None:
            cuts.append((index, starts[name]))
    return cuts


class _Search:
    """Depth-first search for a tree of decided boxes, or for a counterexample."""

    def __init__(self, question: Problem, cuts: list[tuple[int, fmpq]], max_boxes: int) -> None:
        self.question, self.gap, self.max_boxes = question, question.gap, max_boxes
        self.cuts = cuts
        ends = [end for side in question.box for end in side.ends()] if len(question.box) == 1 else []
        candidates = dict.fromkeys([*ends, *(point for _, point in cuts)])
        self.touching = [end for end in candidates if len(question.box) == 1 and self._zero(end)]
        self.steps: list[Step] = []
        self.open: list[str] = []
        self.witness: dict[str, fmpq] | None = None
        self.value: arb | None = None
        self.boxes = 0

    def _zero(self, end: fmpq) -> bool:
        jet = exact_jet(self.gap, end)
        return jet is not None and jet[0] == 0

    def run(self) -> Verdict:
        hints = [(point,) for _, point in self.cuts] if len(self.question.box) == 1 else []
        if any(self._refutes(point) for point in [*probes(self.question.box), *hints]):
            return "refuted"
        pending: list[tuple[Box, int]] = [(self.question.box, 0)]
        while pending and len(self.open) < MAX_OPEN:
            box, depth = pending.pop()
            self.boxes += 1
            step = self._decide(box)
            if self.witness is not None:
                return "refuted"
            if isinstance(step, tuple) and (depth == MAX_DEPTH or self.boxes >= self.max_boxes):
                self.open.append(self._show(box))
                continue
            self.steps.append(step)
            if isinstance(step, tuple):
                index, point = step
                parts = [(*box[:index], part, *box[index + 1 :]) for part in box[index].cut(point)]
                pending += [(part, depth + 1) for part in reversed(parts)]
        return "undecided" if self.open else "proved"

    def _refutes(self, point: tuple[fmpq, ...]) -> bool:
        value = at_point(self.gap, point)
        if not self.gap.negative(value) or self.question.excludes(point):
            return False
        self.witness = dict(zip((symbol.name for symbol in self.gap.symbols), point, strict=True))
        self.value = arb(value)  # pyright: ignore[reportArgumentType] (a point gives no series)
        return True

    def _decide(self, box: Box) -> Step:
        """The rule that decides the box, or the cut to make; may set a witness instead."""
        for index, point in self.cuts:
            side = box[index]
            if side.low < point and (side.high is None or point < side.high):
                return index, point
        for number, condition in enumerate(self.question.given):
            if excluded(condition, box):
                return f"excluded {number}"
        if any(side.high is None for side in box):
            return self._decide_infinite(box)
        if len(box) == 1 and any(end in self.touching for end in box[0].ends()) and touches(self.gap, box[0]):
            return "touch"
        return self._decide_finite(box)

    def _decide_infinite(self, box: Box) -> Step:
        if self._refutes(tuple(side.middle() for side in box)):
            return ""
        order = next((order for order in TAIL_ORDERS if tail(self.gap, box, order)), None)
        if order is not None:
            return f"tail {order}"
        index = next(index for index, side in enumerate(box) if side.high is None)
        return index, box[index].middle()

    def _decide_finite(self, box: Box) -> Step:
        whole = natural(self.gap, box)
        assert whole is not None
        if self.gap.positive(whole):
            return "natural"
        if self._refutes(tuple(side.middle() for side in box)):
            return ""
        slopes = gradient(self.gap, box)
        value = mean_value(self.gap, box, slopes)
        if value is not None and self.gap.positive(value):
            return "mean value"
        if value is None or not value.is_finite():
            low = by_interval(self.gap, box)
            if low is not None and self.gap.positive(low):
                return "interval"
        index = _widest(box, slopes)
        return index, box[index].middle()

    def _show(self, box: Box) -> str:
        return ", ".join(f"{name} in {side}" for name, side in zip(self.gap.symbols, box, strict=True))


def _widest(box: Box, slopes: list[arb]) -> int:
    """The side along which f varies most, as far as the gradient tells; else the longest."""
    widths = [_width(side) for side in box]
    if all(slope.is_finite() for slope in slopes):
        weights = [float(slope.abs_upper()) * width for slope, width in zip(slopes, widths, strict=True)]
        if max(weights) > 0:
            return weights.index(max(weights))
    return widths.index(max(widths))


def _width(side: Side) -> float:
    assert side.high is not None
    return float(arb(side.high - side.low))
