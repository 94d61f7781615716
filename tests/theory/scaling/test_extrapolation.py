"""What `fit_report` says of networks larger than the measured ones, and of tables with too few densities or sizes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pruneproof import PruneproofError
from pruneproof.theory.scaling.comparison import compare, simplest
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import CONSTANT, LAW, carries
from pruneproof.theory.scaling.points import Points, points_from_rows
from pruneproof.theory.scaling.report import FitReport, as_json, as_text, fit_report

MANY = tuple(0.7 ** np.arange(12))
Network = tuple[int, int, Sequence[float]]  # width, depth, densities


def law_rows(networks: Sequence[Network]) -> list[dict[str, object]]:
    """Errors exactly on the law with p = 0.05, γ = 1.25, ε↑ = 0.7, φ = −0.5, ψ = 1.2."""
    rows: list[dict[str, object]] = []
    for width, depth, densities in networks:
        dense = 0.4 / (width * depth) ** 0.5
        size = depth**-0.5 * (width / 16) ** 1.2
        for density in densities:
            square = (density * size) ** 2
            error = dense * ((square + 0.0025 * (0.7 / dense) ** 1.6) / (square + 0.0025)) ** 0.625
            row = {"width": width, "depth": depth, "density": float(density), "error": error, "dense_error": dense}
            rows.append({"network": f"{width}x{depth}", **row})
    return rows


def report_on(folder: Path, networks: Sequence[Network]) -> FitReport:
    rows = law_rows(networks)
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    file = folder / "results.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return fit_report(file, None, generator=np.random.default_rng(0))


def dense_only() -> Points:
    return points_from_rows(law_rows([(8 * 2**i, 1, (1.0,)) for i in range(7)]))


@pytest.mark.parametrize("few", [1, 2])
def test_narrow_networks_with_hardly_a_point_leave_the_report_whole(tmp_path: Path, few: int) -> None:
    report = report_on(tmp_path, [(16, 1, MANY[:few]), (64, 1, MANY)])
    assert report.fitted.model.name == LAW.name
    assert report.extrapolation == {"width": None, "depth": None}
    assert "extrapolation in width: cannot be tested (at least three widths" in as_text(report)


def test_two_widths_cannot_test_the_exponent_of_the_width(tmp_path: Path) -> None:
    """Exact points: one width left would be fitted without ψ and miss the other by more than the error itself."""
    two = report_on(tmp_path, [(16, 1, MANY), (64, 1, MANY)])
    assert two.fitted.spread < 1e-6
    assert two.extrapolation["width"] is None
    three = report_on(tmp_path, [(16, 1, MANY), (32, 1, MANY), (64, 1, MANY)])
    assert three.extrapolation["width"] == pytest.approx(0, abs=1e-4)


def test_the_deepest_networks_are_predicted_too(tmp_path: Path) -> None:
    """Exact points: what is left is how far the search descends, 1e-4 at most."""
    report = report_on(tmp_path, [(width, depth, MANY[::2]) for width in (16, 32, 64) for depth in (1, 2, 4)])
    assert report.extrapolation == {"width": pytest.approx(0, abs=1e-4), "depth": pytest.approx(0, abs=1e-4)}
    assert "extrapolation in depth: the deepest networks deviate by 0.00%" in as_text(report)
    assert set(as_json(report)["extrapolation"]) == {"width", "depth"}


def test_dense_networks_alone_do_not_carry_the_law() -> None:
    points = dense_only()
    assert not carries(points, LAW)
    assert simplest(points) is CONSTANT
    assert [each.name for each in compare(points, generator=np.random.default_rng(0))] == [CONSTANT.name]
    with pytest.raises(PruneproofError, match="3 densities, got 7 with 1"):
        fit(points)


def test_two_densities_do_not_carry_three_constants() -> None:
    points = points_from_rows(law_rows([(8 * 2**i, 1, (1.0, 0.5)) for i in range(7)]))
    assert not carries(points, LAW)
    assert simplest(points).name == "limit γ → ∞"
