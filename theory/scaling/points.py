"""Measured errors of pruned networks as columns: the input of every scaling-law fit.

Tables that contradict themselves are refused with the row: missing columns, values out of range,
repeated rows, dense errors that disagree.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from pruneproof.errors import FileFormatError, InvalidValueError, MissingFileError

Floats = NDArray[np.float64]
REQUIRED = ("network", "width", "depth", "density", "error")
OPTIONAL = ("dense_error", "seed", "samples")
_WHOLE = 2.0**53  # doubles tell whole numbers apart up to here
_ERROR = 1e-9  # a bootstrap draws none below
_DENSITY = 1e-12  # less keeps no weight of any network
_SIZES = 1e-6, 1e6  # ratios up to 1e12, whose highest powers in a search, 1e132 each, are still doubles when multiplied
_APART = 20 * 0.034  # in ln ε: twenty times the seed-to-seed deviation of Rosenfeld et al., a factor of about 2


def refuse(number: int, required: str, received: object, remedy: str) -> NoReturn:
    """Raise the refusal of a row, counted from 0."""
    given = received if isinstance(received, str) else repr(received)
    raise InvalidValueError(f"row {number + 1}: needs {required}, got {given}. {remedy[0].upper()}{remedy[1:]}.")


def check_columns(columns: Sequence[str]) -> None:
    """Refuse a header that lacks a required column or names one twice."""
    missing = [name for name in REQUIRED if name not in columns]
    twice = [name for name in (*REQUIRED, *OPTIONAL) if list(columns).count(name) > 1]
    if missing or twice:
        faults = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("twice", twice)) if names]
        remedy = "Rename or add the columns."
        for name, advice in _OTHER_CONVENTIONS.items():
            if "density" in missing and any(name in column for column in columns):
                remedy = advice
        raise FileFormatError(
            f"points: needs the columns {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)}), each once, got "
            f"{', '.join(columns) or 'none'} ({', '.join(faults)}). {remedy}"
        )


_OTHER_CONVENTIONS = {  # part of a column's name → what to do
    "sparsity": "Turn sparsities into densities: density = 1 - sparsity.",
    "pruned": "Turn pruned shares into densities: density = 1 - the pruned share.",
    "compression": "Turn compression ratios into densities: density = 1/ratio.",
    "ratio": "Turn compression ratios into densities: density = 1/ratio.",
}


def check_lengths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Refuse rows with more or fewer cells than the header."""
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            required = f"{len(columns)} cells, a number in every column but network"
            refuse(number, required, f"{len(row)} cells", "fill the row; write decimals with a point")


def check_ranges(names: Sequence[str], table: Mapping[str, Floats]) -> None:
    """Refuse networks without a name and numbers outside their range."""
    if "" in names:
        refuse(names.index(""), "the name of a network", "an empty cell", "name it")
    sized = f"from {_SIZES[0]:g} to {_SIZES[1]:g}"
    rules = {
        "density": (
            f"a density from {_DENSITY:g} to 1", lambda x: (x >= _DENSITY) & (x <= 1),
            _advice_on_densities(table.get("density")),
        ),
        "error": (
            f"an error of at least {_ERROR:g}, below 1", lambda x: (x >= _ERROR) & (x < 1),
            _advice_on_shares(table.get("error"), "measure on more examples, or drop the row"),
        ),
        "dense_error": (
            f"a dense error of at least {_ERROR:g}, below 1", lambda x: np.isnan(x) | ((x >= _ERROR) & (x < 1)),
            _advice_on_shares(table.get("dense_error"), "measure it on more examples"),
        ),
        "width": (f"a width {sized}", _is_size, "use units, or divide all widths by the same number"),
        "depth": (f"a depth {sized}", _is_size, "count the layers"),
        "seed": (
            "a whole number below 2^53 as seed", lambda x: (np.abs(x) < _WHOLE) & (x == np.floor(x)),
            "number the repeats",
        ),
        "samples": (
            "a positive number of samples, below 2^53", lambda x: (x > 0) & (x < _WHOLE), "count the examples",
        ),
    }  # fmt: skip
    for name, (required, valid, remedy) in rules.items():
        bad = np.flatnonzero(~valid(table[name])) if name in table else []
        if len(bad):
            refuse(int(bad[0]), required, float(table[name][bad[0]]), remedy)


