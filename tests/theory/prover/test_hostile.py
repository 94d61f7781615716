"""Malformed, forged and oversized input is refused in one line: no traceback, no hang, no other reading of it."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import sympy
from flint import fmpq
from sympy import Integer, Interval, Rational, exp, log, oo, sqrt, tanh

from pruneproof.commands import check
from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import enclose
from pruneproof.theory.arithmetic.intervals import evaluate, interval
from pruneproof.theory.prover.certificate import certificate, claim, save, verify
from pruneproof.theory.prover.expressions import MAX_DEPTH, MAX_RATIONAL, from_tree, rational, to_tree
from pruneproof.theory.prover.search import prove

x, y = sympy.symbols("x y", real=True)
LONG = Integer(10) ** 5000


@pytest.fixture(scope="module")
def true() -> dict[str, Any]:
    """The certificate of x > -2 on [-1, 1], as read from JSON."""
    return json.loads(json.dumps(certificate(prove(x > -2, {x: (-1, 1)}))))


def _nested(levels: int) -> object:
    tree: object = "x"
    for _ in range(levels):
        tree = ["exp", ["+", ["q", "1"], ["*", ["q", "-1"], tree]]]
    return tree


def _power(base: object, exponent: str) -> object:
    return ["^", base, ["q", exponent]]


LARGE = {
    "an exponent of 30 million": _power(["+", ["q", "1"], "x"], "30000000"),
    "a root of 10^30": _power("x", "1/1" + 30 * "0"),
    "a power of a power": _power(_power(["+", "x", ["q", "1"]], "-9999"), "9999/2"),
    "a power of a power of a product": _power(_power(["*", "x", ["+", "x", ["q", "1"]]], "9999"), "9999"),
    "a power of a multiple": _power(_power(["*", ["q", "999"], "x"], "900"), "900"),
    "a power of a rational": _power(["q", "9" * 999], "99"),
    "too many digits": ["q", "9" * 5000],
    "too deep": _nested(MAX_DEPTH),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_formula_too_large_to_check_is_refused(true: dict[str, Any], name: str) -> None:
    with pytest.raises(PruneproofError):
        verify({**true, "inequality": [">", LARGE[name], ["q", "0"]]})


MALFORMED: dict[str, dict[str, object]] = {
    "an index of 5000 digits": {"steps": ["excluded " + "9" * 5000]},
    "an open flag of 1": {"box": [["x", "-1", "1", 1, 0]]},
    "a range of six": {"box": [["x", "-1", "1", False, False, "x"]]},
    "a range of three": {"box": [["x", "-1", "1"]]},
    "a number for a name": {"box": [[1, "-1", "1", False, False]]},
    "a formula for a name": {"box": [["x", "-1", "1", False, False], ["x**2 + 1", "0", "1", False, False]]},
    "a name that steers the terminal": {
        "box": [["x", "-1", "1", False, False], ["y\u001b[2J", "0", "1", False, False]]
    },
    "no box": {"box": None},
    "no conditions": {"given": None},
    "a condition that is a word": {"given": ["x"]},
    "a list for an inequality's sign": {"inequality": [[], "x", ["q", "0"]]},
    "an inequality without a side": {"inequality": [">", "x"]},
    "a long precision": {"precision": int(LONG)},
    "a long cut": {"steps": [[0, "9" * 5000], "natural", "natural"]},
    "a number for a cut": {"steps": [[0, int(LONG)], "natural", "natural"]},
    "zero to the minus one": {"inequality": [">", ["+", "x", _power(["q", "0"], "-1")], ["q", "0"]]},
    "infinitely nested steps": {"steps": [json.loads("[" * 900 + "]" * 900)]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_certificate_is_refused_in_one_line(true: dict[str, Any], name: str) -> None:
    forged = {**true, **MALFORMED[name]}
    try:
        assert isinstance(verify(forged), str)
    except PruneproofError as error:
        assert "\n" not in str(error)
        assert "\u001b" not in str(error)


def test_a_closed_end_is_not_read_as_open() -> None:
    """1/x > 0 holds on (0, 1] only: the flag must say so, and in the one form in which it is written."""
    proof = json.loads(json.dumps(certificate(prove(1 / x > 0, {x: Interval.Lopen(0, 1)}))))
    assert verify(proof) is None
    for flag in (False, 1, "true", None):
        changed = {**proof, "box": [["x", "0", "1", flag, False]]}
        try:
            assert isinstance(verify(changed), str)
        except PruneproofError as error:
            assert flag is not False and "true or false" in str(error)


def test_a_json_integer_of_5000_digits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.json"
    file.write_text('{"kind": "inequality", "precision": ' + "9" * 5000 + "}", "utf-8")
    with pytest.raises(PruneproofError, match="is not JSON"):
        check.main(file)


def test_check_says_what_it_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = prove(x**2 + y > 0, {x: Interval.open(1, oo), y: (0, Rational(1, 3))}, given=[x > y], tail={x: 2})
    save(proof, tmp_path / "proof.json")
    assert check.main(tmp_path / "proof.json") == 0
    assert "x**2 + y > 0 for x in (1, ∞), y in [0, 1/3], given x > y" in capsys.readouterr().out
    assert claim(certificate(proof)) == str(proof.problem)


def test_whatever_is_proved_can_be_checked() -> None:
    """Bounds on what a certificate holds are those on what `prove` takes."""
    long = Integer(2) ** (MAX_RATIONAL // 2) - 1
    for side in (long, 1 / long, (long - 1) / long):
        assert from_tree(to_tree(side), {}) == side
        assert rational(str(-side)) == -side
    box = {x: (Rational(2**990 - 1, 2**990), Rational(2**999 + 1, 2**999 - 1))}
    found = prove(exp(x) < 3 * x, box, precision=4096, touch=[1])
    assert found.verdict == "proved"
    assert verify(json.loads(json.dumps(certificate(found)))) is None
    for bits in (2, 4096):
        assert verify(json.loads(json.dumps(certificate(prove(x > 0, {x: (1, 2)}, precision=bits))))) is None


def _deep(levels: int) -> sympy.Expr:
    formula: sympy.Expr = x
    for _ in range(levels):
        formula = tanh(formula)
    return formula


REFUSED = {
    "a root of 10^30": (lambda: prove(x ** Rational(1, 10**30) > 0, {x: (1, 2)}), "exponents up to"),
    "an exponent of 400 digits": (lambda: prove(x ** (10**400 + 1) > 0, {x: (1, 2)}), "exponents up to"),
    "an exponent of 10^9": (
        lambda: prove(x ** (10**9) + y > 0, {x: (1, oo), y: (0, 1)}, tail={x: 1}),
        "exponents up to",
    ),
    "250 levels": (lambda: prove(_deep(250) < 2, {x: (0, 1)}), "more than 200 deep"),
    "a long bound": (lambda: prove(x < LONG, {x: (0, 1)}), "may have 8000 bits"),
    "a long quotient": (lambda: prove(x < Rational(2**5000, 3**3000), {x: (0, 1)}), "may have 8000 bits"),
    "a long end": (lambda: prove(x < 2, {x: (0, LONG)}), "may have 1000 bits"),
    "a long tail": (lambda: prove(x > 0, {x: (1, oo)}, tail={x: LONG}), "may have 1000 bits"),
    "a long touch": (lambda: prove(x > 0, {x: (1, 2)}, touch=[1 + 1 / LONG]), "may have 1000 bits"),
    "a word for a symbol": (lambda: prove(x > 0, cast(Any, {"x": (0, 1)})), r"x \(str\)"),
    "a word for a tail": (lambda: prove(x > 0, {x: (1, oo)}, tail=cast(Any, {"x": 1})), "tail=.x: X"),
    "a number for a tail": (lambda: prove(x > 0, {x: (1, oo)}, tail=cast(Any, 1)), "tail=.x: X"),
    "no box": (lambda: prove(x > 0, cast(Any, None)), "box must be a dictionary"),
    "a condition, not a list": (lambda: prove(x > 0, {x: (1, 2)}, given=x > 0), "conditions must be a list"),
    "a point, not a list": (lambda: prove(x > 0, {x: (1, 2)}, touch=cast(Any, 1)), "list of points"),
    "a symbol named like a formula": (
        lambda: prove(sympy.Symbol("x > 1") > 0, {sympy.Symbol("x > 1"): (1, 2)}),
        "plain",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_input_that_cannot_be_certified_is_refused(name: str) -> None:
    attempt, reason = REFUSED[name]
    with pytest.raises(PruneproofError, match=reason):
        attempt()


@pytest.mark.parametrize("precision", [0, 1, 4097, 8192, "12", 64.0, True, None])
def test_a_precision_that_check_would_refuse_is_refused(precision: object) -> None:
    with pytest.raises(PruneproofError, match="precision must be 2 to 4096 bits"):
        prove(x > 0, {x: (1, 2)}, precision=cast(Any, precision))


@pytest.mark.parametrize(
    "declared",
    [
        {"extended_positive": True},
        {"extended_real": True},
        {"imaginary": True},
        {"irrational": True},
        {"infinite": True},
        {"polar": True},
        {"zero": False},
        {"commutative": False},
    ],
    ids=str,
)
def test_a_declaration_that_no_range_can_confirm_is_refused(declared: dict[str, bool]) -> None:
    symbol = sympy.Symbol("s", **declared)
    with pytest.raises(PruneproofError, match="declare at most one of"):
        prove(sympy.Gt(sympy.Abs(symbol) + 2, 1, evaluate=False), {symbol: (-1, 1)})


@pytest.mark.parametrize(
    "declared", ["complex", "real", "positive", "negative", "nonnegative", "nonpositive", "nonzero"]
)
def test_plain_declarations_are_taken_with_their_range(declared: str) -> None:
    symbol = sympy.Symbol("s", **{declared: True})
    sign = -1 if declared in ("negative", "nonpositive") else 1
    box = {symbol: (1, 2) if sign > 0 else (-2, -1)}
    assert prove(sympy.Gt(exp(symbol), Rational(1, 99), evaluate=False), box).verdict == "proved"
    if declared not in ("complex", "real"):
        with pytest.raises(PruneproofError):
            prove(sympy.Gt(exp(symbol), Rational(1, 99), evaluate=False), {symbol: (-1, 1)})


def test_the_hyperbolic_tangent_of_a_wide_jet_is_undefined_not_an_error() -> None:
    assert prove(tanh(x**2) > Rational(1, 2), {x: (Rational(3, 2), Rational(9, 2))}).verdict == "proved"


def test_high_powers_take_no_time(true: dict[str, Any]) -> None:
    powers = x**10_000 + y > 0
    assert prove(powers, {x: (1, oo), y: (0, 1)}, tail={x: 1}).verdict == "proved"
    wide = prove((1 + x + y) ** 2000 + log(x) > 0, {x: (1, oo), y: (0, 1)}, tail={x: 1}, max_boxes=20)
    assert wide.verdict == "undecided"  # nothing is multiplied out
    assert evaluate(x ** (10**9), {x: interval(fmpq(0), fmpq(1))}).high == 1
    root = enclose(x ** Rational(1, 10**30), {x: 2})
    assert 1 < root < 1 + Rational(1, 10**29)


def test_a_formula_at_the_limit_of_depth_is_read_back() -> None:
    tree = to_tree(_deep(MAX_DEPTH))
    assert from_tree(tree, {"x": x}) == _deep(MAX_DEPTH)
    assert prove(sqrt(_deep(50) + 1) < 2, {x: (0, 1)}).verdict == "proved"
