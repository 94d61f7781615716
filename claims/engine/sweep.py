"""A sweep as data: a measure and the values of its parameters, read from a TOML file.

    measure = "my_study:train"      # a function of a module beside the file, or of an installed one

    [axes]                          # every combination is one cell
    width = [16, 32, 64]
    seed = [0, 1, 2]

    [fixed]                         # the same in every cell
    epochs = 20

Cells are made one by one in the order of the file, the last axis fastest; none are held.
"""

import json
import math
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pruneproof.errors import (
    FileAccessError,
    FileFormatError,
    InvalidValueError,
    MissingFileError,
    PruneproofError,
    one_line,
)

from .cell import Task, task
from .worker import find


@dataclass(frozen=True)
class Grid:
    """All combinations of some parameters.

    Args:
        measure: Import name of the function that computes a cell, `"module:function"`.
        axes: Parameter name → its values.
        fixed: Parameters that are the same in every cell.

    Example:
        >>> grid = Grid("builtins:dict", {"width": [8, 16], "seed": [0, 1]}, {"epochs": 3})
        >>> len(grid), next(grid.cells())
        (4, {'epochs': 3, 'width': 8, 'seed': 0})
    """

    measure: str
    axes: dict[str, list[Any]]
    fixed: dict[str, Any]

    def __len__(self) -> int:
        return math.prod(map(len, self.axes.values()))

    @property
    def name(self) -> str:
        """The measure as its tasks name it: by where it is defined, not by where the file found it."""
        return task(find(self.measure), next(self.cells())).measure

    def cells(self) -> Iterator[dict[str, Any]]:
        """The parameters of every cell."""
        for values in product(*self.axes.values()):
            yield {**self.fixed, **dict(zip(self.axes, values, strict=True))}

    def tasks(self) -> Iterator[Task]:
        """The named cells."""
        measure = find(self.measure)
        return (task(measure, cell) for cell in self.cells())


def read_grid(path: Path) -> Grid:
    """Read a sweep file; its folder becomes importable, so that the measure may lie beside it.

    Args:
        path: The TOML file.

    Raises:
        FileFormatError: If the file says something else than a grid, or names no function that
            workers can import.
        MissingFileError: If there is no such file.
        InvalidValueError: If a parameter has no JSON.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except RecursionError:
        raise _refused(path, "is nested too deeply for a sweep", "Write lists of plain values.") from None
    except OSError as error:
        kind = FileAccessError if path.exists() else MissingFileError
        raise kind(f"sweep: {path} cannot be read: {error.strerror or error}. Name a TOML file.") from None
    except ValueError as error:
        raise _refused(path, f"cannot be read as TOML ({error})", "See pruneproof sweep --help.") from None
    unknown = sorted(content.keys() - {"measure", "axes", "fixed"})
    if unknown:
        raise _refused(path, f"has {', '.join(unknown)} at its top level", "Move parameters below [axes] or [fixed].")
    grid = Grid(content.get("measure", ""), content.get("axes", {}), content.get("fixed", {}))
    _check_measure(path, grid.measure)
    _check_axes(path, grid)
    return grid


def _check_measure(path: Path, measure: Any) -> None:
    remedy = 'Write measure = "module:function", a function that takes a cell and returns rows.'
    if not isinstance(measure, str) or ":" not in measure:
        raise _refused(path, f"names no measure but {measure!r:.80}" if measure else "names no measure", remedy)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = find(measure)
    except (Exception, SystemExit) as error:  # whatever the reader's module raises when it is imported
        raise _refused(path, f"names {measure}, which cannot be imported ({one_line(error)})", remedy) from None
    if not callable(function):
        raise _refused(path, f"names {measure}, which is no function", remedy)
    _check_name(path, measure, function)


def _check_name(path: Path, measure: str, function: Any) -> None:
    """Refuse what a worker would not find by where it says that it was defined."""
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    with suppress(Exception):
        if find(name) == function:
            return
    remedy = "Use def at the top level of the module, and functools.wraps in a decorator."
    raise _refused(path, f"names {measure}, which calls itself {name}, so that no worker would find it", remedy)


def _check_axes(path: Path, grid: Grid) -> None:
    if not isinstance(grid.axes, dict) or not grid.axes:
        raise _refused(path, f"has no table [axes] but {grid.axes!r:.80}", "Write [axes] and below it seed = [0, 1].")
    if not isinstance(grid.fixed, dict):
        raise _refused(path, f"has no table [fixed] but {grid.fixed!r:.80}", "Write [fixed] and below it epochs = 20.")
    for name, values in grid.axes.items():
        if not isinstance(values, list) or not values:
            raise _refused(path, f"has no list of values for {name} but {values!r:.80}", f"Write {name} = [...].")
        if len({json.dumps(value, sort_keys=True, default=str) for value in values}) < len(values):
            raise _refused(path, f"has a value of {name} twice", "Remove the repeated value.")
    if both := sorted(grid.axes.keys() & grid.fixed.keys()):
        raise _refused(path, f"has {', '.join(both)} below [axes] and below [fixed]", "Remove one of the two.")
    if "measure" in {*grid.axes, *grid.fixed}:
        raise _refused(path, "has a parameter called measure", "Rename it: rows name their function so.")
    measure, first = find(grid.measure), next(grid.cells())
    for name, values in grid.axes.items():  # what is no JSON, such as a date, is refused before any work
        for value in values:
            try:
                task(measure, {**first, name: value})
            except InvalidValueError as error:
                raise InvalidValueError(f"sweep: {path} has a value of {name} that is no JSON. {error}") from None


def _refused(path: Path, what: str, remedy: str) -> PruneproofError:
    return FileFormatError(f"sweep: {path} {what}. {remedy}")
