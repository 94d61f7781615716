"""The answer of `fit` to a target error, and its warnings, are the same in words and in JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from pruneproof import PruneproofError
from pruneproof.cli import main
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import LAW
from pruneproof.theory.scaling.points import points_from_rows
from pruneproof.theory.scaling.smallest_network import recommend, smallest_invariant

TRUTH = {"p": 0.05, "gamma": 1.2, "upper_error": 0.7}
DENSE = 0.06
ROWS = [
    {"network": "a", "width": 4, "depth": 1, "density": density, "error": 0.5, "dense_error": DENSE}
    for density in np.geomspace(1, 0.05, 12)
]
POINTS = points_from_rows(ROWS)
ERRORS = np.exp(LAW.log_error(TRUTH, POINTS))  # exactly the law; at density 1 it lies 7 % above the dense error


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "results.csv"
    rows = [row | {"error": error} for row, error in zip(ROWS, ERRORS, strict=True)]
    file.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]), "utf-8")
    return file


def answers(table: Path, target: float, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, object]]:
    """The text, and the first candidate of the JSON object."""
    assert main(["fit", str(table), "--target-error", str(target)]) == 0
    text = capsys.readouterr().out
    assert main(["fit", str(table), "--target-error", str(target), "--json"]) == 0
    return text, json.loads(capsys.readouterr().out)["candidates"][0]


def test_a_dense_network_that_meets_the_target_is_an_answer(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = (DENSE + ERRORS[0]) / 2  # between the measured dense error and what the law says at density 1
    text, candidate = answers(table, float(target), capsys)
    assert candidate["feasibility"] == "dense only" and candidate["density"] == 1 and candidate["size"] == 16
    assert "smallest: train a  (dense only: the law allows no pruning)" in text


def test_the_dense_network_competes_by_its_size() -> None:
    """Beside it a wide network that may be pruned, but not as far: the small dense one comes first."""
    wide = [row | {"network": "b", "width": 400, "dense_error": 0.05} for row in ROWS]
    points = points_from_rows(ROWS + wide)
    points = points.replaced(error=np.exp(LAW.log_error(TRUTH, points)))
    ranked = recommend(fit(points), 0.062, generator=np.random.default_rng(0), repeats=2)
    assert [each.feasibility for each in ranked] == ["dense only", "feasible"]
    assert ranked[0].size < ranked[1].size


def test_a_target_above_the_upper_error_is_met_by_every_density(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, candidate = answers(table, 0.75, capsys)
    assert candidate["feasibility"] == "every density" and candidate["extrapolated"] is True
    assert candidate["density"] is None and candidate["interval"] == [None, None]
    assert "by the law every density meets it (extrapolated); the lowest measured density is 0.05" in text
    assert "no measured network" not in text


def test_the_last_line_says_that_the_density_was_not_measured(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, candidate = answers(table, 0.65, capsys)
    assert candidate["extrapolated"] is True
    assert text.rstrip().splitlines()[-1].endswith("(beyond the measured densities)")
    text, candidate = answers(table, 0.15, capsys)
    assert candidate["extrapolated"] is False
    assert "beyond" not in text


def test_a_law_by_which_pruning_helps_gives_no_recommendation() -> None:
    points = POINTS.replaced(error=np.linspace(0.1, 0.04, len(POINTS)), dense_error=np.full(len(POINTS), 0.1))
    fitted = fit(points)
    assert fitted.parameters["upper_error"] <= 0.1
    with pytest.raises(PruneproofError, match="ε↑ above every dense error"):
        recommend(fitted, 0.2, generator=np.random.default_rng(0))


def test_a_fit_by_which_pruning_helps_is_warned_against(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    falling = np.linspace(0.1, 0.04, len(ROWS))
    rows = [row | {"error": error, "dense_error": 0.1} for row, error in zip(ROWS, falling, strict=True)]
    file = tmp_path / "helps.csv"
    file.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]), "utf-8")
    assert main(["fit", str(file)]) == 0
    assert "warning: ε↑ is not above the largest dense error, 0.1" in capsys.readouterr().out


def test_warnings_and_constants_at_a_limit_are_in_both_forms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors that rise more steeply than any law: it follows with γ at its largest."""
    steep = DENSE * np.exp(np.log(10) / (1 + (POINTS.density / 0.1) ** 3))
    rows = [row | {"error": error} for row, error in zip(ROWS, steep, strict=True)]
    file = tmp_path / "steep.csv"
    file.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]), "utf-8")
    assert main(["fit", str(file)]) == 0
    text = capsys.readouterr().out
    assert main(["fit", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["constants"]["gamma"]["at_bound"] and not answer["constants"]["p"]["at_bound"]
    assert "at the limit of the search, hence not determined: gamma, upper_error" in answer["warnings"]
    assert len(answer["warnings"]) >= 2  # another curve predicts held-out points better
    assert all(f"warning: {each}\n" in text for each in answer["warnings"])


def test_a_negative_seed_is_refused(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(table), "--seed=-1"]) == 2
    assert capsys.readouterr().err == "fit: --seed must be a whole number of at least 0, got -1.\n"


def test_tiny_dense_errors_do_not_overflow() -> None:
    """2 ln(ε↑/ε_np)/γ = 737: exp of it is beyond double precision, the law and its inverse are not."""
    values = {"p": 0.5, "gamma": 0.05, "upper_error": 0.5}
    dense = 5e-9
    points = POINTS.replaced(dense_error=np.full(len(POINTS), dense))
    with np.errstate(over="raise", invalid="raise"):
        found = LAW.log_error(values, points)
        invariant = smallest_invariant(1e-3, dense, values)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all() and found.max() < np.log(0.5)
    back = LAW.log_error(values, points.replaced(density=np.full(len(points), invariant)))
    assert back == pytest.approx(np.log(1e-3), rel=1e-12)
