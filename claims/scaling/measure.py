"""One pruning path of one network, perceptrons with all seeds as one program, and its rows as points to fit."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pruneproof.claims.engine.cell import Cell, stable_id
from pruneproof.claims.estimates import Estimate
from pruneproof.claims.training.iterative_pruning import prune_iteratively
from pruneproof.claims.training.replicates import initial_replicates
from pruneproof.claims.training.trainer import Recipe
from pruneproof.theory.scaling.points import Floats, Points, points_from_rows

from .residual import pruned_levels
from .setting import RESIDUAL, image_task

LIMIT = 1e-4  # an error of exactly 0 or 1 has no place on the curve and is moved inside by this much


@dataclass(frozen=True)
class PathRow:
    """One seed of one network at one density.

    Args:
        task: One of `setting.tasks`.
        width: Units of a hidden layer, or channels of a residual network.
        depth: Number of hidden layers, or of residual blocks.
        seed: Of the initial weights and of the order of the data.
        density: Kept fraction of the prunable weights.
        kept: Weights kept.
        error: Share of test examples classified wrongly.
        examples: Training examples, as the cell names them.
    """

    task: str
    width: int
    depth: int
    seed: int
    density: float
    kept: int
    error: float
    examples: int = 0


@stable_id("pruneproof.claims.scaling.path:measure_path", revision=1)
def measure_path(cell: Cell) -> list[PathRow]:
    """Prune one network iteratively and test every level.

    Args:
        cell: That of `image_task`, with `width`, `depth`, `seeds`, `epochs`, `batch`, `rate`,
            `momentum`, `rewind_epochs`, `share` pruned per round, `levels` besides the dense one.

    Returns:
        A row for every level and seed, the dense network first.
    """
    task = image_task(cell)
    epochs = cell["epochs"]
    recipe = Recipe(epochs, cell["batch"], cell["rate"], cell["momentum"], drops=(epochs // 2, epochs * 3 // 4))
    own = (cell["task"], cell["width"], cell["depth"])
    if cell["task"] == RESIDUAL:
        data = (task.inputs, task.labels), (task.test_inputs, task.test_labels)
        return [
            PathRow(*own, seed, density, kept, error, cell["examples"])
            for seed in cell["seeds"]
            for density, kept, error in pruned_levels(cell, seed, recipe, *data)
        ]
    widths = (task.inputs.shape[1], *[cell["width"]] * cell["depth"], 10)
    nets = initial_replicates([widths] * len(cell["seeds"]), cell["seeds"], device=cell.get("device", "cpu"))
    start = cell["rewind_epochs"] * -(-len(task.labels) // cell["batch"])
    densities = [(1 - cell["share"]) ** level for level in range(cell["levels"] + 1)]
    levels = prune_iteratively(nets, (task.inputs, task.labels), recipe, densities, rewind_to=start)
    test_inputs = task.test_inputs.to(nets.parameters.device)
    rows: list[PathRow] = []
    for level in levels:
        wrong = level.nets.probabilities(test_inputs).argmax(2).cpu() != task.test_labels
        errors = wrong.double().mean(1).tolist()
        rows += [
            PathRow(*own, seed, level.density, int(kept), error, cell["examples"])
            for seed, kept, error in zip(cell["seeds"], level.kept, errors, strict=True)
        ]
    return rows


def points_of(rows: Sequence[PathRow], task: str) -> Points:
    """The points of one task: errors averaged over seeds, one point per network, number of examples and density.

    Args:
        rows: Of any tasks.
        task: Whose rows are taken.

    Example:
        >>> row = PathRow("digits", 8, 1, seed=0, density=1.0, kept=90, error=0.1)
        >>> points_of([row, PathRow("digits", 8, 1, seed=1, density=1.0, kept=90, error=0.3)], "digits").error.tolist()
        [0.2]
    """
    errors: dict[tuple[int, int, int, float], list[float]] = defaultdict(list)
    for row in rows:
        if row.task == task:
            errors[row.width, row.depth, row.examples, row.density].append(row.error)
    return points_from_rows(
        [
            {
                "network": f"{width}×{depth}",
                "width": width,
                "depth": depth,
                "samples": max(1, examples),
                "density": density,
                "error": float(np.clip(np.mean(values), LIMIT, 1 - LIMIT)),
            }
            for (width, depth, examples, density), values in errors.items()
        ]
    )


def points_by_seed(rows: Sequence[PathRow], task: str) -> dict[int, Points]:
    """Seed → the points of one task that it gives alone."""
    own = [row for row in rows if row.task == task]
    return {seed: points_of([row for row in own if row.seed == seed], task) for seed in seeds_of(own)}


def squares(deviation: Floats, points: Points) -> list[float]:
    """The mean squared relative deviation of each network, in the order of `Points.networks`."""
    return [float(np.mean(deviation[points.network == name] ** 2)) for name in points.networks()]


def root(estimate: Estimate) -> Estimate:
    """The square root of an estimate of a square.

    Example:
        >>> from pruneproof.claims.estimates import mean
        >>> str(root(mean([1.0, 4.0, 4.0], unit="networks")))
        '1.732 [0, 2.702]'
    """

    def rooted(value: float) -> float:
        return float(np.sqrt(np.maximum(0.0, value)))  # NaN stays NaN

    def limits(level: float) -> tuple[float, float]:
        wider = estimate.at(level)
        return rooted(wider.low), rooted(wider.high)

    value, low, high = rooted(estimate.value), rooted(estimate.low), rooted(estimate.high)
    error = estimate.error / (2 * value) if value else math.nan
    return replace(estimate, value=value, low=low, high=high, error=error, limits=limits)


def seeds_of(rows: Sequence[PathRow]) -> tuple[int, ...]:
    """The seeds in the rows, in increasing order."""
    return tuple(sorted({row.seed for row in rows}))


def weights_of(rows: Sequence[PathRow], task: str) -> dict[str, int]:
    """Weights of each dense network of a task, by the names of `points_of`."""
    return {f"{row.width}×{row.depth}": row.kept for row in rows if row.task == task and row.density == 1}
