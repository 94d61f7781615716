"""Measured errors of pruned networks as columns, checked for contradictions: the input of every scaling-law fit."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import PruneproofError
from .scaling_checks import (
    OPTIONAL,
    REQUIRED,
    Floats,
    check_columns,
    check_dense_rows,
    check_lengths,
    check_ranges,
    check_repeats,
    dense_errors,
    refuse,
)


@dataclass(frozen=True)
class Points:
    """One row per trained network, pruned or not.

    Arguments:
        network: (n,) names; all rows of a name share width, depth and samples.
        width, depth: (n,) positive, in any unit.
        density: (n,) in (0, 1].
        error: (n,) in (0, 1).
        dense_error: (n,) error ε_np of the dense network, equal within a network (the mean over its seeds).
        seed: (n,) int; rows that differ in nothing else are repeats.

    Example:
        >>> network = {"network": "a", "width": 16, "depth": 1}
        >>> rows = [network | {"density": 1, "error": 0.1}, network | {"density": 0.1, "error": 0.2}]
        >>> points_from_rows(rows).dense_error.tolist()
        [0.1, 0.1]
    """

    network: NDArray[np.str_]
    width: Floats
    depth: Floats
    density: Floats
    error: Floats
    dense_error: Floats
    seed: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.error)

    def where(self, chosen: NDArray[np.bool_]) -> "Points":
        """The rows marked by a bool array (n,)."""
        return Points(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def replaced(self, **columns: Floats) -> "Points":
        """The same rows with some columns exchanged."""
        return replace(self, **columns)

    @property
    def places(self) -> int:
        """How many pairs of network and density there are: repeats with other seeds do not carry more constants."""
        return len(set(zip(self.network.tolist(), self.density.tolist(), strict=True)))

    @property
    def densities(self) -> int:
        """How many different densities there are."""
        return len(set(self.density.tolist()))

    def networks(self) -> list[str]:
        """The names, smallest network first."""
        names, sizes = map(str, self.network), self.depth * self.width**2
        size = dict(zip(names, sizes.tolist(), strict=True))
        return sorted(size, key=lambda name: (size[name], name))


def read_points(path: Path) -> Points:
    """Read a CSV with the columns network, width, depth, density, error and optionally dense_error, seed, samples.

    Raises:
        PruneproofError: for a missing file or column, rows that are too long or too short, a dense error that differs
            from the error at density 1 by a factor of two, and for everything that `points_from_rows` refuses.

    Example:
        >>> _ = Path("results.csv").write_text("network,width,depth,density,error\\na,16,1,1,0.1\\na,16,1,0.1,0.2\\n")
        >>> len(read_points(Path("results.csv")))
        2
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            columns = [name.strip() for name in next(reader, ())]
            cells = [row for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "check the path and that it is a UTF-8 text file"
        raise PruneproofError(
            "read_points", required="a readable CSV", received=f"{path}: {error}", remedy=remedy
        ) from error
    check_columns(columns)
    check_lengths(columns, cells)
    points = points_from_rows([dict(zip(columns, row, strict=True)) for row in cells])
    # only here: rows made by a program may hold a dense error and no measured one yet
    check_dense_rows(points.network, points.density, points.error, points.dense_error)
    return points


def points_from_rows(rows: Sequence[Mapping[str, object]]) -> Points:
    """Columns from rows with the same names as the CSV; a network with several `samples` becomes several networks.

    The dense error of a network is the mean over its seeds of `dense_error`; where no row of the network has one (cells
    may be empty), of its rows at density 1. Densities that agree to twelve digits are one density.

    Raises:
        PruneproofError: naming the row, for missing columns, densities outside (0, 1], errors outside (0, 1), widths or
            depths that are not positive or not the same within a network, seeds that are not whole, repeated or
            contradictory rows, networks without a name, and networks whose dense error is unknown or contradicted.

    Example:
        >>> points_from_rows([{"network": "a", "width": 8, "depth": 1, "density": 1.5, "error": 0.1}])
        Traceback (most recent call last):
        pruneproof.errors.PruneproofError: row 1: needs a density in (0, 1]; received 1.5; ...
    """
    if not rows:
        raise PruneproofError("points_from_rows", required="at least one row", received="none", remedy="add results")
    check_columns(list(rows[0]))
    optional = [name for name in OPTIONAL if any(name in row for row in rows)]
    table = {name: _column(rows, name) for name in (*REQUIRED[1:], *optional)}
    names = [str(row["network"]).strip() for row in rows]
    check_ranges(names, table)
    if "samples" in table and len(set(table["samples"])) > 1:
        names = [f"{name}/{_shortest(samples)}" for name, samples in zip(names, table["samples"], strict=True)]
    network = np.array(names)
    table["density"] = _merged(table["density"])
    seed = table.get("seed", np.zeros(len(rows))).astype(np.int64)
    check_repeats(network, table, seed)
    dense = dense_errors(network, table, seed)
    return Points(network, table["width"], table["depth"], table["density"], table["error"], dense, seed)


def _column(rows: Sequence[Mapping[str, object]], name: str) -> Floats:
    """Numbers of one column; an empty cell of `dense_error` is NaN."""
    values = np.empty(len(rows))
    for number, row in enumerate(rows):
        cell = row.get(name)
        empty = name == "dense_error" and (cell is None or not str(cell).strip())
        try:
            values[number] = np.nan if empty else float(str(cell))
        except ValueError:
            received = f"{name} = {cell!r}"
            refuse(number, "a number in every column but network", received, "fill or delete the row")
    return values


def _shortest(value: float) -> str:
    """The shortest decimal that is this number and no other."""
    return np.format_float_positional(value, trim="-")


def _merged(density: Floats) -> Floats:
    """Densities that agree to twelve digits, such as 0.8**3 and 0.512, made equal to the first of them, or to 1."""
    first = {"1": 1.0}
    return np.array([first.setdefault(f"{value:.12g}", float(value)) for value in density])
