"""Every step of every proof is checked by machine; the same check refutes its negative control with a witness."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import sympy

from pruneproof.theory import Bound, bounds
from pruneproof.theory.prover.obligation import LEVELS, Identity, NegativeControl, Obligation
from pruneproof.theory.prover.verdicts import discharge, table
from pruneproof.theory.theorems.catalogue import RESTS_ON, obligations, steps, trust
from pruneproof.theory.theorems.proof_page import page

pytest.importorskip("z3", reason="the polynomial steps need the extra [proof]")

THEORY = Path(__file__).parents[2] / "theory"
DERIVED = [bound for bound in bounds() if bound.status == "derived"]


@pytest.mark.parametrize("step", obligations(), ids=lambda step: step.id)
def test_the_step_is_proved_and_its_control_refuted(step: Obligation) -> None:
    result = discharge(step)
    assert result.verdict == "proved"
    assert result.control_verdict == "refuted"
    assert result.witness
    assert (result.boxes == 0) == (step.level != "certified")


def test_there_are_enough_and_none_is_sampled() -> None:
    levels = [step.level for step in obligations()]
    assert len(levels) >= 40
    assert set(levels) <= {"symbolic", "smt", "certified"} == set(LEVELS)
    assert len({step.id for step in obligations()}) == len(levels)


def test_every_derived_statement_of_the_theory_has_steps() -> None:
    theorems = {step.theorem for step in obligations()}
    families = {"G1", "G2", "G3", "P1", "T1", "T2", "T3", "S1", "S2", "S3", "S4", "S5", "S6", "N1", "N2", "N3", "N4"}
    assert families | {"N2'", "scaling", "mixture"} <= theorems


@pytest.mark.parametrize("bound", DERIVED, ids=lambda bound: bound.name)
def test_every_derived_bound_says_what_it_trusts(bound: Bound) -> None:
    assert steps(bound)
    assert trust(bound).split(";")[0] in LEVELS


def test_what_rests_on_trust_is_named() -> None:
    known = {bound.name: trust(bound) for bound in bounds()}
    for name in ("S1", "S3", "S4", "N3"):
        assert "Bennett" in known[name]
    assert "exchangeability" in known["S5-rank"]
    assert "Weyl" in known["P1"]
    assert "trusting" not in known["G1"] + known["G2"] + known["G3"]
    assert known["published-shape"] != known["SiPP-sample"] == "published, not proved here"


def test_inductions_and_key_steps_are_discharged_exactly() -> None:
    exact = {step.id for step in obligations() if step.level in ("symbolic", "smt")}
    assert {"N1.base", "N1.step", "G1.base", "G1.step", "G2.base", "G2.invariance", "G3.contraction"} <= exact


def test_a_statement_rests_on_the_steps_that_its_proof_borrows() -> None:
    """G3 takes the vertex of G2; the difference of two rectifiers is monotone in z for either sign of δ."""
    [of_g3] = [bound for bound in bounds() if bound.name == "G3"]
    assert "G2.vertex" in {step.id for step in steps(of_g3)}
    assert "G2.vertex" in page("G3", [])
    of_region = {step.id for step in obligations("N2'")}
    assert {"N2'.in-z", "N2'.in-z-falling"} <= of_region
    assert {"N2'.chord", "N2'.chord-active", "N2'.chord-inactive"} <= of_region


def test_a_control_says_what_it_changes() -> None:
    [base] = [step for step in obligations("N1") if step.id == "N1.base"]
    assert base.control.text == "A > 0 for A = 1"
    assert base.control.given is not None
    assert any("A > 0" in str(condition) for condition in base.control.given)


def test_a_broken_step_is_not_proved() -> None:
    """The control put in the step's place comes out refuted, at each level."""
    for name in ("G2.expansion", "G1.step", "S1.bennett-bernstein"):
        [step] = [step for step in obligations() if step.id == name]
        broken = dataclasses.replace(step, claim=step.control.claim, control=NegativeControl("the truth", step.claim))
        result = discharge(broken)
        assert result.verdict == "refuted"
        assert result.control_verdict == "proved"
        assert not result.sound


def test_a_step_whose_conditions_contradict_each_other_is_not_proved() -> None:
    a = sympy.Symbol("a")
    vacuous = Obligation("X.vacuous", "", a > 1, NegativeControl("", a > 1, given=()), (a > 2, a < 1))
    assert discharge(vacuous).verdict == "undecided"


def test_an_identity_that_needs_luck_is_not_refuted_without_a_witness() -> None:
    a = sympy.Symbol("a", positive=True)
    true = Obligation("X.true", "", Identity((a + 1) ** 2, a**2 + 2 * a + 1), NegativeControl("", Identity(a, a)))
    assert discharge(true).verdict == "proved"
    assert discharge(true).control_verdict == "proved"  # a negative control that is not false is noticed
    assert not discharge(true).sound


def test_the_proofs_name_their_steps_and_only_those() -> None:
    known = {step.id for step in obligations()}
    for name in ("greedy", "pretraining", "mixtures"):
        text = (THEORY / f"theorems/{name}/proof.md").read_text("utf-8")
        cited = set(re.findall(r"`([A-Za-z0-9'-]+\.[a-z][a-z-]+)`", text)) - {"theory.pretraining.origins"}
        assert cited <= known
    greedy = (THEORY / "theorems/greedy/proof.md").read_text("utf-8")
    assert all(step.id in greedy for step in obligations() if step.theorem in ("G1", "G2", "G3", "MARGIN"))
    pretraining = (THEORY / "theorems/pretraining/proof.md").read_text("utf-8")
    of_pretraining = ("P1", "T1", "T2", "T3")
    assert all(step.id in pretraining for step in obligations() if step.theorem in of_pretraining)


def test_the_table_is_plain_data() -> None:
    rows = table(obligations("G2"))
    assert json.loads(json.dumps(rows)) == rows
    keys = {
        "id",
        "theorem",
        "statement",
        "level",
        "verdict",
        "boxes",
        "seconds",
        "control",
        "control_verdict",
        "witness",
        "trust",
    }
    assert all(set(row) == keys for row in rows)


def test_a_theorem_page_shows_the_chain() -> None:
    text = page("T3", [discharge(step) for step in obligations("T3")])
    assert "labels are ±1" in text
    assert "T3.halves" in text
    assert "negative control" in text
    assert ", ".join(RESTS_ON["T3"]) in text
    assert "Bennett" in page("S4", [discharge(step) for step in obligations("S4")])
