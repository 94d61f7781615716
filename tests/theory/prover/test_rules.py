"""Each rule proves its kind of inequality, and refuses a negative control that a loosened rule would accept."""

import json
from itertools import product
from typing import Any, cast

import pytest
import sympy
from flint import arb, ctx, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import (
    Interval,
    Rational,
    acos,
    asin,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    log,
    oo,
    pi,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import tape
from pruneproof.theory.prover import prove
from pruneproof.theory.prover.box import Side
from pruneproof.theory.prover.certificate import certificate, verify
from pruneproof.theory.prover.expansion import ABOVE, MAX_ORDER, NoExpansion, expand, positive, vanishes
from pruneproof.theory.prover.problem import problem
from pruneproof.theory.prover.rules import convex, rules
from pruneproof.theory.prover.search import Proof, low_places
from tests.theory.prover.fuzz import main

x, y, z = sympy.symbols("x y z", real=True)
half = Rational(1, 2)
bits = -(x * log(x) + (1 - x) * log(1 - x)) / log(2)
to_half = x * log(2 * x) + (1 - x) * log(2 * (1 - x))


def ge(left: object, right: object) -> sympy.Basic:
    return sympy.Ge(cast(sympy.Expr, left), cast(sympy.Expr, right), evaluate=False)


def gt(left: object, right: object) -> sympy.Basic:
    return sympy.Gt(cast(sympy.Expr, left), cast(sympy.Expr, right), evaluate=False)


def confirmed(proof: Proof) -> bool:
    """Proved, with a certificate that survives JSON and is confirmed without searching."""
    return proof.verdict == "proved" and verify(json.loads(json.dumps(certificate(proof)))) is None


PAIRS: dict[str, tuple[sympy.Basic, sympy.Basic, dict[sympy.Symbol, object]]] = {  # true, false, box
    "a touch with an irrational slope": (
        ge(sin(x), 2 * x / pi),
        ge(sin(x), 22 * x / (7 * 2)),
        {x: (0, Rational(3, 2))},
    ),
    "a touch at both ends, one at π/2": (ge(sin(x), 2 * x / pi), ge(sin(x), 2 * x / 3), {x: (0, pi / 2)}),
    "a touch of order 4 with logarithms": (
        ge(to_half, 2 * (x - half) ** 2),
        ge(to_half, Rational(201, 100) * (x - half) ** 2),
        {x: Interval.open(0, 1)},
    ),
    "entropy in bits": (
        ge(bits, 4 * x * (1 - x)),
        ge(bits, Rational(401, 100) * x * (1 - x)),
        {x: Interval.open(0, 1)},
    ),
    "u·log u at 0": (gt(x * log(x), -Rational(37, 100)), gt(x * log(x), -Rational(36, 100)), {x: Interval.Lopen(0, 1)}),
    "u·log u beats u": (gt(-x * log(x), x / 2), gt(-x * log(x), x), {x: Interval.open(0, half)}),
    "sin u/u at 0": (
        gt((2 + cos(x)) / 3, sin(x) / x),
        gt((Rational(199, 100) + cos(x)) / 3, sin(x) / x),
        {x: Interval.Lopen(0, Rational(3, 2))},
    ),
    "a root at 0": (ge(sqrt(x), x), ge(sqrt(x), 2 * x), {x: (0, 1)}),
    "an interior touch without a hint": (ge(exp(x), 1 + x), ge(exp(x), 1 + x + x**2 / 2), {x: (-2, 3)}),
    "a kink where both sides touch": (
        ge(log(2) + sympy.Max(x, 0), log(1 + exp(x))),
        ge(log(2) - Rational(1, 10**9) + sympy.Max(x, 0), log(1 + exp(x))),
        {x: (-20, 20)},
    ),
    "a tail by powers of 1/x": (ge(x / sqrt(1 + x), log(1 + x)), ge(x / sqrt(2 + x), log(1 + x)), {x: Interval(0, oo)}),
    "a tail that decides by a constant": (
        ge(atan(x), 3 * x / (1 + 2 * sqrt(1 + x**2))),
        ge(atan(x), Rational(315, 100) * x / (1 + 2 * sqrt(1 + x**2))),
        {x: Interval(0, oo)},
    ),
    "a tail by powers of exp(-x)": (
        ge(exp(-x), log(1 + exp(-x))),
        ge(exp(-x) * Rational(99, 100), log(1 + exp(-x))),
        {x: Interval(0, oo)},
    ),
    "a tail by exponentials": (
        ge(exp(x**2 / 2), cosh(x)),
        ge(exp(x**2 / 2 - Rational(1, 10**6)), cosh(x)),
        {x: Interval(0, oo)},
    ),
    "a range from -∞": (ge(exp(x), 1 + x), ge(exp(x), Rational(101, 100) + x), {x: Interval(-oo, 0)}),
    "the whole line": (ge(exp(x), 1 + x), ge(exp(x), 1 + x + x**2 / 100), {x: Interval(-oo, oo)}),
    "tan": (ge(tan(x), x), ge(tan(x), x * Rational(101, 100)), {x: (0, Rational(3, 2))}),
    "sinh": (ge(sinh(x), x), ge(sinh(x), x + x**3 / 5), {x: Interval(0, oo)}),
    "cosh": (ge(cosh(x), 1 + x**2 / 2), ge(cosh(x), 1 + x**2), {x: (-3, 3)}),
    "asin": (ge(asin(x), x), ge(asin(x), x + x**3), {x: (0, 1)}),
    "acos": (ge(pi / 2 - x, acos(x)), ge(half - x, acos(x)), {x: (0, 1)}),
    "erf": (ge(2 * x / sqrt(pi), erf(x)), ge(x, erf(x)), {x: (0, 3)}),
    "erfc": (ge(exp(-(x**2)), erfc(x)), ge(exp(-(x**2)) * Rational(9, 10), erfc(x)), {x: (0, 5)}),
    "tanh": (ge(x, tanh(x)), ge(x * Rational(9, 10), tanh(x)), {x: Interval(0, oo)}),
    "equal sides": (
        ge((1 + x) * log(x), x * log(x) + log(x)),
        ge((1 + x) * log(x), x * log(x) + log(x) + Rational(1, 10**9)),
        {x: Interval.Lopen(0, 1)},
    ),
    "x to the x": (ge(x**x, Rational(69, 100)), ge(x**x, Rational(70, 100)), {x: Interval.Lopen(0, 3)}),
    "a convex form with a flat valley": (
        ge(x**2 + y**2 + z**2 - x * y - y * z - z * x + Rational(1, 1000), 0),
        ge(x**2 + y**2 + z**2 - x * y - y * z - z * x - Rational(1, 1000), 0),
        {x: (-1, 1), y: (-1, 1), z: (-1, 1)},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_rule_proves_its_kind_and_not_its_negative_control(name: str) -> None:
    true, false, box = PAIRS[name]
    assert confirmed(prove(true, box, seconds=None, max_boxes=3000))
    proof = prove(false, box, seconds=None, max_boxes=600)
    assert proof.verdict == "refuted"
    assert verify(json.loads(json.dumps(certificate(proof)))) is None


def _rule(claim: sympy.Basic, side: Side, name: str) -> bool:
    question = problem(claim, {x: Interval(-oo, oo)})
    with ctx.workprec(128):
        return rules()[name](question.gap.resolved((side,)), (side,))


ABOVE_PI = Rational(str(sympy.N(pi, 60))) + Rational(1, 10**45)  # by less than balls of 128 bits can tell
CONTROLS: dict[str, tuple[sympy.Basic, Side, str]] = {  # what a loosened rule would accept
    "the leading coefficient is negative": (ge(2 * x / pi, sin(x)), Side(fmpq(0), fmpq(1)), "end low"),
    "positive near the end only": (ge(sin(x), 2 * x / pi), Side(fmpq(0), fmpq(2)), "end low"),
    "a strict claim touches at a closed end": (gt(exp(x), 1 + x), Side(fmpq(0), fmpq(1)), "end low"),
    "nearly zero at the end, but negative": (
        ge(sin(x) + Rational(1, 10**60) * (x - 1), 0),
        Side(fmpq(0), fmpq(1)),
        "end low",
    ),
    "too near zero for a ball, and negative": (ge(x + pi, ABOVE_PI), Side(fmpq(0), fmpq(1), True), "end low"),
    "too near zero for a ball, at a closed end": (ge(x + pi, ABOVE_PI), Side(fmpq(0), fmpq(1)), "end low"),
    "an arctangent falls to -π/2": (gt(1 + atan((x - 1) / x), 0), Side(fmpq(0), fmpq(1, 2), True), "end low"),
    "an odd order from the other side": (ge((x - 1) ** 3, 0), Side(fmpq(1, 2), fmpq(1)), "end high"),
    "a pole inside the range": (ge(x + 1 / (x - Rational(1, 3)) ** 2, 0), Side(fmpq(0), fmpq(1)), "end low"),
    "a closed end where u·log u is undefined": (gt(x * log(x), -1), Side(fmpq(0), fmpq(1, 2)), "end low"),
    "the logarithm has the wrong sign": (ge(x * log(x) + x / 2, 0), Side(fmpq(0), fmpq(1, 2), True), "end low"),
    "the logarithm leads, and loses far from the end": (gt(-log(x), 5 * x), Side(fmpq(0), fmpq(1, 2), True), "end low"),
    "the logarithm does not lead, and wins in between": (
        gt(5 + 14 * x * log(x), 0),
        Side(fmpq(0), fmpq(1, 2), True),
        "end low",
    ),
    "the logarithm changes its sign beyond 1": (gt(1, 2 * x * log(x)), Side(fmpq(0), fmpq(19, 10), True), "end low"),
    "the logarithm wins far from the end only": (ge(log(x), -100), Side(fmpq(0), fmpq(1, 2), True), "end low"),
    "equal next to an end": (gt(x * (x + 1), x**2 + x), Side(fmpq(0), fmpq(1, 2), True), "end low"),
    "equal up to infinity": (gt(x * (x + 1), x**2 + x), Side(fmpq(1), None), "end infinity"),
    "equal, logarithms as well": (
        gt(log(x**2 + x), log(x) + log(1 + x)),
        Side(fmpq(0), fmpq(1, 2), True),
        "end low",
    ),
    "larger than one of the others only": (ge(2, sympy.Max(x, 3 - x, 0)), Side(fmpq(0), fmpq(1)), "natural"),
    "the larger, not the smaller": (ge(sympy.Min(x, 1 - x), half), Side(fmpq(0), fmpq(1, 4)), "natural"),
    "the other sign of an absolute value": (ge(half, sympy.Abs(x - 1)), Side(fmpq(0), fmpq(1, 4)), "natural"),
    "zero at the closed end, the other one open": (gt(x, 0), Side(fmpq(0), fmpq(1), False, True), "end low"),
    **{
        f"{kind}, {rule}": (claim, Side(fmpq(*low), None), rule)
        for kind, claim, low, named in (
            ("positive far out only", gt(x, 3), (2, 1), ("end infinity", "tail 0")),
            ("positive far out only", gt(1, 2 * exp(-x)), (1, 2), ("end exponential", "tail 0")),
            ("positive far out only", gt(exp(x), 4), (1, 1), ("tail exp 0",)),
            ("from below 0", gt(2 * x + 1, 0), (-1, 1), ("end infinity", "tail 0", "tail 1")),
            ("from 0", gt(x, 0), (0, 1), ("end infinity", "tail 0", "tail 1")),
            ("from below 0", gt(exp(x), half), (-1, 1), ("end exponential", "tail exp 0")),
            ("zero at the start", gt(x, 4), (4, 1), ("tail 0", "tail 1")),
            ("zero at the start", gt(exp(x), 4 * exp(x) / x), (4, 1), ("tail exp 0",)),
            ("falling at first", gt((x - 3) ** 2, half), (1, 1), ("tail 2",)),
        )
        for rule in named
    },
    "falling below 0 at infinity": (ge(10 - log(x), 0), Side(fmpq(2), None), "end infinity"),
    "the limit is 0 from below": (ge(1 / x**2, 1 / x), Side(fmpq(2), None), "end infinity"),
    "exponentially small, from below": (ge(log(1 + exp(-x)), exp(-x)), Side(fmpq(1), None), "end exponential"),
    "the derivative is positive, the start is not": (ge(x, 10), Side(fmpq(4), None), "tail 1"),
    "another exponential dominates": (ge(exp(x), exp(2 * x)), Side(fmpq(1), None), "tail exp 0"),
    "another exponential dominates, divided by it": (ge(exp(x), exp(2 * x)), Side(fmpq(1), None), "tail exp 1"),
    "concave, positive at the centre": (ge(1 - x**2, 0), Side(fmpq(-2), fmpq(2)), "convex"),
    "convex, its tangent falls below": (ge((x - 1) ** 2, half), Side(fmpq(0), fmpq(2)), "convex"),
    "convex, its tangent falls below at an end": (gt((x + 1) ** 2, half), Side(fmpq(-1), fmpq(1)), "convex"),
    "convex where it is defined": (ge(1 / x**2, 0), Side(fmpq(-1), fmpq(1)), "convex"),
    "undefined by half, which the derivatives do not show": (
        gt(x**2 + 3 + log(x**2), 2 * log(x)),
        Side(fmpq(-1), fmpq(2)),
        "convex",
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_rule_refuses_what_a_loosened_one_would_prove(name: str) -> None:
    claim, side, rule = CONTROLS[name]
    assert not _rule(claim, side, rule)


ALONE: dict[str, tuple[sympy.Basic, Side, str]] = {  # what a rule needs no other for
    "convex, away from zero": (gt(x**2, 80), Side(fmpq(9), fmpq(10)), "convex"),
    "a negative divisor": (gt(2, 1 / (2 - x)), Side(fmpq(0), fmpq(1)), "end low"),
    "a divisor that is negative at infinity": (gt(2, 1 / (half - x)), Side(fmpq(1), None), "end infinity"),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_rule_by_itself_accepts_its_kind(name: str) -> None:
    claim, side, rule = ALONE[name]
    assert _rule(claim, side, rule)


@pytest.mark.parametrize("rule", rules())
def test_a_rule_says_no_to_a_box_that_it_is_not_for(rule: str) -> None:
    """It does not fail: a certificate may name any rule for any box."""
    sides = Side(fmpq(-1), fmpq(1)), Side(fmpq(1), fmpq(2)), Side(fmpq(1), None), Side(fmpq(-1), None)
    for variables in ((x,), (x, y), (x, y, z)):
        question = problem(gt(-1, sum(v**2 for v in variables)), dict.fromkeys(variables, Interval(-oo, oo)))
        for box in product(sides, repeat=len(variables)):
            assert not rules()[rule](question.gap, box)


TERMS = [1, x, x**2, sqrt(x), log(x), x * log(x), x**2 * log(x), 1 / x, exp(-x), exp(x), atan(x), x * atan(x)]
KINKED = [*TERMS, sympy.Abs(x - 1), sympy.Max(x, 2 - x), sympy.Min(x**2, x)]
ABOVE_ZERO = [1, x, x**2, sqrt(x), 1 / x, exp(-x)]
SIDES = [Side(fmpq(0), fmpq(*high), True) for high in ((1, 8), (1, 2), (3, 2), (4, 1))] + [
    Side(fmpq(1, 2), fmpq(2)),
    Side(fmpq(1, 4), fmpq(1), False, True),
    Side(fmpq(1, 2), None),
    Side(fmpq(3), None, True),
]


def test_a_saddle_is_not_convex() -> None:
    """The second derivatives in x and in y are 2 in both."""
    square = {x: (-1, 1), y: (-1, 1)}
    for mixed, bent_upwards in ((1, True), (2, True), (3, False), (-3, False)):
        question = problem(gt(x**2 + y**2 + Rational(1, 10), mixed * x * y), square)
        assert convex(question.gap, question.box) == bent_upwards


CLOSED: dict[str, tuple[sympy.Basic, object]] = {  # false at one end alone
    "below infinity": (gt(0, x), Interval(-oo, 0)),
    "a constant": (gt(x, pi), Interval(pi, oo)),
    "low, of two": (gt(x, pi), (pi, 4)),
    "high, of two": (gt(pi, x), (3, pi)),
    "the other relation": (sympy.Lt(x, 1, evaluate=False), (0, 1)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_end_belongs_to_the_range(name: str) -> None:
    claim, side = CLOSED[name]
    assert prove(claim, {x: side}, max_boxes=100).verdict != "proved"


@pytest.mark.parametrize("opened", [False, True])
def test_a_cut_belongs_to_both_parts(opened: bool) -> None:
    """(x - 1)² > 0 on both sides of 1, and not at 1."""
    cut = cast("dict[str, Any]", certificate(prove(gt(x, -1), {x: Interval(0, 2, opened, opened)})))
    square = ["^", ["+", "x", ["q", "-1"]], ["q", "2"]]
    forged = cut | {"inequality": [">", square, ["q", "0"]], "steps": [[0, "1"], "end high", "end low"]}
    assert "does not decide" in str(verify(forged))
    assert verify(forged | {"inequality": [">=", square, ["q", "0"]]}) is None
    start = verify(cut | {"inequality": [">", "x", ["q", "0"]], "steps": ["end low"]})
    assert (start is None) == opened


@pytest.mark.parametrize("high", [fmpq(1), None])
def test_a_side_is_cut_between_its_ends_only(high: fmpq | None) -> None:
    side = Side(fmpq(0), high, True, True)
    assert side.cut(fmpq(1, 2)) == (Side(fmpq(0), fmpq(1, 2), True), Side(fmpq(1, 2), high, False, True))
    for point in (fmpq(-1), fmpq(0), *((high, fmpq(2)) if high is not None else ())):
        with pytest.raises(PruneproofError, match="Cut between the ends"):
            side.cut(point)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINKED), st.integers(-3, 3)), min_size=1, max_size=3),
    st.sampled_from(ABOVE_ZERO),
    st.sampled_from(SIDES),
    st.sampled_from([Rational(1, 10), Rational(1, 1000)]),
)
def test_no_rule_by_itself_accepts_what_a_point_refutes(
    terms: list[tuple[sympy.Expr, int]], unit: sympy.Expr, side: Side, margin: sympy.Rational
) -> None:
    """f = g - t·h with h > 0 and t a little above the least g/h at some points: nearly true, but for one of them."""
    wide = fmpq(64) if side.high is None else side.high - side.low
    points = [side.low + wide * fmpq(k, 48) ** 2 for k in range(1, 48)]
    g = sympy.Add(*[factor * term for term, factor in terms])
    values = [[_at(formula, point) for point in points] for formula in (g, sympy.sympify(unit))]
    least = min(high / low for high, low in zip(*values, strict=True))
    claim = gt(g, (Rational(least) + margin) * unit)
    for rule in rules():
        assert not _rule(claim, side, rule), rule


def _at(formula: sympy.Expr, point: fmpq) -> float:
    return float(arb(cast(arb, tape(formula, [x], where="prove")(point))).mid())


@pytest.mark.parametrize("order", range(1, 5))
def test_a_tail_rule_by_itself_takes_the_derivative_of_its_order(order: int) -> None:
    """As a checker of certificates does, for whom no lower order was tried before: 12x² - 48x + 60, integrated."""
    formula = 12 * x**2 - 48 * x + 60  # positive, but its range over [2, ∞) is not shown to be; that of 24x - 48 is
    for _ in range(order - 1):
        formula = cast(sympy.Expr, sympy.integrate(formula, x))
        formula = formula - formula.subs(x, 2) + 1
    shown = {n for n in range(5) if _rule(gt(formula, 0), Side(fmpq(2), None), f"tail {n}")}
    assert shown >= {order} and order - 1 not in shown


def test_a_touch_outside_the_range_changes_nothing() -> None:
    """The start of a tail, say, is looked for all the same."""
    assert prove(gt(x, 0), {x: (1, 2)}, touch=[-5]).verdict == "proved"
    claim, box = gt(x**2, 40 * x - 500), cast("dict[sympy.Symbol, object]", {x: Interval(1, oo)})
    assert prove(claim, box, touch=[-5]).steps == prove(claim, box).steps != ()


@pytest.mark.parametrize(("side", "cuts", "lowest"), [
    (Side(fmpq(0), fmpq(2)), [], fmpq(3, 2)),
    (Side(fmpq(0), None), [], fmpq(2, 3)),  # up to 1 beyond the end
    (Side(fmpq(0), None), [fmpq(9), fmpq(4)], fmpq(7)),  # up to the last cut
])  # fmt: skip
def test_a_low_place_is_looked_for_up_to_where_the_tail_begins(side: Side, cuts: list[fmpq], lowest: fmpq) -> None:
    touch = Rational(int(lowest.p), int(lowest.q))
    question = problem(ge((x - touch) ** 2, 0), {x: Interval(0, oo)})
    assert lowest in low_places(question.gap, side, cuts)


def test_constants_vanish_by_algebra_only() -> None:
    for zero in (log(8) - 3 * log(2), log(Rational(9, 4)) - 2 * log(3) + log(4), (pi + 1) ** 2 - pi**2 - 2 * pi - 1):
        assert vanishes(zero)
    assert vanishes(log(half) / log(2) + 1)
    close = [
        pi - Rational(355, 113),
        log(2) - Rational(6931471805599453, 10**16),
        exp(pi * sqrt(163)) - 640320**3 - 744,
    ]
    assert not any(vanishes(cast(sympy.Expr, number)) for number in close)
    pole = erf(sympy.zoo)  # sympy keeps it as it is
    for undefined in (sympy.nan, sympy.zoo, (pole + 1) ** 2 - pole**2 - 2 * pole - 1):
        assert not vanishes(undefined)


def test_the_sign_next_to_an_end_is_that_of_the_leading_term() -> None:
    with ctx.workprec(128):
        for order in (*range(1, 6), MAX_ORDER):
            expansion = expand(sin(x) ** order, x, fmpq(0), ABOVE)
            assert expansion.analytic.order == order
            assert positive(expansion, fmpq(1, max(2, order)), strict=True)
        assert not positive(expand(-(x**2) * log(x) - 2 * x**2, x, fmpq(0), ABOVE), fmpq(1, 2), strict=False)
        assert positive(expand(-(x**2) * log(x) - 2 * x**2, x, fmpq(0), ABOVE), fmpq(1, 10), strict=True)
        assert positive(expand(-x * log(x), x, fmpq(0), ABOVE), fmpq(1, 2), strict=True)  # a logarithm alone
        for beyond in (exp(-1 / x), sin(x) ** (MAX_ORDER + 1)):
            with pytest.raises(NoExpansion):
                expand(beyond, x, fmpq(0), ABOVE)


def test_ends_of_a_range_may_be_constants() -> None:
    proof = prove(gt(sin(x), Rational(99, 100)), {x: (0, pi)})
    assert proof.witness is not None
    assert str(proof.problem) == "sin(x) > 99/100 for x in [0, pi]"
    assert proof.verdict == "refuted"
    at_pi = prove(gt(sin(x) + x, 0), {x: Interval.Lopen(0, pi)})
    assert confirmed(at_pi)
    with pytest.raises(PruneproofError, match="must not be empty"):
        prove(gt(x, 0), {x: (4, pi)})


def test_a_condition_that_excludes_every_point_proves_nothing() -> None:
    vacuous = prove(gt(x, 2), {x: (0, 1)}, given=[gt(x, 5)])
    assert vacuous.verdict == "undecided"
    assert "exclude every point" in vacuous.where[0]
    sound = json.loads(json.dumps(certificate(prove(gt(x, -2), {x: (0, 1)}, given=[gt(x, half)]))))
    assert verify(sound) is None
    assert "exclude every point" in str(verify({**sound, "given": [[">", "x", ["q", "5"]]], "steps": ["excluded 0"]}))


@pytest.mark.parametrize("name", ["pi", "E", "e", "exp", "log", "oo", "I", "Max", "sin"])
def test_a_symbol_may_not_bear_the_name_of_a_constant_or_function(name: str) -> None:
    other = sympy.Symbol(name, real=True)
    with pytest.raises(PruneproofError, match="Rename it"):
        prove(x > other, {x: (4, 5), other: (0, 3)})


def test_certificates_say_nothing_that_the_checker_does_not_read() -> None:
    proof = cast("dict[str, Any]", certificate(prove(gt(exp(x), 1 + x), {x: (Rational(1, 8), 1)})))
    refutation = cast("dict[str, Any]", certificate(prove(gt(x, 0), {x: (-1, 1)})))
    assert verify(proof) is None and verify(refutation) is None
    for forged in (
        proof | {"extra_claim": "the Riemann hypothesis"},
        proof | {"witness": {"x": "1/2"}},
        proof | {"piece": 0},
        refutation | {"steps": ["natural"]},
        refutation | {"piece": 1},
        refutation | {"piece": None},
    ):
        assert verify(forged) is not None


def test_random_claims_are_never_proved_where_a_point_violates_them() -> None:
    """A short run of `fuzz.py`: both sides touch, or nearly, at a random point of a random range."""
    answers = main(25, first=1000)
    assert answers["proved"] and answers["refuted"]
