"""A formula that is undefined, or not smooth, somewhere in the box is not proved there, whatever hides it."""

import json
from typing import Any, cast

import numpy as np
import pytest
import sympy
from flint import arb, arb_series, ctx, fmpq
from sympy import Abs, Interval, Max, Min, Rational, exp, log, oo, sqrt

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic import elementary
from pruneproof.theory.prover import rules as leaves
from pruneproof.theory.prover.box import Side
from pruneproof.theory.prover.certificate import certificate, verify
from pruneproof.theory.prover.problem import problem
from pruneproof.theory.prover.search import prove

x, y = sympy.symbols("x y", real=True)
THIRD = Rational(1, 3)
DIP = 5 * Max(0, 1 - 1000 * Abs(x - THIRD))  # a tooth of height 5, one thousandth wide on either side of 1/3


def _proved(claim: sympy.Basic, box: dict[sympy.Symbol, object], **options: Any) -> bool:
    try:
        return prove(claim, box, max_boxes=300, **options).verdict == "proved"
    except PruneproofError as error:
        assert "defined" in str(error) or "zero" in str(error) or "cancel" in str(error)
        return False


FALSE_OR_UNDEFINED: dict[str, tuple[sympy.Basic, dict[sympy.Symbol, object]]] = {
    "a tooth, by the mean value": (1 + x - DIP > 0, {x: (0, 1)}),
    "a tooth, by a touch at 0": (x + x**2 - DIP >= 0, {x: (0, 1)}),
    "a pole of one variable only": (x + y - 2 / Abs(x) > -1000, {x: Interval.open(-2, 0), y: (0, 1)}),
    "a pole under an exact zero": (1 + x + Max(0, x - 9) / (3 * x - 1) ** 2 > 0, {x: (0, 1)}),
}


@pytest.mark.parametrize("name", FALSE_OR_UNDEFINED)
def test_an_undefined_summand_does_not_go_unnoticed(name: str) -> None:
    claim, box = FALSE_OR_UNDEFINED[name]
    assert not _proved(claim, box)


@pytest.mark.parametrize("rule", ["natural", "mean value", "convex", "interval", "end low", "end high"])
@pytest.mark.parametrize("name", FALSE_OR_UNDEFINED)
def test_no_rule_decides_a_box_where_the_formula_is_undefined_or_false(name: str, rule: str) -> None:
    claim, box = FALSE_OR_UNDEFINED[name]
    question = problem(claim, box)
    with ctx.workprec(128):
        assert not leaves.rules()[rule](question.gap, question.box)


def test_a_jet_of_an_undefined_summand_has_no_coefficients() -> None:
    """The constant term alone is marked; a derivative read from it would be that of the other summands."""
    with leaves.series_length(2):
        jet = elementary.total(arb_series([arb(0, 1), 1], 2), elementary.UNDEFINED)
        assert elementary.defined(cast("arb_series", jet)[1])
        assert not leaves.coefficient(jet, 1).is_finite()
        assert leaves.coefficient(arb_series([arb(0, 1), 3], 2), 1) == 3


def test_an_exact_zero_does_not_swallow_what_is_undefined() -> None:
    with leaves.series_length(2):
        undefined = elementary.total(arb_series([arb(0, 1), 1], 2), elementary.UNDEFINED)
        zero_jet = elementary.product(fmpq(0), arb_series([arb(0, 1), 1], 2))
        for product in (
            elementary.product(fmpq(0), undefined),
            elementary.product(undefined, fmpq(0)),
            elementary.product(zero_jet, elementary.UNDEFINED),
            elementary.product(zero_jet, undefined),
            elementary.product(fmpq(0), elementary.UNDEFINED),
            elementary.integer_power(undefined, 0),
            elementary.power(elementary.UNDEFINED, fmpq(0)),
        ):
            assert not elementary.defined(product)


def test_a_symbol_of_any_name_keeps_its_own_range_in_a_tail() -> None:
    """The inverse of the infinite variable must not be mistaken for a variable of the claim."""
    for name in ("v", "Dummy_v"):
        other = sympy.Symbol(name, real=True)
        assert not _proved(other * x <= 10**6, {x: (1, oo), other: (0, 1)}, tail={x: 1})
        question = problem(other * x <= 10**6, {x: (2 * 10**6, oo), other: (0, 1)})
        assert not any(leaves.tail(question.gap, question.box, order) for order in range(5))


CANCELLED: dict[str, tuple[sympy.Basic, dict[sympy.Symbol, object]]] = {
    "a pole": (1 / x + y + 1 > 1 / x, {x: (-1, 1), y: (0, 1)}),
    "a logarithm": (sympy.Gt(log(x) + 1, log(x), evaluate=False), {x: (-2, -1)}),
    "a root": (sympy.Gt(sqrt(x) + 1, sqrt(x), evaluate=False), {x: (-2, -1)}),
    "a power": (sympy.Gt(x**y + 1, x**y, evaluate=False), {x: (-2, -1), y: (0, 1)}),
}


