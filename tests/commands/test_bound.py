"""`pruneproof bound` names the quantity, its direction and the hypotheses; without them it gives no value."""

import json
import math
import re
from fractions import Fraction
from typing import Any

import pytest

from pruneproof.cli import main
from pruneproof.theory import bounds

NAMED = {bound.name: bound for bound in bounds()}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status and everything printed."""
    status = main(["bound", *arguments])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    status, text = run(capsys, *arguments, "--json")
    assert status == 0
    return json.loads(text)


def test_the_value_is_that_of_the_bound_at_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    g1 = NAMED["G1"]
    found = report(capsys, "g1", "k=100", "V=1/3", "loss=0.1")
    assert found["value"] == g1.bound(k=100, V=Fraction(1, 3), loss=Fraction(1, 10))
    assert found["value"] != g1.bound(k=100, V=Fraction(1, 3), loss=0.11)
    assert found["values"] == {"k": "100", "V": "1/3", "loss": "1/10"}
    assert found["latex"] == g1.latex()
    assert set(found["symbols"]) == {"k", "V", "loss"}  # pyright: ignore[reportArgumentType]


FAILING = {
    "a probability above 1": ["S1-size", "epsilon=0.1", "delta=2", "C=1", "Sigma=20"],
    "half a step": ["G1", "k=1/2", "V=1", "loss=0"],
    "a size below the one that the proof needs": [
        *["T3-threshold", "m=100", "V=1", "k=2", "D_y=1", "gamma_s=1", "L_0=0.5", "q=0.9"]
    ],
    "a symbol that only a hypothesis needs": ["T3-threshold", "m=100", "L_0=0.5", "q=0.9"],
}


@pytest.mark.parametrize("name", FAILING)
def test_without_its_hypotheses_a_bound_has_no_value(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, *FAILING[name])
    assert status == 3
    assert "no value" in text
    status, text = run(capsys, *FAILING[name], "--json")
    assert status == 3
    assert json.loads(text)["value"] is None
    status, text = run(capsys, *FAILING[name], "--assume", "--json")
    assert status == 0
    assert json.loads(text)["assumed"] is True
    assert json.loads(text)["value"] is not None


def test_what_the_program_cannot_decide_is_the_users_to_ensure(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "G1", "k=2", "V=1", "loss=0")
    assert status == 0
    assert "FAILS" not in text
    assert "you must ensure: selection is with replacement" in text


def test_a_requirement_is_rounded_up_and_reads_as_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """S1-size: 15248 draws are enough; `measured quantity <= 15247.37` would read as the opposite."""
    _, text = run(capsys, "S1-size", "epsilon=0.1", "delta=0.05", "C=1", "Sigma=20")
    assert "enough draws: m ≥ 15248" in text
    assert not re.search(r"(<=|≤)\s*15247", text)


@pytest.mark.parametrize(
    ("arguments", "conclusion"),
    [
        (["G2", "k=5", "D_y=1", "gamma=0.5"], "ℓ(u_k) ≤ 0.02"),
        (["T3-size", "m=100", "V=0.3"], "enough neurons: k ≥ 121"),  # any k beyond 120, not 120 itself
        (["P1-step-size", "B=1", "X=3"], "small enough step size: η ≤ 0.1111111111111111"),  # rounded down
        (["N2-class", "error=0.25"], "enough for the same class: margin > 0.5"),
        (["S5-rank", "beta=0.1", "held_out=19"], "rank = 18"),
        (["MARGIN", "eigenvalue=1", "radius=3"], "depth of s̄ in the hull ≥ 0.3333333333333333"),
        (["T1-inverse", "V=1", "L_t=0.015"], "k from which the guarantee still gains ≤ 33"),
    ],
)
def test_the_conclusion_names_quantity_and_direction(
    arguments: list[str], conclusion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(capsys, *arguments)["conclusion"] == conclusion


def test_the_line_of_the_value_is_about_the_bounded_quantity(capsys: pytest.CaptureFixture[str]) -> None:
    """G1 bounds ℓ; its root √ℓ, which the proof bounds first, is not mixed up with it."""
    _, text = run(capsys, "G1", "loss=0.01", "V=0.3", "k=100")
    [line] = [line for line in text.splitlines() if "0.0192" in line and "exact number" not in line]
    assert "ℓ(u_k) ≤" in line
    assert "√ℓ(u_k)" not in text


def test_the_number_that_reaches_a_target_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(capsys, "G2", "D_y=1", "gamma=0.5", "--solve", "k", "--value", "0.02")["solution"] == 5
    found = report(capsys, "G1", "loss=0.01", "V=2.5", "--solve", "k", "--value", "0.05")
    hypotheses: Any = found["hypotheses"]
    assert not [each for each in hypotheses if each["decidable"] and not each["holds"]]  # k is known
    g1, count = NAMED["G1"], found["solution"]
    assert isinstance(count, int)
    assert g1.bound(loss=0.01, V=2.5, k=count) <= 0.05 < g1.bound(loss=0.01, V=2.5, k=count - 1)
    rising = report(capsys, "T1-inverse", "L_t=0.01", "--solve", "V", "--value", "3")
    assert rising["solution"] == pytest.approx(0.06)
    status, text = run(capsys, "G2", "D_y=1", "gamma=2", "--solve", "k", "--value", "0.02")
    assert status == 3
    assert "no value" in text


def test_symbols_left_open_give_the_formula_its_conditions_and_its_growth(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "T3-dataset-size", "kappa=10")
    assert found["value"] is None
    assert found["formula"] == "80*log(8*L_0) + 80*log(m) + 1"
    assert found["growth"] == ["logarithmic in m: ~ 80*log(m)", "logarithmic in L_0: ~ 80*log(L_0)"]
    status, text = run(capsys, "T3-dataset-size", "kappa=10")
    assert status == 0
    assert "logarithmic in m" in text
    assert "8*L_0*m >= 1" in text
    status, text = run(capsys, "T3-dataset-size", "kappa=10", "--latex")
    assert status == 0
    assert r"80 \log{\left(m \right)}" in text
    assert run(capsys, "T3-dataset-size", "kappa=1/2")[0] == 3  # κ < 1 is decided already


def test_without_a_name_every_bound_is_listed_by_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["name"] for row in rows) == sorted(NAMED)
    assert {row["name"]: row["paper"] for row in rows}["G1"] == "pretraining"
    assert main(["bound"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in NAMED)
    assert listed.index("Pre-training length") < listed.index("G1") < listed.index("Sensitivity-informed")


@pytest.mark.parametrize("name", NAMED)
def test_every_bound_can_be_explained_without_values(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, name)
    assert found["symbols"] and found["quantity"] and found["value"] is None
    assert main(["bound", name]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["G99"], "Did you mean"),
        (["T3"], "Did you mean T3-"),
        (["G1", "k"], "name=number"),
        (["G1", "k=x"], "name=number"),
        (["G1", "k=nan"], "name=number"),
        (["G1", "k=1/0"], "name=number"),
        (["G1", "k=1e999999999"], "name=number"),  # would take minutes and gigabytes if it were expanded
        (["G1", "k=10", "k=20", "V=1", "loss=1"], "k is given twice"),
        (["G1", "k=3", "V=1", "loss=0", "z=1"], "z"),
        (["G1", "k=-3", "V=1", "loss=0"], "positive"),
        (["G1", "V=1", "loss=0", "--solve", "k"], "--value"),
        (["G1", "loss=0", "--solve", "k", "--value", "1"], "V is missing"),
        (["G1", "loss=1", "V=1", "--solve", "k", "--value", "0.5"], "no k brings the bound to this value"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_number_beyond_every_float_is_exact_too(capsys: pytest.CaptureFixture[str]) -> None:
    """At k = 10**400 the bound of G1 is (1 + 10**-200 / √2)² > 1: rounded up, the float after 1."""
    found = report(capsys, "G1", "k=1e400", "V=1", "loss=1")
    assert found["value"] == math.nextafter(1, 2)
    g1 = NAMED["G1"]
    assert g1.bound(k=10**400, V=1, loss=1) == found["value"]
    assert g1.bound(k=1, V=1, loss=10**400) == math.inf  # rounded up; the enclosure stays finite


def test_a_value_beyond_the_floats_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "G1", "k=1", "V=1e399", "loss=0", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "Infinity" not in printed
    assert json.loads(printed)["value"] is None
