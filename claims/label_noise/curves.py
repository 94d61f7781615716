"""The rows of one network as curves: (seeds, levels) arrays, the trough chosen on validation, means with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from pruneproof.claims.engine.cell import Row
from pruneproof.theory.statistics.double_descent import Descent, double_descent, effective_level

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """The pruning path of one network.

    Arguments:
        rows: of all its seeds and levels.

    Example:
        >>> rows = [{"seed": s, "level": l, "validation_error": 0.1 * l} for s in (4, 2) for l in (0, 1, 2)]
        >>> Path(tuple(rows)).column("validation_error").shape, Path(tuple(rows)).seeds
        ((2, 3), (2, 4))
    """

    rows: tuple[Row, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in increasing order."""
        return tuple(sorted({row["seed"] for row in self.rows}))

    def column(self, name: str) -> Floats:
        """One measured quantity, (seeds, levels), dense first."""
        ordered = sorted(self.rows, key=lambda row: (row["seed"], row["level"]))
        return np.array([row[name] for row in ordered], float).reshape(len(self.seeds), -1)

    @property
    def densities(self) -> Floats:
        """Kept shares (levels,)."""
        return self.column("density")[0]

    @property
    def sizes(self) -> Floats:
        """Surviving weights (levels,)."""
        return self.column("kept")[0]

    @property
    def trough(self) -> int:
        """The level after the peak with the lowest mean error on the validation labels."""
        return effective_level(self.column("validation_error"))

    @property
    def descent(self) -> Descent:
        """Peak and trough, located on the validation labels."""
        return double_descent(self.column("validation_error").mean(0))

    def at(self, name: str, level: int) -> Floats:
        """A quantity at one level, (seeds,)."""
        return self.column(name)[:, level]


def path_of(rows: Sequence[Row], **wanted: object) -> Path:
    """The rows whose parameters equal the wanted ones, as one path."""
    return Path(tuple(row for row in rows if all(row[name] == value for name, value in wanted.items())))


def interval(values: Floats) -> list[float]:
    """Mean with its 95 % t-interval over seeds; the interval of a single seed is the seed.

    Example:
        >>> interval(np.array([1.0, 1.0, 1.0]))
        [1.0, 1.0, 1.0]
    """
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return [mean, mean, mean]
    half = float(student.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return [mean, mean - half, mean + half]
