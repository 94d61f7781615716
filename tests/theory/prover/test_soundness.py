"""Planted shortcuts that would make a prover unsound are caught: each is tried here on purpose."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from flint import arb, ctx, fmpq
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Interval, Rational, cos, exp, log, oo, sin, sqrt, tanh

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import enclose
from pruneproof.theory.arithmetic.intervals import Undefined, evaluate, interval
from pruneproof.theory.prover import rules as leaves
from pruneproof.theory.prover.box import Side
from pruneproof.theory.prover.certificate import certificate, verify
from pruneproof.theory.prover.problem import problem
from pruneproof.theory.prover.search import Proof, prove
from pruneproof.theory.prover.verdicts import discharge
from pruneproof.theory.theorems.catalogue import obligations

x, y = sympy.symbols("x y", real=True)
u = sympy.Symbol("u", positive=True)


def _refuted_at(proof: Proof) -> dict[str, sympy.Expr | fmpq]:
    assert proof.verdict == "refuted"
    assert proof.witness is not None
    return proof.witness


def test_a_float_cannot_enter() -> None:
    with pytest.raises(PruneproofError, match="float"):
        prove(x * 0.1 < 1, {x: (0, 1)})
    with pytest.raises(PruneproofError, match="must be exact"):
        prove(x < 2, {x: (0.0, 1)})
    with pytest.raises(PruneproofError, match="exact rational"):
        prove(x**2 + 1 >= 2 * x, {x: (0, 2)}, touch=[sympy.Float(1.0)])


def test_a_constant_is_not_rounded() -> None:
    """x ≥ 1/3 on [1/3, 1] is true and touches; with the nearest float above 1/3 it is false at x = 1/3, by 2e-17."""
    third = Fraction(1, 3)
    above = Fraction(float(third)) + Fraction(1, 2**54)
    assert above > third
    box = {x: (Rational(1, 3), 1)}
    assert prove(x >= Rational(1, 3), box).verdict == "proved"
    rounded = prove(x >= Rational(above.numerator, above.denominator), box)
    assert _refuted_at(rounded) == {"x": fmpq(1, 3)}


def test_an_open_end_at_a_pole_is_not_skipped() -> None:
    """1/u < 10^30 holds on every closed part of (0, 1] that a search might stop at; it is false."""
    witness = _refuted_at(prove(1 / u < 10**6, {u: Interval.Lopen(0, 1)}))
    assert witness["u"] < fmpq(1, 10**6)
    assert prove(1 / u < 10**40, {u: Interval.Lopen(0, 1)}).verdict != "proved"
    assert prove(1 / u > Rational(1, 2), {u: Interval.Lopen(0, 1)}).verdict == "proved"
    assert prove(log(u) < u, {u: Interval.Lopen(0, 1)}).verdict == "proved"


def test_a_tail_cannot_be_dropped() -> None:
    """On [0, 20] exp(x/10) < 8; beyond it is false, and a certificate whose tail leaf is missing is refused."""
    proof = prove(log(1 + u) <= u, {u: Interval.Lopen(0, oo)}, tail={u: 4})
    assert proof.verdict == "proved"
    cut = certificate(proof)
    steps = cut["steps"]
    assert isinstance(steps, list)
    assert verify({**cut, "steps": steps[:-1]}) == "the tree of boxes is cut short"
    assert prove(exp(u / 10) < 8, {u: Interval.Lopen(0, oo)}, tail={u: 4}).verdict == "refuted"
    assert prove(log(1 + u) <= u, {u: Interval.Lopen(0, oo)}).verdict == "proved"  # its start is found without a hint


def test_a_tail_with_a_wrong_derivative_sign_does_not_pass() -> None:
    """sin keeps oscillating: that the claim holds where the tail starts says nothing about what follows."""
    oscillating = prove(sin(u) < Rational(9, 10), {u: Interval(1, oo)}, tail={u: 3}, max_boxes=300)
    assert oscillating.verdict == "refuted"
    assert prove(sin(u) < 2, {u: Interval(1, oo)}, tail={u: 3}, max_boxes=300).verdict != "refuted"


def test_the_missing_assumption_of_p1_is_refuted() -> None:
    """Without ‖x_j‖ ≤ 1 the Lipschitz step of P1 is false; with it, proved."""
    [step] = [step for step in obligations("P1") if step.id == "P1.lipschitz"]
    result = discharge(step)
    assert result.sound
    assert "longest" in result.witness


def test_contradictory_conditions_prove_nothing() -> None:
    from pruneproof.theory.prover.smt import decide

    a = sympy.Symbol("a")
    assert decide(a > 1, [a > 2, a < 1])[0] == "undecided"
    assert decide(a > 1, [a > 2]) == ("proved", "")


def test_a_declared_sign_must_hold_on_the_box() -> None:
    """√(u²) is simplified to u for a positive symbol: on a box with negative numbers that is another formula."""
    with pytest.raises(PruneproofError, match="positive"):
        prove(u < 5, {u: (-1, 1)})
    for kind in ("negative", "nonnegative", "nonpositive", "nonzero"):
        declared = sympy.Symbol("s", **{kind: True})
        for side in ((-1, 1), Interval.open(-1, 1)):
            with pytest.raises(PruneproofError, match=f"what s declares|{kind}"):
                prove(sympy.Lt(declared, 5, evaluate=False), {declared: side})
    n = sympy.Symbol("n", integer=True)
    with pytest.raises(PruneproofError, match="integer"):
        prove(n < 5, {n: (0, 1)})


def test_a_touch_inside_a_closed_box_refutes_a_strict_claim() -> None:
    weak = sympy.Ge(x**2 + 1, 2 * x)
    assert prove(weak, {x: (0, 3)}, touch=[1]).verdict == "proved"
    assert _refuted_at(prove(sympy.Gt(x**2 + 1, 2 * x), {x: (0, 3)}, touch=[1])) == {"x": fmpq(1)}
    assert prove(sympy.Gt(x**2 + 1, 2 * x), {x: Interval.open(1, 3)}).verdict == "proved"


def test_a_touch_of_the_wrong_sign_is_not_a_proof() -> None:
    """(x-1)³ vanishes at 1 to third order and changes sign there."""
    cubic = x**3 + 3 * x >= 3 * x**2 + 1
    assert prove(cubic, {x: (1, 3)}).verdict == "proved"
    assert _refuted_at(prove(cubic, {x: (0, 3)}, touch=[1]))["x"] < 1
    gap = problem(cubic, {x: (0, 3)}).gap
    assert not leaves.end(gap, (Side(fmpq(1, 2), fmpq(1)),), "high")
    assert leaves.end(gap, (Side(fmpq(1), fmpq(3, 2)),), "low")


def test_a_jet_that_is_only_nearly_zero_does_not_touch() -> None:
    tiny = prove(sympy.Ge(x**2, Rational(1, 10**30)), {x: (0, 1)})
    assert _refuted_at(tiny) == {"x": fmpq(0)}


SMOOTH = [
    exp(-x) * y + sin(x * y),
    log(3 + x) / (4 + y),
    tanh(x - y) + x**3,
    sqrt(5 + x * y) * cos(x),
    (2 + x) ** (y / 3),
]
UNIT = st.fractions(0, 1, max_denominator=32)


@settings(max_examples=50)
@given(st.sampled_from(SMOOTH), st.tuples(*[st.fractions(-1, 1, max_denominator=64)] * 4), st.tuples(UNIT, UNIT))
def test_every_enclosure_of_a_box_contains_the_values_in_it(
    formula: sympy.Expr, corners: tuple[Fraction, ...], inside: tuple[Fraction, Fraction]
) -> None:
    """Natural, mean-value and interval enclosures against exact points of the box."""
    (a, b), (c, d) = sorted(corners[:2]), sorted(corners[2:])
    assume(a < b and c < d)
    gap = problem(formula > -1000, {x: _range(a, b), y: _range(c, d)}).gap
    box = (Side(_fmpq(a), _fmpq(b)), Side(_fmpq(c), _fmpq(d)))
    point = (_fmpq(a + inside[0] * (b - a)), _fmpq(c + inside[1] * (d - c)))
    with ctx.workprec(128):
        value = enclose(gap.formula, dict(zip(gap.symbols, point, strict=True)))
        whole, mean = leaves.natural(gap, box), leaves.mean_value(gap, box)
        assert isinstance(whole, arb) and mean is not None
        assert whole.overlaps(value) or not whole.is_finite()
        assert mean.overlaps(value) or not mean.is_finite()
        low = leaves.by_interval(gap, box)
        assert low is None or not low > value


def _fmpq(number: Fraction) -> fmpq:
    return fmpq(number.numerator, number.denominator)


def _range(low: Fraction, high: Fraction) -> tuple[sympy.Expr, sympy.Expr]:
    return Rational(low.numerator, low.denominator), Rational(high.numerator, high.denominator)


@settings(max_examples=50)
@given(st.fractions(-4, 4, max_denominator=32), st.fractions(0, 3, max_denominator=32), UNIT)
def test_infinite_intervals_contain_the_values_in_them(low: Fraction, width: Fraction, share: Fraction) -> None:
    for formula in (1 / x, log(x), x * log(2 + x**2), sqrt(x) / (1 + x), exp(-x) * x**2, sympy.Max(x, 1 / (1 + x**2))):
        for high in (_fmpq(low + width), arb.pos_inf()):
            point = low + share * width if high != arb.pos_inf() else low + share * 100
            try:
                ends = evaluate(formula, {x: interval(_fmpq(low), high)})
            except Undefined:
                continue
            value = formula.subs(x, Rational(point.numerator, point.denominator))
            if value.is_finite:
                number = arb(str(sympy.N(value, 30)))
                assert not number < ends.low - arb("1e-20") and not number > ends.high + arb("1e-20")


def test_random_false_inequalities_are_never_proved() -> None:
    """Polynomials with a known negative value somewhere: the prover may give up, but must not prove them."""
    generator = np.random.default_rng(7)
    for _ in range(40):
        coefficients = generator.integers(-5, 6, size=5)
        polynomial = sum((int(c) * x**power for power, c in enumerate(coefficients)), sympy.S.Zero)
        lowest = sympy.Min(*[polynomial.subs(x, Rational(step, 16)) for step in range(33)])
        claim = sympy.Gt(polynomial, lowest + Rational(1, 1000), evaluate=False)
        proof = prove(claim, {x: (0, 2)}, max_boxes=2000)
        assert proof.verdict == "refuted"
        assert proof.value is not None and proof.value <= 0


def _proved(claim: sympy.Basic, box: dict[sympy.Symbol, object], **options: Any) -> bool:
    """Whether `prove` says proved; undecided and refused for a pole both count as no."""
    try:
        return prove(claim, box, max_boxes=300, **options).verdict == "proved"
    except PruneproofError as error:
        assert "pole" in str(error) or "defined" in str(error)
        return False


def test_a_pole_inside_the_box_is_never_stepped_over() -> None:
    """1/(x-c)² is positive wherever it is defined; at x = c, inside the box, it is not."""
    box: dict[sympy.Symbol, object] = {x: (0, Rational(1, 2))}
    for pole in (Rational(1, 5), Rational(1, 4), Rational(1, 3)):
        for squared in ((x - pole) ** -2, ((x - pole) ** 2) ** -1, 1 / sympy.Abs(x - pole), -log((x - pole) ** 2)):
            assert not _proved(sympy.Gt(squared, Rational(-1, 100), evaluate=False), box, touch=[pole])
            assert not _proved(sympy.Gt(squared, Rational(-1, 100), evaluate=False), box)
    removable = (u**2 - 25) / (u - 5) > 1
    assert not _proved(removable, {u: Interval(1, oo)}, tail={u: 4})
    cut = certificate(prove(x > -1, {x: (0, 1)}))
    hidden: list[object] = [[0, "1/4"], "interval", "interval"]
    square = ["^", ["+", "x", ["q", "-1/4"]], ["q", "-2"]]
    assert verify({**cut, "inequality": [">", square, ["q", "0"]], "steps": hidden}) is not None
    assert verify({**cut, "inequality": [">", square, ["q", "0"]], "steps": ["interval"]}) is not None


def test_a_hostile_power_is_refused_before_it_is_computed() -> None:
    cut = certificate(prove(x > -1, {x: (0, 1)}))
    tower: object = ["^", ["^", ["q", "9"], ["q", "999"]], ["q", "9999999"]]
    with pytest.raises(PruneproofError, match="moderate size"):
        verify({**cut, "inequality": [">", tower, "x"]})


def test_a_tail_needs_the_value_where_it_starts() -> None:
    """f' ≥ 0 from 4 on does not make f positive there."""
    rising = problem(u - 10 > 0, {u: Interval(4, oo)})
    assert not leaves.tail(rising.gap, rising.box, 1)
    beyond = problem(u - 10 > 0, {u: Interval(11, oo)})
    assert leaves.tail(beyond.gap, beyond.box, 1)


