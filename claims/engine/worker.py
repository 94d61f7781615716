"""What runs in a worker: one cell from its parameters, its rows or its error as text.

Only texts cross the border between processes or machines: an exception that cannot be pickled, or a measure that cannot
be imported, becomes a report about its cell and never breaks the pool.

Carry cells to an executor, a bounded number at a time, and store each answer as soon as it exists.

Works with any `concurrent.futures.Executor`. Memory: `in_flight` cells, whatever their number.
"""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any, cast

from .cell import Task, canonical


@dataclass(frozen=True)
class Answer:
    """What came of a cell: `rows` as JSON, or `error` in one line with its `trace`; never stored: its `seconds`."""

    rows: str = ""
    error: str = ""
    trace: str = ""
    seconds: float = 0.0


def compute(measure: str, cell: str) -> Answer:
    """Run one cell.

    Arguments:
        measure: `"module:function"`; the function returns a list of rows, or one row. A row may repeat a parameter,
            but not under another value, and no name may be `measure`: both would be lost where rows meet parameters.
        cell: the parameters as JSON.

    Example:
        >>> compute("builtins:dict", '{"b": 1}').rows
        '[{"b":1}]'
        >>> compute("builtins:len", "3").error
        "TypeError: object of type 'int' has no len()"
    """
    start = time.monotonic()
    try:
        parameters = json.loads(cell)
        rows = canonical(_plain(_rows(find(measure)(json.loads(cell)))))
        _check_names(parameters, json.loads(rows))
    except (Exception, SystemExit) as error:  # sys.exit() in a measure must end its cell, not the run
        return Answer(error=one_line(error), trace=traceback.format_exc(), seconds=time.monotonic() - start)
    return Answer(rows=rows, seconds=time.monotonic() - start)


def one_line(error: BaseException) -> str:
    """Name an error by its type and its message.

    Example:
        >>> one_line(RuntimeError("no memory\\nleft"))
        'RuntimeError: no memory left'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def find(name: str) -> Callable[[dict[str, Any]], Any]:
    """Import `"module:function"`."""
    module, _, function = name.partition(":")
    found: Any = import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    return found


def _rows(returned: Any) -> list[Any]:
    alone = isinstance(returned, dict | int | float | None) or is_dataclass(returned)
    rows: list[Any] = [returned] if alone else list(cast("Sequence[Any]", returned))
    if not all(isinstance(row, dict) or is_dataclass(row) for row in rows):
        raise TypeError(f"a measure must return a dict, a dataclass instance or a list of them, not {returned!r:.80}")
    return rows


def _plain(value: Any) -> Any:
    """The same with dictionaries for dataclasses, and Python's numbers for NumPy's and torch's, which have no JSON."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in cast("Sequence[Any]", value)]
    return value.item() if getattr(value, "shape", None) == () else value


def _check_names(parameters: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if "measure" in row or "measure" in parameters:
            raise ValueError("the name 'measure' is taken by the name of the function; rename the value")
        for name in row.keys() & parameters.keys():
            if row[name] != parameters[name]:
                values = f"{row[name]!r:.80} for the parameter {parameters[name]!r:.80}"
                raise ValueError(f"a row gives {name!r} as {values}; rename one of them")


@dataclass(frozen=True)
class Failure:
    """A cell that raised."""

    task: Task
    error: str
    trace: str
