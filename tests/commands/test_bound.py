"""`pruneproof bound` tells the value with its enclosure, the assumptions that fail and what the symbols mean."""

import json
import math
from fractions import Fraction

import pytest

from pruneproof.cli import main
from pruneproof.theory import bounds


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["bound", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_value_is_that_of_the_bound_at_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    g1 = next(bound for bound in bounds() if bound.name == "G1")
    found = told(capsys, "g1", "k=100", "V=1/3", "loss=0.1")
    assert found["value"] == g1.bound(k=100, V=Fraction(1, 3), loss=Fraction(1, 10))
    assert found["value"] != g1.bound(k=100, V=Fraction(1, 3), loss=0.11)
    assert found["values"] == {"k": "100", "V": "1/3", "loss": "1/10"}
    assert found["latex"] == g1.latex()
    assert set(found["symbols"]) == {"k", "V", "loss"}  # pyright: ignore[reportArgumentType]


def test_an_assumption_that_fails_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "G1", "k=1/2", "V=1", "loss=0"]) == 0
    failing = capsys.readouterr().out
    assert "FAILS at least one step" in failing
    assert "the statement says nothing at these values" in failing
    assert main(["bound", "G1", "k=2", "V=1", "loss=0"]) == 0
    assert "FAILS" not in capsys.readouterr().out


def test_without_a_name_every_bound_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [bound.name for bound in bounds()]
    assert main(["bound"]) == 0
    listed = capsys.readouterr().out
    assert all(bound.name in listed for bound in bounds())


@pytest.mark.parametrize("name", [bound.name for bound in bounds()])
def test_every_bound_can_be_explained_without_values(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, name)
    assert found["symbols"] and "value" not in found
    assert main(["bound", name]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["G99"], "Did you mean"),
        (["G1", "k"], "name=number"),
        (["G1", "k=x"], "name=number"),
        (["G1", "k=nan"], "name=number"),
        (["G1", "k=1/0"], "name=number"),
        (["G1", "k=1e999999999"], "name=number"),  # would take minutes and gigabytes if it were expanded
        (["G1", "k=3"], "a value for V, loss"),
        (["G1", "k=10", "k=20", "V=1", "loss=1"], "k twice"),
        (["G1", "k=3", "V=1", "loss=0", "z=1"], "z"),
        (["G1", "k=-3", "V=1", "loss=0"], "positive"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_number_beyond_every_float_is_exact_too(capsys: pytest.CaptureFixture[str]) -> None:
    """At k = 10**400 the bound of G1 is (1 + 10**-200 / √2)² > 1: rounded up, the float after 1."""
    found = told(capsys, "G1", "k=1e400", "V=1", "loss=1")
    assert found["value"] == math.nextafter(1, 2)
    g1 = next(bound for bound in bounds() if bound.name == "G1")
    assert g1.bound(k=10**400, V=1, loss=1) == found["value"]
    assert g1.bound(k=1, V=1, loss=10**400) == math.inf  # rounded up; the enclosure stays finite


def test_a_value_beyond_the_floats_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "G1", "k=1", "V=1e399", "loss=0", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "Infinity" not in printed
    assert json.loads(printed)["value"] is None