def test_a_box_is_excluded_only_where_the_condition_is_violated() -> None:
    claim = problem(x > 5, {x: (0, 1)}, [x > 3])
    assert leaves.excluded(claim.given[0], claim.box)
    holding = problem(x > 5, {x: (0, 1)}, [x > -3])
    assert not leaves.excluded(holding.given[0], holding.box)
    touching = problem(x > 5, {x: Interval(-oo, 0)}, [x >= 0])
    assert not leaves.excluded(touching.given[0], touching.box)
    split = problem(x > 5, {x: (0, 6)}, [x > 3])
    assert not leaves.excluded(split.given[0], split.box)
    for condition, violated in ((x > 3, False), (x < 3, False), (x < -1, True)):
        beyond = problem(x > 5, {x: Interval(0, oo)}, [condition])
        assert leaves.excluded(beyond.given[0], beyond.box) == violated


def test_a_strict_claim_is_not_proved_by_an_enclosure_that_ends_at_zero() -> None:
    strict, weak = problem(x > 0, {x: (0, 1)}).gap, problem(x >= 0, {x: (0, 1)}).gap
    assert not strict.positive(fmpq(0)) and weak.positive(fmpq(0))
    assert strict.negative(fmpq(0)) and not weak.negative(fmpq(0))
    cut = certificate(prove(x >= 0, {x: (0, 1)}))
    assert verify({**cut, "steps": ["interval"]}) is None
    assert verify({**cut, "inequality": [">", "x", ["q", "0"]], "steps": ["interval"]}) is not None
