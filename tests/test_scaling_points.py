"""A table of results that cannot be fitted is refused with the row and the reason."""

from pathlib import Path

import pytest

from pruneproof import PruneproofError
from pruneproof.theory.scaling_points import points_from_rows, read_points

HEADER = "network,width,depth,density,error"
GOOD = f"{HEADER}\na,16,1,1.0,0.10\na,16,1,0.5,0.12\na,16,1,0.1,0.30\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing: network"),
        ("network,width,density,error\na,1,1,0.1\n", "missing: depth"),
        (HEADER + "\n", "at least one row"),
        (GOOD + "a,16,1,0.5,0.12\n", "row 4.*a duplicate of row 2"),
        (GOOD + "a,16,1,0.5,0.99\n", "row 4.*a contradiction of row 2"),
        (GOOD + "a,32,1,0.2,0.2\n", "row 4.*one width and depth"),
        (GOOD + "a,16,1,0,0.2\n", r"row 4.*density in \(0, 1\]"),
        (GOOD + "a,16,1,1.2,0.2\n", r"row 4.*density in \(0, 1\]"),
        (GOOD + "a,16,1,nan,0.2\n", r"row 4.*density in \(0, 1\]"),
        (GOOD + "a,16,1,0.2,0\n", r"row 4.*error in \(0, 1\)"),
        (GOOD + "a,16,1,0.2,1.0\n", r"row 4.*error in \(0, 1\)"),
        (GOOD + "a,-16,1,0.2,0.5\n", "row 4.*positive width"),
        (GOOD + "a,16,1,0.2,many\n", "row 4.*number in every column"),
        (GOOD + "a,16,1,0.2\n", "row 4.*number in every column"),
        (GOOD + "b,16,1,0.2,0.3\n", "dense network b"),
        ("\x00\xff", "needs"),
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


def test_the_dense_error_is_the_mean_over_seeds_or_the_column() -> None:
    rows = [
        {"network": "a", "width": 1, "depth": 1, "density": d, "error": e, "seed": s}
        for d, e, s in ((1, 0.1, 0), (1, 0.2, 1), (0.5, 0.3, 0))
    ]
    assert points_from_rows(rows).dense_error.tolist() == pytest.approx([0.15] * 3)
    given = [row | {"dense_error": 0.05} for row in rows]
    assert points_from_rows(given).dense_error.tolist() == pytest.approx([0.05] * 3)


def test_different_sample_sizes_are_different_networks() -> None:
    row = {"network": "a", "width": 1, "depth": 1, "density": 1.0}
    points = points_from_rows([row | {"error": 0.1, "samples": 100}, row | {"error": 0.2, "samples": 50}])
    assert sorted(set(points.network.tolist())) == ["a/100", "a/50"]
    assert points.dense_error.tolist() == [0.1, 0.2]
