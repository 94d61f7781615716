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

from pruneproof.errors import PruneproofError

from .cell import Task, task
from .worker import find, one_line


@dataclass(frozen=True)
class Grid:
    """All combinations of some parameters.

    Arguments:
        measure: import name of the function that computes a cell, `"module:function"`.
        axes: parameter name → its values.
        fixed: parameters that are the same in every cell.

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

    Raises `PruneproofError` if the file cannot be read, says something else than a grid, or names no function.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, PruneproofError, ValueError) as error:
        raise _refused(path, "a readable TOML file", str(error), "see pruneproof sweep --help") from None
    unknown = sorted(content.keys() - {"measure", "axes", "fixed"})
    if unknown:
        raise _refused(path, "measure, [axes] and [fixed] only", unknown, "move parameters below [axes] or [fixed]")
    grid = Grid(content.get("measure", ""), content.get("axes", {}), content.get("fixed", {}))
    _check_measure(path, grid.measure)
    _check_axes(path, grid)
    return grid


def _check_measure(path: Path, measure: Any) -> None:
    required, remedy = 'measure = "module:function"', "name a function that takes a cell and returns rows"
    if not isinstance(measure, str) or ":" not in measure:
        raise _refused(path, required, measure or "none", remedy)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = find(measure)
    except (Exception, SystemExit) as error:  # whatever the reader's module raises when it is imported
        raise _refused(path, required, f"{measure} ({one_line(error)})", remedy) from None
    if not callable(function):
        raise _refused(path, required, f"{measure}, which is no function", remedy)
    _check_name(path, measure, function)


def _check_name(path: Path, measure: str, function: Any) -> None:
    """Refuse what a worker would not find by where it says that it was defined."""
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    with suppress(Exception):
        if find(name) == function:
            return
    received = f"{measure}, which calls itself {name}"
    remedy = "use def at the top level of the module, and functools.wraps in a decorator"
    raise _refused(path, "a function that workers can import by its own name", received, remedy)


def _check_axes(path: Path, grid: Grid) -> None:
    if not isinstance(grid.axes, dict) or not grid.axes:
        raise _refused(path, "a table [axes] with at least one list", grid.axes, "write e.g. seed = [0, 1, 2]")
    if not isinstance(grid.fixed, dict):
        raise _refused(path, "a table [fixed]", grid.fixed, "write [fixed] and below it e.g. epochs = 20")
    for name, values in grid.axes.items():
        if not isinstance(values, list) or not values:
            raise _refused(path, f"a list of values for {name}", values, f"write {name} = [...]")
        if len({json.dumps(value, sort_keys=True, default=str) for value in values}) < len(values):
            raise _refused(path, f"each value of {name} once", values, "remove the repeated value")
    both = sorted(grid.axes.keys() & grid.fixed.keys())
    if both:
        raise _refused(path, "each parameter either below [axes] or below [fixed]", both, "remove one of the two")
    if "measure" in {*grid.axes, *grid.fixed}:
        received = "a parameter called measure"
        raise _refused(path, "parameters besides the measure", received, "rename it: rows name their function so")
    measure, first = find(grid.measure), next(grid.cells())
    for name, values in grid.axes.items():  # what is no JSON, such as a date, is refused before any work
        for value in values:
            task(measure, {**first, name: value})


def _refused(path: Path, required: str, received: object, remedy: str) -> PruneproofError:
    return PruneproofError(f"sweep {path}", required=required, received=received, remedy=remedy)