def _is_size(values: Floats) -> NDArray[np.bool_]:
    return (values >= _SIZES[0]) & (values <= _SIZES[1])


def _advice_on_shares(values: Floats | None, otherwise: str) -> str:
    if values is not None and (values > 1).any() and np.nanmax(values) <= 100:
        return "if these are percent, divide them by 100"
    return otherwise


def _advice_on_densities(values: Floats | None) -> str:
    """What a column of densities above 1 probably holds."""
    if values is not None and (values > 1).any() and (values > 0).all():
        if values.min() >= 1:
            return "if these are compression ratios, write 1/ratio; if they are percent, divide them by 100"
        return "if these are percent, divide them by 100"
    return "use the kept share of the weights"


def check_repeats(network: NDArray[np.str_], table: Mapping[str, Floats], seed: NDArray[np.int64]) -> None:
    """Refuse a network of two shapes, and two rows for one network, density and seed."""
    shapes: dict[str, tuple[float, float]] = {}
    seen: dict[tuple[str, float, int], int] = {}
    for number, name in enumerate(map(str, network)):
        shape = float(table["width"][number]), float(table["depth"][number])
        if shapes.setdefault(name, shape) != shape:
            received = f"{shape} after {shapes[name]}"
            refuse(number, f"one width and depth for network {name}", received, "give each network its own name")
        key = name, float(table["density"][number]), int(seed[number])
        if key in seen:
            same = table["error"][seen[key]] == table["error"][number]
            received = f"{'a duplicate' if same else 'a contradiction'} of row {seen[key] + 1}"
            refuse(number, "one row per network, density and seed", received, "delete it, or number repeats as seed")
        seen[key] = number


def dense_errors(network: NDArray[np.str_], table: Mapping[str, Floats], seed: NDArray[np.int64]) -> Floats:
    """ε_np of every row (n,): the mean over seeds of what is given, or of the rows at density 1.

    Raises:
        PruneproofError: If a network has neither, or two given values for one seed.
    """
    given = table.get("dense_error", np.full(len(network), np.nan))
    result = np.empty(len(network))
    members: dict[str, list[int]] = {}
    for number, name in enumerate(map(str, network)):
        members.setdefault(name, []).append(number)
    for name, numbers in members.items():
        rows = np.array(numbers)
        dense, stated = rows[table["density"][rows] == 1], _given(name, rows, given, seed)
        if not len(dense) and stated is None:
            raise InvalidValueError(
                f"points: the error of the dense network {name} is not given. "
                "Add its row at density 1 or a dense_error."
            )
        result[rows] = table["error"][dense].mean() if stated is None else stated
    return result


def check_dense_rows(network: NDArray[np.str_], density: Floats, error: Floats, dense_error: Floats) -> None:
    """Refuse a network whose dense error and rows at density 1 are further apart than seeds explain."""
    for name in np.unique(network[density == 1]):
        rows = np.flatnonzero((network == name) & (density == 1))
        stated, measured = float(dense_error[rows[0]]), float(error[rows].mean())
        if abs(np.log(stated / measured)) > _APART:
            required = f"one dense error of network {name}"
            received = f"dense_error {stated:.4g}, error {measured:.4g} at density 1"
            refuse(int(rows[0]), required, received, "drop the wrong one")


