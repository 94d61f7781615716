"""The criterion and the picture's numbers of PT5: does a larger dataset need more pre-training before pruning works?"""

from typing import Any

import numpy as np
from scipy import stats

from pruneproof.claims.claim import Outcome, Verdict
from pruneproof.claims.engine.cell import Row

from .digits_curves import KEPT, MNIST, WIDTH

# In a pilot with 10 % for both kinds every untrained network, pruned, met the binarised target: nothing to pre-train.
TARGETS = {"binarised": 0.02, "ten classes": 0.10}

CRITERION = (
    "A run's threshold t* is the first checkpoint at which the pruned network misclassifies at most 2 % (binarised) or "
    "10 % (ten classes) of its training images. For each kind of labels a line is fitted to log t* against log m over "
    "all seeds and sizes, without the runs that met the target before training. Holds if the 95 % interval of the "
    "slope lies above 0 for every kind; not reproduced if a slope is at most 0; else inconclusive, also if fewer than "
    "three quarters of the runs of a kind reach the target, or fewer than three sizes needed training. Settled by "
    "pilots on other seeds (docs/pilots.md)."
)


def threshold(row: Row, subject: str = "pruned") -> int | None:
    """The first checkpoint with an error of at most the target."""
    target = TARGETS[row["kind"].removeprefix(MNIST)]
    return next((t for t, error in zip(row["t"], row[f"{subject} error"], strict=True) if error <= target), None)


def slope(rows: list[Row], subject: str = "pruned") -> list[float] | None:
    """[estimate, low, high] of d log t*/d log m, or None if too few runs reach the target or need training for it."""
    points = [(row["m"], threshold(row, subject)) for row in rows]
    reached = [(m, t) for m, t in points if t is not None]
    trained = [(m, t) for m, t in reached if t > 0]
    if len(reached) < 0.75 * len(points) or len({m for m, _ in trained}) < 3:
        return None
    sizes, times = np.array(trained, dtype=np.float64).T
    line: Any = stats.linregress(np.log(sizes), np.log(times))
    half = float(stats.t.ppf(0.975, len(trained) - 2)) * float(line.stderr)
    return [float(line.slope), float(line.slope - half), float(line.slope + half)]


def judge(rows: list[Row]) -> Outcome:
    """Fit each kind of labels; dense slopes are printed beside the pruned ones."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in sorted({row["kind"] for row in rows})}
    slopes = {kind: slope(some) for kind, some in by_kind.items()}
    dense = {kind: slope(some, "dense") for kind, some in by_kind.items()}
    return Outcome(
        verdict(list(slopes.values())),
        {f"slope of log t* in log m, pruned, {kind}": value or "not reached" for kind, value in slopes.items()}
        | {f"the same, dense, {kind}": value or "not reached" for kind, value in dense.items()},
        tuple(sorted({row["seed"] for row in rows})),
        f"digits (and MNIST, the paper's data, where --data-root has it), m = {sorted({row['m'] for row in rows})}, "
        f"two-layer tanh perceptron of {WIDTH} hidden units pruned to k = {KEPT}, SGD with batches of 32; iterations "
        "are gradient steps",
        [_line(row) for row in sorted(rows, key=lambda row: (row["kind"], row["m"], row["seed"]))],
    )


def verdict(slopes: list[list[float] | None]) -> Verdict:
    """The criterion, given the slope of each kind."""
    known = [value for value in slopes if value is not None]
    if any(value[0] <= 0 for value in known):
        return Verdict.NOT_REPRODUCED
    complete = len(known) == len(slopes) and all(value[1] > 0 for value in known)
    return Verdict.HOLDS if complete else Verdict.INCONCLUSIVE


def _line(row: Row) -> Row:
    return {
        "labels": row["kind"],
        "m": row["m"],
        "seed": row["seed"],
        "t*, pruned": threshold(row),
        "t*, dense": threshold(row, "dense"),
        "last training error, pruned": row["pruned error"][-1],
        "last training error, dense": row["dense error"][-1],
    }
