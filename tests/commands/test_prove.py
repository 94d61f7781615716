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


OWN = {  # arguments → exit status, and what is printed
    "a true one": (["x*log(x) > -0.37", "--on", "x in (0, 1]"], 0, "proved: x*log(x) > -37/100 for x in (0, 1]"),
    "a false one": (["exp(x) >= 1 + x + x^2/2", "--on", "x in [-1, 1]"], 1, "false at x = -1"),
    "an end at π/2": (["sin(x) >= 2*x/pi", "--on", "x in [0, pi/2]"], 0, "proved"),
    "two variables and a condition": (
        ["x^2 + y^2 >= 2/5", "--on", "x in [0, 1]", "y in [0, 1]", "--given", "x + y >= 1"],
        0,
        "given x + y >= 1",
    ),
    "the whole line": (["exp(x) >= 1 + x", "--on", "x in (-oo, oo)"], 0, "x in (-∞, ∞)"),
}


@pytest.mark.parametrize("name", OWN)
def test_an_inequality_of_your_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, status, printed = OWN[name]
    assert main(["prove", *arguments]) == status
    assert printed in capsys.readouterr().out


def test_what_is_undecided_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    claim = ["x^4*exp(x) + 4*exp(x) >= 4*x^2*exp(x)", "--on", "x in [1, 2]"]  # both sides touch at √2
    assert main(["prove", *claim, "--seconds", "2"]) == 3
    assert "decided" in capsys.readouterr().out
    assert main(["prove", *claim, "--seconds", "2", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["where"]


def test_the_certificate_of_your_inequality_is_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "proof.json"
    assert main(["prove", "sin(x)/x < (2 + cos(x))/3", "--on", "x in (0, 3/2]", "--out", str(file)]) == 0
    assert main(["check", str(file)]) == 0
    assert "sin(x)/x < cos(x)/3 + 2/3 for x in (0, 3/2]" in capsys.readouterr().out
    assert main(["prove", "x > 0", "--on", "x in [1, 2]", "--out", str(tmp_path / "no" / "proof.json")]) == 2


MISUSE = {
    "no range": ["x > 0"],
    "no inequality": ["x + 1", "--on", "x in [0, 1]"],
    "an equation": ["x == 1", "--on", "x in [0, 1]"],
    "a chain": ["0 < x < 1", "--on", "x in [0, 1]"],
    "code": ["__import__('os').system('true') > 0", "--on", "x in [0, 1]"],
    "an attribute": ["x.real > 0", "--on", "x in [0, 1]"],
    "an unknown function": ["gamma(x) > 0", "--on", "x in [1, 2]"],
    "two arguments": ["log(x, 2) > 0", "--on", "x in [1, 2]"],
    "a huge number": ["x < 1e99999999", "--on", "x in [1, 2]"],
    "a huge power": ["x < 9^(9^9)", "--on", "x in [1, 2]"],
    "unbalanced brackets": ["exp(x > 0", "--on", "x in [0, 1]"],
    "a bad range": ["x > 0", "--on", "x from 0 to 1"],
    "an empty range": ["x > 0", "--on", "x in [2, 1]"],
    "two ranges": ["x > 0", "--on", "x in [0, 1]", "x in [2, 3]"],
    "a variable called pi": ["pi > 0", "--on", "pi in [2, 3]"],
    "a variable without a range": ["x + y > 0", "--on", "x in [0, 1]"],
    "a range for a theorem": ["--theorem", "G1", "--on", "x in [0, 1]"],
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", *MISUSE[name]]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_of_bounds_name_their_theorem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--theorem", "g1-harmonic"]) == 0
    assert capsys.readouterr().out.startswith("# G1\n")
    assert main(["prove", "--theorem", "G7"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_pages_are_written_from_the_checked_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--theorem", "T3", "--pages", str(tmp_path)]) == 0
    text = (tmp_path / "T3.md").read_text("utf-8")
    assert "T3.halves" in text and "negative control" in text and "you must ensure" in text
    assert str(tmp_path / "T3.md") in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    "formula",
    ["exp(log(x)) >= x", "sqrt(x)^2 >= x", "log(x)-log(x) >= 0", "0*log(x) >= 0", "x*(1/x) >= 1", "1/(1/x) >= x",
     "x + 1/x - 1/x >= -1", "x/x >= 1", "sin(asin(x)) >= x", "x^(-1)*x >= 1", "(x^0.5)^2 >= x"],
)  # fmt: skip
def test_what_sympy_cancels_from_a_formula_as_typed_is_refused(
    formula: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", formula, "--on", "x in [-2, 2]"]) == 2
    assert "must not cancel" in capsys.readouterr().err
    assert main(["prove", "x >= -2", "--on", "x in [-2, 2]", "--given", formula]) == 2


@pytest.mark.parametrize(
    "formula", ["1/x^2 > 0", "1/sqrt(x) > 0", "x/x^2 > 0", "1/(x*exp(x)) > 0", "1/(2*x)^3 > 0", "(x^2-1)/(x+1) >= -1"]
)
def test_what_stays_undefined_at_the_same_points_is_not(formula: str) -> None:
    assert main(["prove", formula, "--on", "x in (0, 1]"]) == 0


@pytest.mark.parametrize("end", ["1/0", "sqrt(-2)", "log(-1)"])
def test_an_end_that_is_no_real_number_is_refused(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "x < 1", "--on", f"x in [0, {end}]"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["x > 0", "--on", "x in [1, 2]", "--theorem", "G1"], ["--theorem", "G1", "--seconds", "1"]]
)
def test_options_that_would_be_ignored_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", *arguments]) == 2
    assert "belong to an inequality" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("1 > 2", 1, "refuted: 1 > 2\nfalse: the difference of the two sides is -1.0"),
        ("pi > 3", 0, "proved: pi > 3\n"),
        ("2 >= 2", 0, "proved: 2 >= 2\n"),
        ("2 > 2", 1, "refuted: 2 > 2\nfalse: the difference of the two sides is 0"),
    ],
)
def test_numbers_need_no_range(text: str, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", text]) == status
    assert capsys.readouterr().out.startswith(said)
    assert main(["prove", text, "--json"]) == status
    answer = json.loads(capsys.readouterr().out)
    assert (answer["claim"], answer["witness"]) == (text, None)


def test_an_inequality_of_numbers_has_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "1 > 2", "--out", str(tmp_path / "c.json")]) == 1
    assert main(["check", str(tmp_path / "c.json")]) == 0
    assert "confirmed (inequality, refuted" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["1 > 2 + x"], ["1 > 2", "--given", "x > 0"]])
def test_variables_need_a_range(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", *arguments]) == 2
    assert "a range for every variable is needed" in capsys.readouterr().err


def test_a_certificate_is_not_written_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "x >= 0", "--on", "x in [0, 1]", "--out", str(tmp_path)]) == 2
    assert "is a folder, and a file is to be written" in capsys.readouterr().err
