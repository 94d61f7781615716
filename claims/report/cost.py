"""How long a run will take, by the CPU time that cells of the same kind took in the published `standard` run.

The work of a cell is taken to be proportional to each of its sizes: epochs, examples, width and the like. That is
rough, good for telling minutes from days.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from pruneproof.claims.claim import Claim, Scale
from pruneproof.claims.engine.cell import Task, task

from .published import published

SIZES = ("epochs", "examples", "iterations", "m", "features", "width", "depth", "draws", "repeats")


@dataclass(frozen=True)
class Cost:
    """What a run is expected to take.

    Args:
        cells: How many cells it has.
        hours: Hours of processor time of those that can be estimated.
        unknown: How many cannot: the published run has none of their kind.
    """

    cells: int
    hours: float
    unknown: int


def work(cell: Mapping[str, Any]) -> float:
    """The product of a cell's sizes.

    Args:
        cell: Its parameters.

    Example:
        >>> work({"epochs": 10, "examples": 200, "seeds": [0, 1, 2], "method": "snip"})
        6000.0
    """
    sizes = [float(cell[name]) for name in SIZES if isinstance(cell.get(name), int | float) and cell[name] > 0]
    return prod(sizes) * len(cell.get("seeds") or [0]) * sum(cell.get("hidden") or [1])


def kind(measure: str, cell: Mapping[str, Any]) -> str:
    """Cells of one kind differ in their sizes only: the measure and the network."""
    return f"{measure} {cell.get('network', '')}".rstrip()


def rates(cells: Iterable[tuple[Task, str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds for a unit of work, by kind of cell.

    Args:
        cells: Those of a run with their rows, as `Store.answers` gives them.
        seconds: Key of a cell → its CPU seconds.
    """
    spent: dict[str, list[float]] = {}
    for each, _ in cells:
        if each.key in seconds:
            cell = json.loads(each.cell)
            total = spent.setdefault(kind(each.measure, cell), [0.0, 0.0])
            total[0] += seconds[each.key]
            total[1] += work(cell)
    return {name: time / amount for name, (time, amount) in sorted(spent.items())}


def cost(claims: Sequence[Claim], scale: Scale, seeds: int | None) -> Cost:
    """What the cells of some claims are expected to take; those that claims share count once.

    Args:
        claims: The claims.
        scale: How much of them is run.
        seeds: Number of seeds, or None.
    """
    known: Mapping[str, float] = published().get("rates", {})
    cells = {
        each.key: (each.measure, cell)
        for claim in claims
        for cell in claim.grid(scale, seeds)
        if (each := task(claim.measure, cell))
    }
    found = [known.get(kind(measure, cell), -1.0) * work(cell) for measure, cell in cells.values()]
    timed = [seconds for seconds in found if seconds >= 0]
    return Cost(len(cells), sum(timed) / 3600, len(found) - len(timed))
