"""`pruneproof prove` and `pruneproof check`: tables, JSON, exit statuses, one line for what is refused."""

import json
from pathlib import Path

import pytest
import sympy

from pruneproof.cli import main
from pruneproof.theory.prover.certificate import certificate
from pruneproof.theory.prover.search import prove
from pruneproof.theory.theorems.catalogue import obligations

pytest.importorskip("z3", reason="the polynomial steps need the extra [proof]")


def test_json_lists_every_obligation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [step.id for step in obligations()]
    assert {row["verdict"] for row in rows} == {"proved"}
    assert {row["control_verdict"] for row in rows} == {"refuted"}


def test_the_table_counts_what_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove"]) == 0
    total = len(obligations())
    assert f"{total} of {total} steps proved" in " ".join(capsys.readouterr().out.split())


def test_one_theorem_is_shown_as_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--theorem", "G1"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# G1\n")
    assert main(["prove", "--theorem", "g1"]) == 0  # in any case, as `bound` takes it
    assert capsys.readouterr().out.startswith("# G1\n")
    assert "G1.step" in page
    assert "## Trust" in page


def test_an_unknown_theorem_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--theorem", "G9"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_certificates_are_confirmed_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = sympy.Symbol("x", real=True)
    data = certificate(prove(sympy.exp(x) > x, {x: (-2, 2)}))
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(data), "utf-8")
    bad.write_text(json.dumps({**data, "steps": ["natural"]}), "utf-8")
    assert main(["check", str(good)]) == 0
    assert "confirmed" in capsys.readouterr().out
    assert main(["check", str(bad)]) == 1
    assert "refused" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "poem"}', "\x00", "[" * 100_000, '{"kind": ["a"]}'])
def test_what_is_no_certificate_is_refused_in_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(content, "utf-8")
    assert main(["check", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["check", str(tmp_path / "absent.json")]) == 2
