"""A table in another convention is refused with the likely mistake, not with advice for another one."""

from pathlib import Path

import pytest

from pruneproof.cli import main
from pruneproof.errors import PruneproofError
from pruneproof.theory.scaling.points import read_points

DENSITIES, ERRORS = (1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02), (0.232, 0.234, 0.236, 0.244, 0.261, 0.294, 0.421)
HEADER = "network,width,depth,density,error"
ROWS = [f"a,64,50,{density},{error}" for density, error in zip(DENSITIES, ERRORS, strict=True)]
PERCENT = [f"a,64,50,{density},{100 * error:.1f}" for density, error in zip(DENSITIES, ERRORS, strict=True)]
RATIOS = [f"a,64,50,{1 / density:.4g},{error}" for density, error in zip(DENSITIES, ERRORS, strict=True)]
KEPT_OUT = [f"a,64,50,{1 - density:.4g},{error}" for density, error in zip(DENSITIES, ERRORS, strict=True)]
TABLES: dict[str, tuple[str, list[str], tuple[str, ...]]] = {
    "errors in percent": (HEADER, PERCENT, ("100", "percent", "%")),
    "semicolons": (
        HEADER.replace(",", ";"),
        [row.replace(",", ";") for row in ROWS],
        ("comma", "delimiter", "semicolon"),
    ),
    "tabs": (HEADER.replace(",", "\t"), [row.replace(",", "\t") for row in ROWS], ("comma", "delimiter", "tab")),
    "a column of sparsities": (HEADER.replace("density", "sparsity"), KEPT_OUT, ("1 - ", "1 − ", "sparsit")),
    "compression ratios": (HEADER, RATIOS, ("1/", "ratio")),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_likely_mistake_is_named(name: str, tmp_path: Path) -> None:
    """A user fits a table from a spreadsheet or another program: read as meant, or refused with what to change."""
    header, rows, hints = TABLES[name]
    path = tmp_path / "results.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    try:
        points = read_points(path)
    except PruneproofError as error:
        advice = str(error).partition(", got ")[2]
        assert any(hint in advice for hint in hints), str(error)
    else:
        assert points.density.tolist() == pytest.approx(list(DENSITIES)) and points.error.tolist() == pytest.approx(
            list(ERRORS)
        )


def test_capitals_are_the_same_columns(tmp_path: Path) -> None:
    """A user's table writes its columns with capitals: they are the same columns."""
    path = tmp_path / "results.csv"
    path.write_text("\n".join([HEADER.title(), *ROWS]) + "\n")
    assert len(read_points(path)) == 7


def test_an_error_that_falls_as_density_falls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user puts sparsities below "density": he is told that the error rises with the density."""
    path = tmp_path / "results.csv"
    rows = [f"a,64,50,{1 - d:.4g},{e},0.232" for d, e in zip(DENSITIES[1:], ERRORS[1:], strict=True)]
    path.write_text("\n".join([HEADER + ",dense_error", *rows]) + "\n")
    main(["fit", str(path), "--target-error", "0.3"])
    said = capsys.readouterr()
    assert "sparsit" in said.out + said.err or "rises with" in said.out + said.err
