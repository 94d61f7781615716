"""Prove or refute an inequality of one to three real variables on a box, with a certificate that others can re-check.

Branch and bound: a box is decided by one of the `rules`, or cut in two; infinite ends come first. Three answers
are possible: proved (every leaf of the tree of cuts is decided), refuted (a point of the box where a ball
certifies the opposite), or undecided (the boxes where neither came out). Nothing is ever rounded towards the
answer: formulas are walked exactly, box ends are rationals, and every rule is sound on closed boxes, so open
ends only ever make the claim weaker. Points where both sides touch are looked for numerically, and used only
where algebra shows that they do.

A formula that is undefined in the box cannot hold on it. Each divisor, argument of log and radicand is tried at
the corners, edge midpoints and centre of the box: an exact zero there, or (for a divisor) a change of sign, is
refused with the reason. What this misses ends as undecided, never as proved.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from time import perf_counter
from typing import Literal, cast

import sympy
from flint import arb, ctx, fmpq

from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.theory.arithmetic.balls import tape
from pruneproof.theory.arithmetic.elementary import defined

from .box import Box, Side, exact_point, probes
from .expressions import all_needs
from .problem import Piece, Problem, problem
from .rules import (
    TAIL_EXPONENTIALS,
    TAIL_ORDERS,
    Gap,
    at_point,
    by_interval,
    convex,
    end,
    excluded,
    gradient,
    mean_value,
    natural,
    tail,
    tail_exponential,
    zero_at,
)

ProofVerdict = Literal["proved", "refuted", "undecided"]
Step = str | tuple[int, fmpq]  # the rule that decides a box, or a cut: which side, where
PRECISION = 128
PRECISIONS = range(2, 4097)  # bits with which a proof may be found and checked
MAX_BOXES = 100_000
MAX_DEPTH = 80
MAX_OPEN = 4  # undecided boxes after which the search stops
SECONDS = 30.0
MAX_CUTS = 12  # before the search: more touching points than this are no isolated ones
FAR = (4, 10, 20, 40, 80, 160)  # powers of two at which infinite sides are probed
FARTHEST_TAIL = 12  # powers of two at which the start of a tail is tried
SAMPLES = 64  # points at which a low place of f is looked for, in each of a few scales
DENOMINATORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 64)  # of rational points near a low place
VACUOUS = "the conditions exclude every point of the box: anything would follow"


@dataclass(frozen=True, eq=False)
class Proof:
    """The answer to one `prove`.

    Args:
        verdict: `"proved"`, `"refuted"` or `"undecided"`.
        problem: The question.
        steps: The trees of cuts of the problem's pieces, one after the other, in preorder (proved).
        boxes: The number of boxes looked at.
        decided: The share of the tree that was decided; 1 if proved.
        precision: In bits.
        witness: Symbol name → exact coordinate of a counterexample (refuted).
        value: A ball around the difference of the two sides there, which the claim says is positive.
        counterexample: The piece and the point of the witness, in that piece's variables.
        where: The boxes left open, in words (undecided).
        seconds: The time it took.
    """

    verdict: ProofVerdict
    problem: Problem
    steps: tuple[Step, ...]
    boxes: int
    decided: float
    precision: int
    witness: dict[str, sympy.Expr | fmpq] | None
    value: arb | None
    counterexample: tuple[int, tuple[fmpq, ...]] | None
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
    seconds: float | None = SECONDS,
) -> Proof:
    """Prove or refute an inequality on a box.

    Args:
        inequality: A sympy `<`, `<=`, `>` or `>=` of exact formulas.
        box: Symbol → `(low, high)`, closed, or `sympy.Interval`, for one to three symbols. Ends are
            rationals, constants such as `sympy.pi / 2`, or ±∞.
        given: Inequalities to assume.
        tail: Where to start the tail of a symbol that runs to ∞ (a positive rational); found by itself
            if left out.
        touch: Interior points where the two sides touch; rational ones are found by themselves.
        precision: Bits of the balls.
        max_boxes: The largest number of boxes to look at.
        seconds: Time after which the answer is `undecided`, or `None` for no limit.

    Returns:
        The verdict with its proof, its counterexample, or the boxes that are left.

    Raises:
        InvalidTypeError: For what is no inequality or no box.
        InvalidValueError: For floats, a symbol without a range or named like a constant, an empty box, and
            a formula that is undefined inside the box.
        UnsupportedError: For unknown functions.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> prove(sympy.exp(x) > 1 + x, {x: (sympy.Rational(1, 8), 1)}).verdict
        'proved'
        >>> prove(sympy.exp(x) > 1 + x + x**2 / 2, {x: (-1, 1)}).witness
        {'x': -1}
    """
    start = perf_counter()
    if type(precision) is not int or precision not in PRECISIONS:
        raise InvalidValueError(
            f"prove: the precision must be {PRECISIONS[0]} to {PRECISIONS[-1]} bits, got {precision}. "
            "Leave it at 128 at first."
        )
    question = problem(inequality, box, given)
    with ctx.workprec(precision):
        hints = [_hints(piece, tail or {}, touch) for piece in question.pieces]
        for piece in question.pieces:
            refuse_poles(piece, where="prove")
        search = _Search(question, hints, max_boxes, None if seconds is None else start + seconds)
        verdict = search.run()
    found = search.counterexample
    return Proof(
        verdict,
        question,
        tuple(search.steps) if verdict == "proved" else (),
        search.boxes,
        search.decided if verdict != "proved" else 1.0,
        precision,
        question.pieces[found[0]].original(found[1]) if found else None,
        search.value,
        found,
        tuple(search.open),
        perf_counter() - start,
    )


def refuse_poles(piece: Piece, *, where: str) -> None:
    """Refuse an inequality that a probe shows to be undefined inside the box.

    Args:
        piece: The inequality on a box.
        where: The function to be named in messages.

    Raises:
        InvalidValueError: With the part of the formula and the point.
    """
    points = [point for point in probes(piece.box) if all(c.positive(c.tape(*point)) for c in piece.given)]
    for part, domain in all_needs(piece.gap.formula):
        run = tape(part, piece.gap.symbols, where=where)
        values = [cast("fmpq | arb", run(*point)) for point in points]
        wrong = next((point for point, value in zip(points, values, strict=True) if _broken(value, domain)), None)
        changes = domain == "nonzero" and any(value > 0 for value in values) and any(value < 0 for value in values)
        if wrong is not None:
            raise InvalidValueError(
                f"{where}: {_complaint(domain)} in the box: {part} is not {domain} at {_show(piece, wrong)}. "
                "Cut the box there, or leave that end open."
            )
        if changes:
            raise InvalidValueError(
                f"{where}: {_complaint(domain)} in the box: {part} changes sign. Cut the box at the pole."
            )


def _broken(value: fmpq | arb, domain: str) -> bool:
    return bool(value == 0 if domain == "nonzero" else value < 0 or (domain == "positive" and value == 0))


def _complaint(domain: str) -> str:
    return {
        "nonzero": "the formula has a pole, a division by zero,",
        "positive": "a logarithm or power is not defined,",
        "nonnegative": "a fractional power or inverse function is not defined,",
    }[domain]


def _show(piece: Piece, point: tuple[fmpq, ...]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in piece.original(point).items())


def _hints(
    piece: Piece, tails: Mapping[sympy.Symbol, sympy.Expr | int], touch: Iterable[sympy.Expr | int]
) -> list[tuple[int, fmpq]]:
    """Where the user says to cut: at the start of each tail and at interior touching points."""
    if not isinstance(tails, Mapping) or not all(isinstance(symbol, sympy.Symbol) for symbol in tails):
        raise InvalidTypeError(
            f"prove: tail must be a dictionary of symbols, got {described(tails)}. Pass tail={{x: X}}."
        )
    if not isinstance(touch, Iterable):
        raise InvalidTypeError(f"prove: touch must be a list of points, got {described(touch)}. Pass touch=[…].")
    starts = {symbol.name: exact_point(start, where="prove") for symbol, start in tails.items()}
    points = [exact_point(point, where="prove") for point in touch]
    cuts: list[tuple[int, fmpq]] = []
    for index, (symbol, side, chart) in enumerate(zip(piece.gap.symbols, piece.box, piece.charts, strict=True)):
        first = starts.get(symbol.name)
        if first is not None and chart.plain and side.high is None:
            if not (first > 0 and first >= side.low):
                raise InvalidValueError(
                    f"prove: the tail for {symbol} must start in its range beyond 0, got {first}. Start farther out."
                )
            cuts.append((index, first))
        if index == 0 and len(piece.box) == 1 and chart.plain:
            cuts += [(0, point) for point in points]
    return cuts


class _Search:
    """Depth-first search for trees of decided boxes, or for a counterexample."""

    def __init__(
        self, question: Problem, hints: list[list[tuple[int, fmpq]]], max_boxes: int, deadline: float | None
    ) -> None:
        self.question, self.hints, self.max_boxes, self.deadline = question, hints, max_boxes, deadline
        self.number = 0
        self.piece = question.pieces[0]
        self.cuts: list[tuple[int, fmpq]] = []
        self.special: set[fmpq] = set()
        self.steps: list[Step] = []
        self.open: list[str] = []
        self.counterexample: tuple[int, tuple[fmpq, ...]] | None = None
        self.value: arb | None = None
        self.boxes = 0
        self.decided = 0.0

    def run(self) -> ProofVerdict:
        for number, piece in enumerate(self.question.pieces):
            self.number, self.piece = number, piece
            if any(self._refutes(point) for point in [*probes(piece.box), *far_probes(piece.box), *self._hinted()]):
                return "refuted"
        for number, piece in enumerate(self.question.pieces):
            self.number, self.piece = number, piece
            if not self._prepared() or not self._searched():
                return "refuted"
        if not self.open and all(step.startswith("excluded") for step in self.steps if isinstance(step, str)):
            self.open = [VACUOUS]
        return "undecided" if self.open else "proved"

    def _hinted(self) -> list[tuple[fmpq, ...]]:
        return [(point,) for _, point in self.hints[self.number]] if len(self.piece.box) == 1 else []

    def _prepared(self) -> bool:
        """Choose the first cuts: starts of tails, hints, kinks, points where both sides touch; False if one refutes."""
        self.cuts = [*self.hints[self.number], *self._tail_starts()]
        box = self.piece.box
        self.cuts += [cut for cut in _kinks(self.piece.gap, box) if cut not in self.cuts]
        if len(box) == 1 and not self.piece.given:
            for point in low_places(self.piece.gap, box[0], [point for _, point in self.cuts]):
                if self._refutes((point,)):
                    return False
                if len(self.cuts) < MAX_CUTS and zero_at(self.piece.gap, point):
                    self.cuts.append((0, point))
        self.special = {*(point for side in box for point in side.ends()), *(point for _, point in self.cuts)}
        return True

    def _tail_starts(self) -> Iterator[tuple[int, fmpq]]:
        """For each infinite side without a hint: the first power of two beyond which a tail rule works."""
        hinted = {index for index, _ in self.hints[self.number]}
        box = self.piece.box
        for index, side in enumerate(box):
            if side.high is not None or (
                index in hinted and any(p > side.low for i, p in self.hints[self.number] if i == index)
            ):
                continue
            first = side.low if side.low > 0 else fmpq(1)
            starts = [first * 2**power for power in range(FARTHEST_TAIL)]
            working = (s for s in starts if not self._late() and self._tail_rule(_beyond(box, index, s)) is not None)
            yield index, next(working, first if first > side.low else 2 * first)

    def _late(self) -> bool:
        return self.deadline is not None and perf_counter() > self.deadline

    def _searched(self) -> bool:
        """Decide the boxes of one piece; False if a counterexample turns up."""
        pending: list[tuple[Box, int]] = [(self.piece.box, 0)]
        while pending and len(self.open) < MAX_OPEN:
            box, depth = pending.pop()
            if self._late():
                self.open += [self._words(waiting) for waiting, _ in [(box, depth), *reversed(pending)]][:MAX_OPEN]
                return True
            self.boxes += 1
            step = self._decide(box)
            if self.counterexample is not None:
                return False
            if isinstance(step, tuple) and (depth == MAX_DEPTH or self.boxes >= self.max_boxes):
                self.open.append(self._words(box))
                continue
            self.steps.append(step)
            if isinstance(step, tuple):
                index, point = step
                parts = [(*box[:index], part, *box[index + 1 :]) for part in box[index].cut(point)]
                pending += [(part, depth + 1) for part in reversed(parts)]
            else:
                self.decided += 0.5**depth / len(self.question.pieces)
        return True

    def _refutes(self, point: tuple[fmpq, ...]) -> bool:
        if not refutes(self.piece, point):
            return False
        self.counterexample = self.number, point
        self.value = arb(cast("fmpq | arb", at_point(self.piece.gap, point)))
        return True

    def _decide(self, box: Box) -> Step:
        """The rule that decides the box, or the cut to make; may set a counterexample instead."""
        for index, point in self.cuts:
            side = box[index]
            if side.low < point and (side.high is None or point < side.high):
                return index, point
        for number, condition in enumerate(self.piece.given):
            if excluded(condition, box):
                return f"excluded {number}"
        if any(side.high is None for side in box):
            return self._decide_infinite(box)
        return self._decide_finite(self.piece.gap.resolved(box), box)

    def _decide_infinite(self, box: Box) -> Step:
        if self._refutes(tuple(side.middle() for side in box)):
            return ""
        rule = self._tail_rule(box)
        if rule is not None:
            return rule
        index = next(index for index, side in enumerate(box) if side.high is None)
        return index, box[index].middle()

    def _tail_rule(self, box: Box) -> str | None:
        gap = self.piece.gap.resolved(box)
        for which in ("infinity", "exponential"):
            if end(gap, box, which):
                return f"end {which}"
        for order in TAIL_ORDERS:
            if tail(gap, box, order):
                return f"tail {order}"
        return next((f"tail exp {number}" for number in TAIL_EXPONENTIALS if tail_exponential(gap, box, number)), None)

    def _decide_finite(self, gap: Gap, box: Box) -> Step:
        whole = natural(gap, box)
        assert whole is not None
        if gap.positive(whole):
            return "natural"
        if self._refutes(tuple(side.middle() for side in box)):
            return ""
        by_end = self._end_rule(gap, box) if len(box) == 1 else None
        if by_end is not None:
            return by_end
        slopes = gradient(gap, box)
        value = mean_value(gap, box, slopes)
        if value is not None and gap.positive(value):
            return "mean value"
        if convex(gap, box):
            return "convex"
        if len(box) == 1 or value is None or not value.is_finite():
            low = by_interval(gap, box)
            if low is not None and gap.positive(low):
                return "interval"
        index = _widest(box, slopes)
        return index, box[index].middle()

    def _end_rule(self, gap: Gap, box: Box) -> str | None:
        [side] = box
        for which, point in (("low", side.low), ("high", side.high)):
            if point in self.special and end(gap, box, which):
                return f"end {which}"
        return None

    def _words(self, box: Box) -> str:
        parts: list[str] = []
        for symbol, side, chart in zip(self.piece.gap.symbols, box, self.piece.charts, strict=True):
            parts.append(
                f"{symbol} in {side}" if chart.plain else f"{symbol} = {chart.at(sympy.Symbol('t'))}, t in {side}"
            )
        return ", ".join(parts)


def far_probes(box: Box) -> list[tuple[fmpq, ...]]:
    """Points far out on the infinite sides, the others in the middle."""
    if all(side.high is not None for side in box):
        return []
    return [
        tuple(side.middle() if side.high is not None else side.low + fmpq(2) ** power for side in box) for power in FAR
    ]


def _beyond(box: Box, index: int, start: fmpq) -> Box:
    """The part of a box beyond the start of a tail."""
    return (*box[:index], Side(start, None, box[index].low_open and start == box[index].low), *box[index + 1 :])


def refutes(piece: Piece, point: tuple[fmpq, ...]) -> bool:
    """Does a point of the box, where the conditions hold, certainly contradict the inequality?

    Args:
        piece: The inequality on a box.
        point: Exact coordinates.

    Returns:
        Whether f is certainly negative there; for a strict inequality also whether algebra shows it to be zero.
    """
    value = at_point(piece.gap, point)
    if piece.excludes(point) or not defined(value):
        return False
    return piece.gap.negative(value) or (piece.gap.strict and len(point) == 1 and zero_at(piece.gap, point[0]))


def _kinks(gap: Gap, box: Box) -> list[tuple[int, fmpq]]:
    """Rational points of one variable at which a maximum, a minimum or an absolute value changes its branch."""
    cuts: list[tuple[int, fmpq]] = []
    if not gap.has_kinks:
        return cuts
    for part in sympy.preorder_traversal(gap.formula):
        if isinstance(part, sympy.Abs):
            changes = [part.args[0]]
        elif isinstance(part, sympy.Max | sympy.Min):
            arguments = cast("list[sympy.Expr]", list(part.args))
            changes = [first - second for i, first in enumerate(arguments) for second in arguments[:i]]
        else:
            continue
        for change in changes:
            [symbol, *others] = [*change.free_symbols, None]
            slope = sympy.diff(change, symbol) if isinstance(symbol, sympy.Symbol) and others == [None] else None
            if isinstance(slope, sympy.Rational) and slope != 0:
                zero = sympy.expand(cast(sympy.Symbol, symbol) - change / slope)
                index = gap.symbols.index(cast(sympy.Symbol, symbol))
                if isinstance(zero, sympy.Rational) and box[index].contains(fmpq(int(zero.p), int(zero.q))):
                    cuts.append((index, fmpq(int(zero.p), int(zero.q))))
    return list(dict.fromkeys(cuts))


def low_places(gap: Gap, side: Side, beyond: list[fmpq]) -> list[fmpq]:
    """Points inside a range near which f seems to have a local minimum: candidates, of which nothing is promised.

    Args:
        gap: `f` of one variable.
        side: Its range.
        beyond: Points of it where cuts are made; the largest is where an infinite range is left to its tail.

    Returns:
        Rational points, simple ones near each minimum first.
    """
    low = side.low
    high = side.high if side.high is not None else max([*beyond, low + 1])
    width = high - low

    def value(point: fmpq) -> float:
        number = at_point(gap, (point,))
        return float(arb(cast("fmpq | arb", number)).mid()) if defined(number) else float("inf")

    points = [low + width * step / SAMPLES for step in range(1, SAMPLES)]
    heights = [value(point) for point in points]
    candidates: dict[fmpq, None] = {}
    for left, middle, right in zip(range(SAMPLES - 3), range(1, SAMPLES - 2), range(2, SAMPLES - 1), strict=True):
        if isfinite(heights[middle]) and heights[middle] <= heights[left] and heights[middle] <= heights[right]:
            lowest = _lowest(value, points[left], points[right])
            near = Fraction(int(lowest.p), int(lowest.q))
            simple = [near.limit_denominator(denominator) for denominator in DENOMINATORS]
            close = [guess for guess in simple if abs(guess - near) * 10**5 <= Fraction(int(width.p), int(width.q))]
            candidates |= dict.fromkeys(fmpq(guess.numerator, guess.denominator) for guess in close)
            candidates[lowest] = None
    return [point for point in candidates if low < point and (side.high is None or point < side.high)]


def _lowest(value: Callable[[fmpq], float], low: fmpq, high: fmpq) -> fmpq:
    """Where a function with one minimum between two points is lowest, by trisection; a dyadic rational near it."""
    for _ in range(60):
        third = (high - low) / 3
        left, right = low + third, high - third
        low, high = (low, right) if value(left) <= value(right) else (left, high)
        low, high = _dyadic(low), _dyadic(high)
    return _dyadic((low + high) / 2)


def _dyadic(number: fmpq) -> fmpq:
    scale = fmpq(2**60)
    return fmpq(int((number * scale).floor()), 2**60)


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
