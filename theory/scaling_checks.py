"""What a table of measured errors must not say: bad columns, ranges and repeats, contradictory dense errors."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import PruneproofError

Floats = NDArray[np.float64]
REQUIRED = ("network", "width", "depth", "density", "error")
OPTIONAL = ("dense_error", "seed", "samples")
_WHOLE = 2.0**53  # doubles tell whole numbers apart up to here
_APART = 20 * 0.034  # in ln ε: twenty times the seed-to-seed deviation of Rosenfeld et al., a factor of about 2


def refuse(number: int, required: str, received: object, remedy: str) -> NoReturn:
    """Raise the refusal of a row, counted from 0."""
    raise PruneproofError(f"row {number + 1}", required=required, received=received, remedy=remedy)


def check_columns(columns: Sequence[str]) -> None:
    """Refuse a header that lacks a required column or names one twice."""
    missing = [name for name in REQUIRED if name not in columns]
    twice = [name for name in (*REQUIRED, *OPTIONAL) if list(columns).count(name) > 1]
    if missing or twice:
        required = f"the columns {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)}), each once"
        faults = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("twice", twice)) if names]
        received = f"{', '.join(columns) or 'none'} ({'; '.join(faults)})"
        raise PruneproofError("points", required=required, received=received, remedy="rename or add the columns")


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
    rules = {
        "density": ("a density in (0, 1]", lambda x: (x > 0) & (x <= 1), "use the kept share of the weights"),
        "error": ("an error in (0, 1)", lambda x: (x > 0) & (x < 1), "measure on more examples, or drop the row"),
        "dense_error": (
            "a dense error in (0, 1)", lambda x: np.isnan(x) | ((x > 0) & (x < 1)), "measure it on more examples",
        ),
        "width": ("a positive width", lambda x: (x > 0) & np.isfinite(x), "use units or a ratio"),
        "depth": ("a positive depth", lambda x: (x > 0) & np.isfinite(x), "count the layers"),
        "seed": (
            "a whole number below 2^53 as seed", lambda x: (np.abs(x) < _WHOLE) & (x == np.floor(x)),
            "number the repeats",
        ),
        "samples": ("a positive number of samples", lambda x: (x > 0) & np.isfinite(x), "count the examples"),
    }  # fmt: skip
    for name, (required, valid, remedy) in rules.items():
        bad = np.flatnonzero(~valid(table[name])) if name in table else []
        if len(bad):
            refuse(int(bad[0]), required, float(table[name][bad[0]]), remedy)


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
        PruneproofError: if a network has neither, or two given values for one seed.
    """
    given = table.get("dense_error", np.full(len(network), np.nan))
    result = np.empty(len(network))
    members: dict[str, list[int]] = {}
    for number, name in enumerate(map(str, network)):
        members.setdefault(name, []).append(number)
    for name, numbers in members.items():
        rows = np.array(numbers)
        dense, told = rows[table["density"][rows] == 1], _given(name, rows, given, seed)
        if not len(dense) and told is None:
            required, remedy = f"the error of the dense network {name}", "add its row at density 1 or a dense_error"
            raise PruneproofError("points", required=required, received="neither", remedy=remedy)
        result[rows] = table["error"][dense].mean() if told is None else told
    return result


def check_dense_rows(network: NDArray[np.str_], density: Floats, error: Floats, dense_error: Floats) -> None:
    """Refuse a network whose dense error and rows at density 1 are further apart than seeds explain."""
    for name in np.unique(network[density == 1]):
        rows = np.flatnonzero((network == name) & (density == 1))
        told, measured = float(dense_error[rows[0]]), float(error[rows].mean())
        if abs(np.log(told / measured)) > _APART:
            required = f"one dense error of network {name}"
            received = f"dense_error {told:.4g}, error {measured:.4g} at density 1"
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
