"""`pruneproof fit` answers a table of results in words and in JSON, and explains what it cannot answer."""

import json
from pathlib import Path

import numpy as np
import pytest

from pruneproof.cli import main


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three widths that follow the law with 2 % noise."""
    generator = np.random.default_rng(0)
    lines = ["network,width,depth,density,error,dense_error"]
    for width in (16, 32, 64):
        dense = 0.4 / width**0.5
        for density in 0.75 ** np.arange(20):
            share = (density * width / 16) ** 2
            error = dense * ((share + 0.01 * (0.7 / dense) ** 1.6) / (share + 0.01)) ** 0.625
            lines.append(f"w{width},{width},2,{density},{error * (1 + 0.02 * generator.standard_normal())},{dense}")
    file = tmp_path / "results.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_the_table_names_the_network(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(results), "--target-error", "0.15"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("scaling law: 60 points, 3 network(s)")
    assert "smallest: train w" in text
    assert "extrapolation in width: the widest networks deviate by" in text


def test_json_holds_the_same_answer(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "fit.svg"
    assert main(["fit", str(results), "--target-error", "0.15", "--json", "--plot", str(picture)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["constants"]["psi"]["value"] == pytest.approx(1, abs=0.1)
    assert answer["candidates"][0]["feasibility"] == "feasible"
    assert answer["comparison"][0]["curve"] == "scaling law"
    assert picture.read_text(encoding="utf-8").startswith("<?xml")


def test_an_unreachable_target_is_said_to_be_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(results), "--target-error", "0.01"]) == 0
    assert "no measured network reaches the target" in capsys.readouterr().out


def test_few_points_get_the_simplest_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "few.csv"
    file.write_text("network,width,depth,density,error\na,8,1,1,0.1\na,8,1,0.5,0.11\na,8,1,0.1,0.3\n", encoding="utf-8")
    assert main(["fit", str(file)]) == 0
    assert "the simplest curve that they carry" in capsys.readouterr().out
    assert main(["fit", str(file), "--target-error", "0.2"]) == 2
    assert "drop --target-error" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["0", "1", "-0.1", "nan"])
def test_bad_targets_are_refused(results: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(results), f"--target-error={target}"]) == 2
    assert "target error must lie in (0, 1)" in capsys.readouterr().err


@pytest.mark.parametrize("plot", ["fit.zzz", "fit", "absent/fit.svg", "results.csv/fit.svg"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_fit(
    results: Path, plot: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pruneproof.commands.fit.fit_report", lambda *_: pytest.fail("fitted"))
    assert main(["fit", str(results), "--plot", str(results.parent / plot)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("--plot: ") and error.count("\n") == 1
    assert [path.name for path in results.parent.iterdir()] == ["results.csv"]


@pytest.mark.parametrize(("patience", "lines"), [(0.0, 1), (60.0, 0)])
def test_a_long_fit_says_what_is_under_way(
    tmp_path: Path,
    patience: float,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "few.csv"
    file.write_text("network,width,depth,density,error\na,8,1,1,0.1\na,8,1,0.5,0.11\na,8,1,0.1,0.3\n", encoding="utf-8")
    monkeypatch.setattr("pruneproof.commands.fit.PATIENCE", patience)
    assert main(["fit", str(file)]) == 0
    assert capsys.readouterr().err.count("\n") == lines


@pytest.mark.parametrize("factor", [{"width": 1e6 / 64}, {"width": 1e-6 / 16}, {"depth": 5e5}, {"depth": 5e-7}])
def test_widths_and_depths_at_the_ends_of_their_range_are_fitted_as_in_other_units(
    results: Path, factor: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    header, *rows = results.read_text(encoding="utf-8").splitlines()
    scaled = [
        ",".join(
            str(float(cell) * factor.get(name, 1)) if name in factor else cell
            for name, cell in zip(header.split(","), row.split(","), strict=True)
        )
        for row in rows
    ]
    assert main(["fit", str(results), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)["constants"]
    results.write_text("\n".join([header, *scaled]), encoding="utf-8")
    assert main(["fit", str(results), "--json"]) == 0
    after = json.loads(capsys.readouterr().out)["constants"]
    assert {name: each["value"] for name, each in after.items()} == pytest.approx(
        {name: each["value"] for name, each in before.items()}, rel=1e-3
    )


def test_networks_twelve_decades_apart_are_fitted_without_overflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extremes of every column in one table: numbers, or "not identified", but no error of NumPy or SciPy."""
    densities = [1, 0.5, 0.1, 1e-3, 1e-6, 1e-12]
    rows = [
        f"{size},{size},{size},{density},{error}"
        for size in ("1e-6", "1", "1e6")
        for density, error in zip(densities, [1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.999999], strict=True)
    ]
    file = tmp_path / "wide.csv"
    file.write_text("\n".join(["network,width,depth,density,error", *rows]), encoding="utf-8")
    assert main(["fit", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert all(np.isfinite(each["value"]) for each in answer["constants"].values())


def test_the_order_of_the_rows_changes_nothing(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Constants, held-out deviations and the interval of the bootstrap, to the last digit."""
    arguments = ["fit", str(results), "--target-error", "0.15", "--json"]
    assert main(arguments) == 0
    answer = capsys.readouterr().out
    header, *rows = results.read_text(encoding="utf-8").splitlines()
    for order in (rows[::-1], sorted(rows, key=lambda row: row[::-1])):
        results.write_text("\n".join([header, *order]), encoding="utf-8")
        assert main(arguments) == 0
        assert capsys.readouterr().out == answer
