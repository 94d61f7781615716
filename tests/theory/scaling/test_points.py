"""A table of results that cannot be fitted is refused with the row and the reason."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pruneproof import PruneproofError
from pruneproof.theory.scaling.points import points_from_rows, read_points

HEADER = "network,width,depth,density,error"
GOOD = f"{HEADER}\na,16,1,1.0,0.10\na,16,1,0.5,0.12\na,16,1,0.1,0.30\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing: network"),
        ("network,width,density,error\na,1,1,0.1\n", "missing: depth"),
        (HEADER + "\n", "no rows"),
        (GOOD + "a,16,1,0.5,0.12\n", "row 4.*a duplicate of row 2"),
        (GOOD + "a,16,1,0.5,0.99\n", "row 4.*a contradiction of row 2"),
        (GOOD + "a,32,1,0.2,0.2\n", "row 4.*one width and depth"),
        (GOOD + "a,16,1,0,0.2\n", r"row 4.*density from 1e-12 to 1"),
        (GOOD + "a,16,1,1.2,0.2\n", r"row 4.*density from 1e-12 to 1"),
        (GOOD + "a,16,1,nan,0.2\n", r"row 4.*density from 1e-12 to 1"),
        (GOOD + "a,16,1,0.2,0\n", r"row 4.*error of at least 1e-09, below 1"),
        (GOOD + "a,16,1,0.2,1.0\n", r"row 4.*error of at least 1e-09, below 1"),
        (GOOD + "a,-16,1,0.2,0.5\n", "row 4.*width from 1e-06 to 1e\\+06"),
        (GOOD + "b,1e308,1,1,0.5\n", r"row 4.*width from 1e-06 to 1e\+06, got 1e\+308"),
        (GOOD + "b,16,1e-320,1,0.5\n", "row 4.*depth from"),
        (GOOD + "a,16,1,1e-320,0.2\n", "row 4.*density from"),
        (GOOD + "a,16,1,0.2,1e-320\n", "row 4.*error of at least"),
        (GOOD + "a,16,1,0.2,many\n", "row 4.*number in every column"),
        (GOOD + "a,16,1,0.2\n", "row 4.*number in every column"),
        (GOOD + "b,16,1,0.2,0.3\n", "dense network b"),
        ("\x00\xff", "needs the columns"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PruneproofError, match=message):
        read_points(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PruneproofError, match="readable CSV"):
        read_points(tmp_path / "none.csv")


def test_columns_may_come_in_any_order_with_others_between(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("error, note,density,depth,width,network\n0.1,x,1,2,16,a\n0.2,y,0.5,2,16,a\n", encoding="utf-8")
    points = read_points(file)
    assert points.error.tolist() == [0.1, 0.2]
    assert points.depth.tolist() == [2, 2]


def _rows(*changes: Mapping[str, object]) -> list[dict[str, object]]:
    base: dict[str, object] = {"network": "a", "width": 8, "depth": 1, "density": 1, "error": 0.1}
    return [{**base, **change} for change in changes]


def test_the_dense_error_is_the_mean_over_seeds_or_the_column() -> None:
    rows = _rows({"seed": 0}, {"seed": 1, "error": 0.2}, {"density": 0.5, "error": 0.3, "seed": 0})
    assert points_from_rows(rows).dense_error.tolist() == pytest.approx([0.15] * 3)
    given = [row | {"dense_error": 0.12} for row in rows]
    assert points_from_rows(given).dense_error.tolist() == pytest.approx([0.12] * 3)


def test_dense_errors_are_averaged_over_seeds_not_rows() -> None:
    told = [(0, 1.0, 0.1), (0, 0.5, 0.1), (0, 0.2, 0.1), (1, 1.0, 0.2)]
    rows = _rows(*({"seed": seed, "density": density, "dense_error": dense} for seed, density, dense in told))
    assert points_from_rows(rows).dense_error.tolist() == pytest.approx([0.15] * 4)


@pytest.mark.parametrize("empty", ["", " ", None])
def test_an_empty_dense_error_falls_back_to_the_row_at_density_1(empty: str | None) -> None:
    rows = _rows({"dense_error": empty}, {"density": 0.5, "error": 0.2, "dense_error": empty})
    assert points_from_rows(rows).dense_error.tolist() == [0.1, 0.1]
    partly = _rows({"network": "b", "dense_error": 0.12}, *rows)
    assert points_from_rows(partly).dense_error.tolist() == [0.12, 0.1, 0.1]


def test_densities_that_differ_by_rounding_are_one_place() -> None:
    rows = _rows({}, {"density": 0.8**3, "seed": 0}, {"density": 0.512, "seed": 1}, {"density": 1 - 1e-14, "seed": 1})
    points = points_from_rows([{"seed": 0} | row for row in rows])
    assert 0.8**3 != 0.512
    assert (points.places, points.densities) == (2, 2)
    with pytest.raises(PruneproofError, match=r"row 3.*contradiction of row 2"):
        points_from_rows(_rows({}, {"density": 0.8**3}, {"density": 0.512, "error": 0.4}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (({"dense_error": 0.05}, {"density": 0.5, "dense_error": 0.3}), "row 2.*one dense_error.*0.3 after 0.05"),
        (({"seed": "inf"},), "row 1.*whole number below"),
        (({"seed": 2.0**60},), "row 1.*whole number below"),
        (({"samples": "nan"},), "row 1.*positive number of samples"),
        (({"samples": 10}, {"samples": 0, "density": 0.5}), "row 2.*positive number of samples"),
        (({}, {"network": " "}), "row 2.*name of a network"),
        (({}, {"density": 0.5, "seed": ""}), "number in every column"),
    ],
)
def test_contradictions_are_refused(changes: tuple[dict[str, object], ...], message: str) -> None:
    with pytest.raises(PruneproofError, match=message):
        points_from_rows(_rows(*changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER},error\na,16,1,1.0,0.10,0.2\n", "twice: error"),
        (f"{HEADER},dense_error, dense_error\na,16,1,1.0,0.10,0.1,0.1\n", "twice: dense_error"),
        (f"{HEADER},dense_error\na,16,1,1.0,0.2,0.05\na,16,1,0.5,0.21,0.05\n", "row 1.*dense_error 0.05, error 0.2 at"),
        (GOOD + "a,16,1,0,2,0.3\n", "row 4.*5 cells.*6 cells.*decimals with a point"),
    ],
)
def test_columns_that_do_not_line_up_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PruneproofError, match=message):
        read_points(file)


def test_different_sample_sizes_are_different_networks() -> None:
    row = {"network": "a", "width": 1, "depth": 1, "density": 1.0}
    points = points_from_rows([row | {"error": 0.1, "samples": 100}, row | {"error": 0.2, "samples": 50}])
    assert sorted(set(points.network.tolist())) == ["a/100", "a/50"]
    assert points.dense_error.tolist() == [0.1, 0.2]


def test_sample_sizes_that_differ_by_one_stay_apart() -> None:
    points = points_from_rows(_rows({"samples": 1281167}, {"samples": 1281168, "error": 0.2}))
    assert points.network.tolist() == ["a/1281167", "a/1281168"]