def _given(name: str, rows: NDArray[np.int64], given: Floats, seed: NDArray[np.int64]) -> float | None:
    """Mean over seeds of the column dense_error, each seed once; None if no cell is filled."""
    values: dict[int, float] = {}
    for number in map(int, rows[~np.isnan(given[rows])]):
        first = values.setdefault(int(seed[number]), float(given[number]))
        if first != given[number]:
            received = f"{float(given[number])!r} after {first!r}"
            refuse(number, f"one dense_error for network {name} and seed", received, "correct the column")
    return float(np.mean(list(values.values()))) if values else None


@dataclass(frozen=True)
class Points:
    """One row per trained network, pruned or not.

    Args:
        network: (n,) names; all rows of a name share width, depth and samples.
        width, depth: (n,) positive, in any unit.
        density: (n,) in (0, 1].
        error: (n,) in (0, 1).
        dense_error: (n,) error ε_np of the dense network, equal within a network (the mean over its
            seeds).
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
        """The rows marked by a bool array (n,).

        Args:
            chosen: (n,) bool.

        Returns:
            New points.
        """
        return Points(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def replaced(self, **columns: Floats) -> "Points":
        """The same rows with some columns exchanged.

        Args:
            columns: Name of a column → (n,) values.

        Returns:
            New points.
        """
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

    Columns may be separated by commas, semicolons or tabs, and be written with capitals. The order of the rows does not
    matter: the columns are in the order of names, then of falling densities, so that a bootstrap draws the same.

    Args:
        path: A CSV file in UTF-8.

    Returns:
        The checked columns.

    Raises:
        PruneproofError: For a missing file or column, rows that are too long or too short, a dense
            error that differs from the error at density 1 by a factor of two, and for everything
            that `points_from_rows` refuses.

    Example:
        >>> _ = Path("results.csv").write_text("network,width,depth,density,error\\na,16,1,1,0.1\\na,16,1,0.1,0.2\\n")
        >>> len(read_points(Path("results.csv")))
        2
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            delimiter = next((sign for sign in ",;\t" if sign in header), ",")
            columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), ())]
            cells = [row for row in csv.reader(file, delimiter=delimiter) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else FileFormatError
        raise kind(
            f"read_points: {path} is no readable CSV ({error}). Check the path and that it is a UTF-8 text file."
        ) from error
    check_columns(columns)
    check_lengths(columns, cells)
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    points = points_from_rows(rows)  # refusals name the row of the file
    # only here: rows made by a program may hold a dense error and no measured one yet
    check_dense_rows(points.network, points.density, points.error, points.dense_error)
    return points_from_rows(sorted(rows, key=_place))


def _place(row: Mapping[str, str]) -> tuple[str, float, list[float]]:
    """Where a checked row stands in an order that is not the file's: by network, dense first."""
    numbers = [row[name].strip() for name in (*REQUIRED[1:], *OPTIONAL) if name in row]
    return row["network"].strip(), -float(row["density"]), [float(cell) if cell else -1.0 for cell in numbers]


def points_from_rows(rows: Sequence[Mapping[str, object]]) -> Points:
    """Columns from rows with the same names as the CSV; a network with several `samples` becomes several networks.

    The dense error of a network is the mean over its seeds of `dense_error`; where no row of the network has one (cells
    may be empty), of its rows at density 1. Densities that agree to twelve digits are one density.

    Args:
        rows: Mappings with the columns of the CSV.

    Returns:
        The checked columns.

    Raises:
        PruneproofError: Naming the row, for missing columns, densities outside [1e-12, 1], errors
            outside [1e-9, 1), widths or depths outside [1e-6, 1e6] or not the same within a network,
            seeds that are not whole, repeated or contradictory rows, networks without a name, and
            networks whose dense error is unknown or contradicted.

    Example:
        >>> points_from_rows([{"network": "a", "width": 8, "depth": 1, "density": 1.5, "error": 0.1}])
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: row 1: needs a density from 1e-12 to 1, got 1.5. ...
    """
    if not rows:
        raise InvalidValueError("points_from_rows: there are no rows. Add results.")
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