@pytest.mark.parametrize("name", CANCELLED)
def test_what_cancels_between_the_sides_is_refused(name: str) -> None:
    claim, box = CANCELLED[name]
    with pytest.raises(PruneproofError, match="must not cancel"):
        prove(claim, box)
    with pytest.raises(PruneproofError, match="must not cancel"):
        prove(sympy.Gt(x + 9, y), {x: (-2, -1), y: (0, 1), **box}, given=[claim])


def test_what_is_defined_everywhere_may_cancel() -> None:
    always = log(1 + x**2) + 1 / (2 + x**2) + sqrt(exp(x))
    assert prove(sympy.Gt(always + 1, always, evaluate=False), {x: (-2, 2)}).verdict == "proved"
    assert prove(sympy.Gt(1 + 2 * sqrt(x), sqrt(x), evaluate=False), {x: (0, 2)}).verdict == "proved"
    stronger = sympy.Gt(1 + sqrt(x) + 1 / sqrt(x), sqrt(x), evaluate=False)  # 1/√x stays, which needs x > 0
    assert prove(stronger, {x: (1, 2)}).verdict == "proved"


HALF, MINUS = ["q", "1/2"], ["q", "-1"]
FORGED: dict[str, list[object]] = {
    "x/x": [">", ["*", "x", ["^", "x", MINUS]], HALF],
    "exp(log x)": ["<", ["exp", ["log", "x"]], ["q", "2"]],
    "exp(log x + 1)": ["<", ["exp", ["+", ["log", "x"], ["q", "1"]]], ["q", "9"]],
    "(x^(1/2))^2": ["<", ["^", ["^", "x", HALF], ["q", "2"]], ["q", "2"]],
    "1/log(0)": [">", ["+", "x", ["^", ["log", ["q", "0"]], MINUS]], ["q", "-2"]],
    "abs(log(-1))": [">", ["abs", ["log", MINUS]], "x"],
    "i squared": ["<", ["+", "x", ["^", ["^", MINUS, HALF], ["q", "2"]]], ["q", "9"]],
    "0^0": [">", ["+", "x", ["^", ["q", "0"], ["q", "0"]]], ["q", "-1"]],
    "log(x, x)": [">", ["log", "x", "x"], ["q", "0"]],
    "x^x without evaluation": [">", ["^", "x", ["q", "2"], "x"], ["q", "-1"]],
    "a relation of three": ["<", "x", ["q", "2"], ["q", "3"]],
    "a rational of three": ["<", "x", ["q", "2", "3"]],
}


@pytest.mark.parametrize("place", ["inequality", "given"])
@pytest.mark.parametrize("name", FORGED)
def test_a_certificate_that_hides_what_is_undefined_is_refused(name: str, place: str) -> None:
    true = json.loads(json.dumps(certificate(prove(x > -3, {x: (-1, 1)}))))
    forged = {**true, place: FORGED[name] if place == "inequality" else [FORGED[name]]}
    with pytest.raises(PruneproofError):
        verify(forged)


def _random_formula(generator: np.random.Generator, depth: int) -> sympy.Expr:
    """A formula with kinks, teeth and poles of the variable x."""
    if depth == 0:
        kink = Rational(int(generator.integers(-8, 9)), 8)
        return cast(sympy.Expr, [x, Abs(x - kink), x**2, Max(x, kink), Min(x, kink)][generator.integers(5)])
    first, second = (_random_formula(generator, depth - 1) for _ in range(2))
    number = Rational(int(generator.integers(-9, 10)), 4)
    choices = [
        lambda: first + number * second,
        lambda: first * second + number,
        lambda: Max(first, second * number),
        lambda: Min(first, second + number),
        lambda: first - 4 * Max(0, 1 - 64 * Abs(x - number / 3)),
        lambda: first + number / (Rational(1, 16) + Abs(second)),
        lambda: exp(Min(first, 1)) * number + second,
        lambda: sympy.tanh(first) + sqrt(Abs(second) + 1),
    ]
    return cast(sympy.Expr, choices[generator.integers(len(choices))]())


def test_random_formulas_with_kinks_are_never_proved_against_a_known_value() -> None:
    """A claim that fails at a point of a grid, whatever the formula, is not proved; nor does any rule prove a box."""
    generator = np.random.default_rng(11)
    rules = [leaves.rules()[name] for name in ("natural", "mean value", "convex", "interval", "end low", "end high")]
    for _ in range(60):
        formula = _random_formula(generator, 2)
        step = int(generator.integers(-48, 49))
        lowest = formula.subs(x, Rational(step, 48))
        claim = sympy.Gt(formula, lowest + Rational(1, 10**6), evaluate=False)
        question = problem(claim, {x: (-1, 1)})
        number = fmpq(step, 48)
        for width in (fmpq(1), fmpq(1, 100), fmpq(1, 10**6)):
            side = Side(number - width, number + 2 * width / 3)
            assert not any(rule(question.gap, (side,)) for rule in rules)
        assert prove(claim, {x: (-1, 1)}, max_boxes=60).verdict != "proved"
