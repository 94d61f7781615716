"""Measured errors of pruned networks as columns, checked for contradictions: the input of every scaling-law fit."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import PruneproofError

Floats = NDArray[np.float64]
REQUIRED = ("network", "width", "depth", "density", "error")
OPTIONAL = ("dense_error", "seed", "samples")


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
        PruneproofError: for a missing file or column, and for everything that `points_from_rows` refuses.

    Example:
        >>> _ = Path("results.csv").write_text("network,width,depth,density,error\\na,16,1,1,0.1\\na,16,1,0.1,0.2\\n")
        >>> len(read_points(Path("results.csv")))
        2
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "check the path and that it is a UTF-8 text file"
        raise PruneproofError(
            "read_points", required="a readable CSV", received=f"{path}: {error}", remedy=remedy
        ) from error
    _check_columns(columns)
    return points_from_rows(rows)


def points_from_rows(rows: Sequence[Mapping[str, object]]) -> Points:
    """Columns from rows with the same names as the CSV; a network with several `samples` becomes several networks.

    The dense error of a network is the mean of its `dense_error` column, or of its rows at density 1.

    Raises:
        PruneproofError: naming the row, for missing columns, densities outside (0, 1], errors outside (0, 1), widths or
            depths that are not positive or not the same within a network, repeated or contradictory rows, and networks
            whose dense error is unknown.

    Example:
        >>> points_from_rows([{"network": "a", "width": 8, "depth": 1, "density": 1.5, "error": 0.1}])
        Traceback (most recent call last):
        pruneproof.errors.PruneproofError: row 1: needs a density in (0, 1]; received 1.5; ...
    """
    if not rows:
        raise PruneproofError("points_from_rows", required="at least one row", received="none", remedy="add results")
    _check_columns(list(rows[0]))
    table = {name: _column(rows, name) for name in (*REQUIRED[1:], *OPTIONAL) if name in rows[0]}
    names = [str(row["network"]).strip() for row in rows]
    if "samples" in table and len(set(table["samples"])) > 1:
        names = [f"{name}/{samples:g}" for name, samples in zip(names, table["samples"], strict=True)]
    network = np.array(names)
    _check_ranges(table)
    seed = table.get("seed", np.zeros(len(rows))).astype(np.int64)
    _check_repeats(network, table, seed)
    dense = _dense_errors(network, table)
    return Points(network, table["width"], table["depth"], table["density"], table["error"], dense, seed)


def _check_columns(columns: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        required = f"the columns {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)})"
        received = f"{', '.join(columns) or 'none'} (missing: {', '.join(missing)})"
        raise PruneproofError("points", required=required, received=received, remedy="rename or add the columns")


def _column(rows: Sequence[Mapping[str, object]], name: str) -> Floats:
    values = np.empty(len(rows))
    for number, row in enumerate(rows):
        try:
            values[number] = float(str(row[name]))
        except (KeyError, ValueError):
            received = f"{name} = {row.get(name)!r}"
            _refuse(number, "a number in every column but network", received, "fill or delete the row")
    return values


def _check_ranges(table: Mapping[str, Floats]) -> None:
    rules = {
        "density": ("a density in (0, 1]", lambda x: (x > 0) & (x <= 1), "use the kept share of the weights"),
        "error": ("an error in (0, 1)", lambda x: (x > 0) & (x < 1), "measure on more examples, or drop the row"),
        "dense_error": ("a dense error in (0, 1)", lambda x: (x > 0) & (x < 1), "measure it on more examples"),
        "width": ("a positive width", lambda x: (x > 0) & np.isfinite(x), "use units or a ratio"),
        "depth": ("a positive depth", lambda x: (x > 0) & np.isfinite(x), "count the layers"),
        "seed": ("a whole number as seed", lambda x: x == np.floor(x), "number the repeats"),
    }
    for name, (required, valid, remedy) in rules.items():
        bad = np.flatnonzero(~valid(table[name])) if name in table else []
        if len(bad):
            _refuse(int(bad[0]), required, float(table[name][bad[0]]), remedy)


def _check_repeats(network: NDArray[np.str_], table: Mapping[str, Floats], seed: NDArray[np.int64]) -> None:
    shapes: dict[str, tuple[float, float]] = {}
    seen: dict[tuple[str, float, int], int] = {}
    for number, name in enumerate(map(str, network)):
        shape = float(table["width"][number]), float(table["depth"][number])
        if shapes.setdefault(name, shape) != shape:
            received = f"{shape} after {shapes[name]}"
            _refuse(number, f"one width and depth for network {name}", received, "give each network its own name")
        key = name, float(table["density"][number]), int(seed[number])
        if key in seen:
            same = table["error"][seen[key]] == table["error"][number]
            received = f"{'a duplicate' if same else 'a contradiction'} of row {seen[key] + 1}"
            _refuse(number, "one row per network, density and seed", received, "delete it, or number repeats as seed")
        seen[key] = number


def _dense_errors(network: NDArray[np.str_], table: Mapping[str, Floats]) -> Floats:
    source = table.get("dense_error", table["error"])
    usable = np.ones(len(network), bool) if "dense_error" in table else table["density"] == 1
    result = np.empty(len(network))
    for name in np.unique(network):
        mine = network == name
        if not (mine & usable).any():
            required = f"the error of the dense network {name}"
            remedy = "add its row at density 1 or a column dense_error"
            raise PruneproofError("points", required=required, received="neither", remedy=remedy)
        result[mine] = source[mine & usable].mean()
    return result


def _refuse(number: int, required: str, received: object, remedy: str) -> None:
    raise PruneproofError(f"row {number + 1}", required=required, received=received, remedy=remedy)
