"""The rows of a task as points to fit: errors averaged over seeds, one point per network and density."""

from collections import defaultdict

import numpy as np

from pruneproof.claims.engine.cell import Row
from pruneproof.theory.scaling.points import Points, points_from_rows

LIMIT = 1e-4


def task_points(rows: list[Row], task: str) -> Points:
    """Points of one task; an error of exactly 0 or 1 would have no place on the curve and is moved inside by `LIMIT`.

    Example:
        >>> row = {"task": "digits", "width": 8, "depth": 1, "density": 1.0, "kept": 90}
        >>> task_points([row | {"seed": 0, "error": 0.1}, row | {"seed": 1, "error": 0.3}], "digits").error.tolist()
        [0.2]
    """
    errors: dict[tuple[int, int, float], list[float]] = defaultdict(list)
    for row in rows:
        if row["task"] == task:
            errors[row["width"], row["depth"], row["density"]].append(row["error"])
    return points_from_rows(
        [
            {
                "network": f"{width}×{depth}",
                "width": width,
                "depth": depth,
                "density": density,
                "error": float(np.clip(np.mean(values), LIMIT, 1 - LIMIT)),
            }
            for (width, depth, density), values in errors.items()
        ]
    )


def seeds_of(rows: list[Row]) -> tuple[int, ...]:
    """The seeds in the rows, in increasing order."""
    return tuple(sorted({row["seed"] for row in rows if "seed" in row}))


def weights_of(rows: list[Row], task: str) -> dict[str, int]:
    """Weights of each dense network of a task, by the names of `task_points`."""
    dense = [row for row in rows if row["task"] == task and row["density"] == 1]
    return {f"{row['width']}×{row['depth']}": row["kept"] for row in dense}
