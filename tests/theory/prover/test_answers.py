"""`prove` says proved, refuted with a point, or undecided with a place; its certificates are re-checked faster."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import sympy
from flint import arb, fmpq
from sympy import Interval, Rational, cos, exp, log, oo, sin, sqrt, tanh

from pruneproof.errors import PruneproofError
from pruneproof.theory.prover import rules as leaves
from pruneproof.theory.prover.certificate import certificate, save, verify
from pruneproof.theory.prover.expressions import from_tree, to_tree
from pruneproof.theory.prover.search import Proof, prove

x, y, z = sympy.symbols("x y z", real=True)
u = sympy.Symbol("u", positive=True)
POSITIVE = {u: Interval.open(0, oo)}


def _bennett(constant: sympy.Expr) -> Proof:
    """Bennett's exponent is at least Bernstein's, for all u > 0, with `constant` for 2/3."""
    return prove((1 + u) * log(1 + u) - u > u**2 / (2 + constant * u), POSITIVE, tail={u: 4})


@pytest.fixture(scope="module")
def bennett() -> Proof:
    return _bennett(Rational(2, 3))


def test_bennett_implies_bernstein_for_all_u(bennett: Proof) -> None:
    assert bennett.verdict == "proved"
    rules = {step for step in bennett.steps if isinstance(step, str)}
    assert "end low" in rules  # both sides agree to third order at 0
    assert any(rule.startswith("tail") for rule in rules)
    assert "mean value" in rules


@pytest.mark.parametrize("constant", [Rational(1, 2), Rational(66, 100), Rational(6666, 10000)])
def test_a_tightened_bernstein_is_refuted(constant: sympy.Expr) -> None:
    proof = _bennett(constant)
    assert proof.verdict == "refuted"
    assert isinstance(proof.value, arb)
    assert proof.value < 0


PROVED = {
    "one variable": (exp(x) > 1 + x, {x: (Rational(1, 8), 1)}, {}),
    "touch at an end": (exp(x) >= 1 + x, {x: (0, 1)}, {}),
    "touch inside": (exp(x) >= 1 + x, {x: (-1, 1)}, {"touch": [0]}),
    "open end": (sin(x) < x, {x: Interval.open(0, 2)}, {}),
    "a tail": (log(1 + u) < u, POSITIVE, {"tail": {u: 1}}),
    "root": (sqrt(1 + u) < 1 + u / 2, POSITIVE, {"tail": {u: 1}}),
    "two variables": (exp(x + y) > 1 + x + y, {x: (Rational(1, 10), 1), y: (Rational(1, 10), 1)}, {}),
    "three variables": (x**2 + y**2 + z**2 + 1 > x * y + y * z + z * x, {x: (-1, 1), y: (-1, 1), z: (-1, 1)}, {}),
    "a condition": (x**2 + y**2 >= Rational(2, 5), {x: (0, 1), y: (0, 1)}, {"given": [x + y >= 1]}),
    "tanh": (tanh(x) <= x, {x: (0, 3)}, {}),
    "less than": (cos(x) < Rational(11, 10), {x: (-3, 3)}, {}),
}
REFUTED = {
    "one variable": (exp(x) > 1 + x + x**2, {x: (0, 1)}, {}),
    "equality at a closed end": (exp(x) > 1 + x, {x: (0, 1)}, {}),
    "a tail": (log(1 + u) < u / 2, POSITIVE, {"tail": {u: 1}}),
    "far out": (u < 10**6, POSITIVE, {"tail": {u: 1}}),
    "two variables": (x * y < Rational(9, 10), {x: (0, 1), y: (0, 1)}, {}),
    "a condition dropped": (x**2 + y**2 >= Rational(2, 5), {x: (0, 1), y: (0, 1)}, {}),
    "a narrow dip": ((x - Rational(1, 3)) ** 2 > Rational(1, 10**8), {x: (0, 1)}, {}),
}


@pytest.mark.parametrize("name", PROVED)
def test_true_inequalities_are_proved(name: str) -> None:
    claim, box, options = cast("tuple[sympy.Basic, Any, Any]", PROVED[name])
    proof = prove(claim, box, **options)
    assert proof.verdict == "proved"
    assert verify(json.loads(json.dumps(certificate(proof)))) is None


@pytest.mark.parametrize("name", REFUTED)
def test_false_inequalities_are_refuted_with_a_point(name: str) -> None:
    claim, box, options = cast("tuple[sympy.Basic, Any, Any]", REFUTED[name])
    proof = prove(claim, box, **options)
    assert proof.verdict == "refuted"
    assert proof.witness is not None
    point = [(symbol, Rational(str(proof.witness[symbol.name]))) for symbol in box]
    assert claim.subs(cast("Any", point)) == sympy.false
    assert verify(json.loads(json.dumps(certificate(proof)))) is None


def test_undecided_says_where() -> None:
    """The two sides touch at an irrational point, which no rule here can see."""
    proof = prove(x**4 * exp(x) + 4 * exp(x) >= 4 * x**2 * exp(x), {x: (1, 2)}, max_boxes=500)
    assert proof.verdict == "undecided"
    assert proof.where and 0 < proof.decided < 1
    assert all("x in [" in place for place in proof.where)
    with pytest.raises(PruneproofError, match="undecided"):
        certificate(proof)


def test_checking_needs_fewer_evaluations_than_finding(bennett: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    plain = leaves.Gap.tape

    def counting(gap: leaves.Gap) -> object:
        nonlocal counted
        counted += 1
        return plain.func(gap)

    monkeypatch.setattr(leaves.Gap, "tape", property(counting))
    assert _bennett(Rational(2, 3)).verdict == "proved"
    finding, counted = counted, 0
    assert verify(certificate(bennett)) is None
    assert counted * 2 < finding


def _tampered(data: dict[str, Any]) -> list[dict[str, Any]]:
    steps = data["steps"]
    first = next(index for index, step in enumerate(steps) if isinstance(step, str))
    tighter = json.loads(json.dumps(data["inequality"]).replace("2/3", "1/2"))
    return [
        {**data, "steps": steps[:-1]},
        {**data, "steps": [*steps, "natural"]},
        {**data, "steps": [*steps[:first], "natural", *steps[first + 1 :]]},
        {**data, "steps": ["natural"]},
        {**data, "steps": ["tail 0"]},
        {**data, "steps": ["excluded 0"]},
        {**data, "steps": ["anything"]},
        {**data, "inequality": tighter},
        {**data, "box": [["u", "0", None, False, False]]},
        {**data, "verdict": "refuted", "witness": {"u": "1"}},
        {**data, "verdict": "refuted", "witness": {"u": "-1"}},
        {**data, "verdict": "refuted", "witness": None},
        {**data, "precision": 4},
    ]


@pytest.mark.parametrize("index", range(13))
def test_a_tampered_certificate_is_refused(bennett: Proof, index: int) -> None:
    data = cast("dict[str, Any]", json.loads(json.dumps(certificate(bennett))))
    assert verify(data) is None
    assert isinstance(verify(_tampered(data)[index]), str)


MALFORMED: dict[str, object] = {
    "not a mapping": [],
    "another kind": {"kind": "network", "format": 1},
    "another format": {"kind": "inequality", "format": 2},
    "no precision": {"kind": "inequality", "format": 1, "verdict": "proved"},
    "huge precision": {"kind": "inequality", "format": 1, "verdict": "proved", "precision": 10**9},
    "no box": {"kind": "inequality", "format": 1, "verdict": "proved", "precision": 64},
    "code for a symbol": {
        "kind": "inequality",
        "format": 1,
        "verdict": "proved",
        "precision": 64,
        "inequality": [">", "__import__('os').system('true')", ["q", "0"]],
        "given": [],
        "box": [["x", "0", "1", False, False]],
        "steps": ["natural"],
    },
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_certificate_is_refused(name: str) -> None:
    with pytest.raises(PruneproofError):
        verify(MALFORMED[name])


def test_saved_certificates_are_read_back(bennett: Proof, tmp_path: Path) -> None:
    save(bennett, tmp_path / "proof.json")
    assert verify(json.loads((tmp_path / "proof.json").read_text("utf-8"))) is None


def test_trees_round_trip_without_evaluating_text() -> None:
    formula = sympy.Max(x, y) ** Rational(2, 3) * exp(-x) + sympy.pi * log(2 + y) - sympy.Abs(x) / 7
    tree = json.loads(json.dumps(to_tree(formula)))
    assert from_tree(tree, {"x": x, "y": y}) == formula
    for bad in (["system", "x"], ["q", "1/0"], ["q", "0x10"], ["q", 1.5], "w", [], ["+"], None):
        with pytest.raises(PruneproofError):
            from_tree(bad, {"x": x})
    deep: object = "x"
    for _ in range(500):
        deep = ["exp", deep]
    with pytest.raises(PruneproofError):
        from_tree(deep, {"x": x})


BAD = {
    "free symbol": (lambda: prove(x + y > 0, {x: (0, 1)}), "range for every symbol"),
    "free symbol in a condition": (lambda: prove(x > -1, {x: (0, 1)}, given=[y > 0]), "range for every symbol"),
    "pole inside": (lambda: prove(1 / x > -1, {x: (-1, 1)}), "division by zero"),
    "pole at a closed end": (lambda: prove(1 / x > 0, {x: (0, 1)}), "division by zero"),
    "pole between probes": (lambda: prove(1 / (3 * x - 1) > -9, {x: (0, 1)}), "changes sign"),
    "log of a negative number": (lambda: prove(log(x) < 9, {x: (-1, 1)}), "logarithm or power is not defined"),
    "root of a negative number": (lambda: prove(sqrt(x) < 9, {x: (-1, 1)}), "fractional power"),
    "non-elementary": (lambda: prove(sympy.gamma(x) > 0, {x: (1, 2)}), "gamma"),
    "empty box": (lambda: prove(x > 0, {x: (2, 1)}), "not be empty"),
    "a point": (lambda: prove(x > 0, {x: (1, 1)}), "not be empty"),
    "tail outside": (lambda: prove(x > 0, {x: (5, oo)}, tail={x: 1}), "tail for x"),
    "no box": (lambda: prove(x > 0, {}), "one to 3 symbols"),
    "four variables": (lambda: prove(x > 0, dict.fromkeys(sympy.symbols("x a b c"), (0, 1))), "one to 3 symbols"),
    "an equation": (lambda: prove(sympy.Eq(x, 1), {x: (0, 1)}), "inequality"),
    "already decided": (lambda: prove(sympy.true, {x: (0, 1)}), "inequality"),
    "a word for a range": (lambda: prove(x > 0, {x: "0..1"}), "range for x"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_the_reason(name: str) -> None:
    attempt, reason = BAD[name]
    with pytest.raises(PruneproofError, match=reason):
        attempt()


def test_the_witness_lies_in_the_box() -> None:
    proof = prove(x > 0, {x: Interval.open(-1, 1)})
    assert proof.witness is not None
    assert fmpq(-1) < proof.witness["x"] <= 0
