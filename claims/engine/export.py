"""Rows of a results file as CSV or Parquet, each with its cell's parameters; read in a stream, twice.

The first pass finds the columns and their types, the second writes. Memory does not grow with the number of rows.
"""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from pruneproof.environment import require
from pruneproof.errors import FileAccessError, InvalidValueError

from .store import Store

BATCH = 8192  # rows held at a time


class Format(StrEnum):
    """A file format that other programs read."""

    CSV = "csv"
    PARQUET = "parquet"


def export_rows(store: Store, path: Path, form: Format) -> int:
    """Write every row of a store.

    In CSV, a text that a spreadsheet would run as a formula (it begins with =, +, -, @, a tab or a
    line end) gets an apostrophe before it; numbers are left alone. Parquet holds every text as it is.

    Args:
        store: The rows.
        path: The file to write; replaced whole when it is complete.
        form: Its format.

    Returns:
        The number of rows.

    Raises:
        InvalidValueError: If there are no rows.
        FileAccessError: If the file cannot be written.
        MissingPackageError: If pyarrow is missing for Parquet.
    """
    if form is Format.PARQUET:
        require("export", "pyarrow")
    with store.snapshot():  # both passes see the same rows, also while a sweep adds some
        return _export(store, path, form)


def _export(store: Store, path: Path, form: Format) -> int:
    columns = _columns(store)
    if not columns:
        raise InvalidValueError(f"export: {store.path} holds no rows. Run pruneproof sweep or verify first.")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        number = _WRITERS[form](_rows(store), columns, draft)
        draft.replace(path)
    except OSError as error:
        if isinstance(error, FileAccessError):  # of the rows that are read
            raise
        raise FileAccessError(
            f"export: {path} cannot be written: {error.strerror or error}. Pass --out with another file."
        ) from None
    finally:
        with suppress(OSError):  # what went wrong first is what is told
            draft.unlink(missing_ok=True)
    return number


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    for measure, cell, rows in store.cells():
        for row in rows:
            yield {"measure": measure, **cell, **row}


def _columns(store: Store) -> dict[str, type]:
    """Column → the narrowest type that holds all its values: bool, int of 64 bits, float, or text."""
    columns: dict[str, type] = {}
    for row in _rows(store):
        for name, value in row.items():
            columns[name] = _wider(columns.get(name), value)
    return {name: str if kind is type(None) else kind for name, kind in columns.items()}


def _wider(kind: type | None, value: Any) -> type:
    found = _kind(value)
    if kind in (None, type(None), found):
        return found
    if value is None:
        return kind
    return float if {kind, found} == {int, float} else str


def _kind(value: Any) -> type:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str
    return type(value) if isinstance(value, bool | int | float | None) else str


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_csv(rows: Iterator[dict[str, Any]], columns: dict[str, type], path: Path) -> int:
    number = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writerow({name: _harmless(name) for name in columns})
        for row in rows:
            writer.writerow({name: _harmless(value) for name, value in row.items()})
            number += 1
    return number


def _harmless(value: Any) -> Any:
    """A value of a CSV cell: lists and dicts as JSON, no text that a spreadsheet takes for a formula."""
    text = _text(value) if isinstance(value, list | dict | str) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in _FORMULAS else text


_FORMULAS = frozenset("=+-@\t\r\n")


def _write_parquet(rows: Iterator[dict[str, Any]], columns: dict[str, type], path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    types = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    number = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, BATCH)):
            table = [{name: _typed(row.get(name), kind) for name, kind in columns.items()} for row in batch]
            writer.write_table(pyarrow.Table.from_pylist(table, schema))
            number += len(batch)
    return number


def _typed(value: Any, kind: type) -> Any:
    return value if value is None else _text(value) if kind is str else kind(value)


_WRITERS = {Format.CSV: _write_csv, Format.PARQUET: _write_parquet}
