"""What runs in a worker: one cell from its parameters; its rows, or its error as text.

Only texts cross the border between processes or machines: an exception that cannot be pickled, or a
measure that cannot be imported, becomes a report about its cell and never breaks the pool.

`python -m pruneproof.claims.engine.worker` answers cells that come as JSON lines on standard input; so
a worker of a cluster, which has threads and settings of its own, computes them in clean processes.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import import_module
from multiprocessing import parent_process
from typing import Any, cast

from pruneproof.errors import one_line

from .cell import Task, canonical


@dataclass(frozen=True)
class Answer:
    """What came of a cell.

    Args:
        rows: Its rows as JSON; empty if it failed.
        error: What it raised, in one line; empty if it did not.
        trace: Where it raised.
        seconds: How long it took.
        cpu: CPU seconds of its process meanwhile; like `seconds` never stored with the rows.
    """

    rows: str = ""
    error: str = ""
    trace: str = ""
    seconds: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A cell that raised, with its error in one line and its traceback."""

    task: Task
    error: str
    trace: str


def compute(measure: str, cell: str) -> Answer:
    """Run one cell.

    Args:
        measure: `"module:function"`; the function returns a list of rows, or one row. A row may
            repeat a parameter, but not under another value, and no name may be `measure`: both would
            be lost where rows meet parameters.
        cell: The parameters as JSON.

    Example:
        >>> compute("builtins:dict", '{"b": 1}').rows
        '[{"b":1}]'
        >>> compute("builtins:len", "3").error
        "TypeError: object of type 'int' has no len()"
    """
    start, cpu = time.monotonic(), time.process_time()
    try:
        parameters = json.loads(cell)
        rows = canonical(_plain(_rows(find(measure)(json.loads(cell)))))
        rows.encode()  # what is not Unicode, such as a file name in another encoding, cannot be stored
        _check_names(parameters, json.loads(rows))
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a measure that exits ends its cell, not the run
        if isinstance(error, KeyboardInterrupt) and _is_the_users_own():
            raise
        return Answer(error=one_line(error), trace=traceback.format_exc(), seconds=time.monotonic() - start)
    return Answer(rows=rows, seconds=time.monotonic() - start, cpu=time.process_time() - cpu)


def _is_the_users_own() -> bool:
    """Whether Ctrl-C arrives in this thread; workers ignore it, so that there a measure itself has raised."""
    return parent_process() is None and threading.current_thread() is threading.main_thread() and not _SERVING


_SERVING: list[bool] = []  # holds something in a process that runs `serve`


def serve() -> None:
    """Answer cells, one JSON line each, until standard input ends; a measure's own output goes to standard error."""
    _SERVING.append(True)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    for line in sys.stdin:
        print(json.dumps(asdict(compute(*json.loads(line)))), file=answers, flush=True)


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


if __name__ == "__main__":
    serve()
