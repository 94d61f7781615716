"""What SL4 and SL6 share: for a target error, the network that the law names and the best one that was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.points import Points
from pruneproof.theory.scaling.smallest_network import smallest_invariant

from .measure import PathRow, points_of, weights_of

SHARES = (0.25, 0.5, 0.75)  # of the way from the lowest dense error to the highest error, in logarithms


@dataclass(frozen=True)
class Smallest:
    """The smallest networks for one target error, from the rows of one seed.

    Args:
        seed: Whose rows.
        share: One of `SHARES`.
        target: The target error.
        named: The network that the law names.
        predicted: Weights that the law predicts for it; infinite if no network reaches the target.
        best: The measured network with the fewest weights.
        measured: Its weights.
    """

    seed: int
    share: float
    target: float
    named: str
    predicted: float
    best: str
    measured: float


def smallest_networks(rows: Sequence[PathRow], task: str) -> list[Smallest]:
    """The smallest networks for every target, seed by seed: each seed has its own fit and its own targets.

    Args:
        rows: Of any tasks.
        task: Whose rows are taken.
    """
    networks: list[Smallest] = []
    for seed in sorted({row.seed for row in rows if row.task == task}):
        own = [row for row in rows if row.seed == seed]
        points, weights = points_of(own, task), weights_of(own, task)
        law = fit(points)
        for share, target in zip(SHARES, targets(points), strict=True):
            predicted = {name: predicted_density(points, name, law, target) * total for name, total in weights.items()}
            measured = {name: measured_density(points, name, target) * total for name, total in weights.items()}
            named, best = min(predicted, key=predicted.__getitem__), min(measured, key=measured.__getitem__)
            networks.append(Smallest(seed, share, target, named, predicted[named], best, measured[best]))
    return networks


def targets(points: Points) -> list[float]:
    """Three target errors, evenly spaced in logarithms between the lowest dense and the highest error."""
    low, high = float(points.dense_error.min()), float(points.error.max())
    return [low * (high / low) ** share for share in SHARES]


def predicted_density(points: Points, name: str, law: FittedLaw, target: float) -> float:
    """The density at which the law reaches the target on one network; infinite if it cannot."""
    mine = points.where(points.network == name)
    scale = law.invariant(mine)[0] / mine.density[0]
    density = smallest_invariant(target, float(mine.dense_error[0]), law.parameters) / scale
    return float(density) if density <= 1 else float("inf")


def measured_density(points: Points, name: str, target: float) -> float:
    """The lowest density before the error first exceeds the target, interpolated in logarithms; infinite if none."""
    mine = points.where(points.network == name)
    order = np.argsort(-mine.density)
    density, error = np.log(mine.density[order]), np.log(mine.error[order])
    above = np.flatnonzero(error > np.log(target))
    if not len(above):
        return float(np.exp(density[-1]))
    if above[0] == 0:
        return float("inf")
    last, first = above[0] - 1, above[0]
    share = (np.log(target) - error[last]) / (error[first] - error[last])
    return float(np.exp(density[last] + share * (density[first] - density[last])))
