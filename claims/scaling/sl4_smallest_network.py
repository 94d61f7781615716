"""SL4: does the law name the smallest network for a target error, and its number of weights?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.plotting import INK, plain_decades, shades
from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.points import Points
from pruneproof.theory.scaling.smallest_network import smallest_invariant

from .measure import PathRow, measure_path, points_of, seeds_of, weights_of
from .setting import PUBLICATION, network_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

WITHIN = 0.40
SHARES = (0.25, 0.5, 0.75)  # of the way from the lowest dense error to the highest error, in logarithms

STATEMENT = (
    "The law names the smallest network for a target error: a larger dense network, pruned until its error has risen "
    "to the target."
)
SOURCE = f"{PUBLICATION}; closed form in theory/theorems/scaling_law/proof.md"
CRITERION = (
    f"Teacher grid, three targets at {', '.join(f'{share:.0%}' for share in SHARES)} of the logarithmic range: "
    f"predicted and best measured number of weights within a factor {1 + WITHIN:g}."
)
SAYS_NOT = "That no smaller network exists: only the measured family is searched."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every network of the teacher task."""
    return network_cells(scale, seeds, "teacher")


def judge(rows: Sequence[Row]) -> Outcome:
    """Compare the predicted with the best measured number of weights at three target errors."""
    path = read_rows(PathRow, rows)
    points, weights = points_of(path, "teacher"), weights_of(path, "teacher")
    law = fit(points)
    table = [_target(points, weights, law, target) for target in targets(points)]
    ratios = {row["target"]: row["predicted weights"] / row["measured weights"] for row in table}
    worst = max(abs(float(np.log(ratio))) for ratio in ratios.values())
    return Outcome(
        verdict=Verdict.HOLDS if worst <= np.log(1 + WITHIN) else Verdict.NOT_REPRODUCED,
        measured={
            "largest factor between predicted and measured": float(np.exp(worst)),
            **{f"weights at error {at:.3f}, predicted / measured": ratio for at, ratio in ratios.items()},
        },
        seeds=seeds_of(path),
        scope="teacher grid; measured sizes interpolated between neighbouring densities, over the same networks",
        table=table,
    )


def targets(points: Points) -> list[float]:
    """Three target errors, evenly spaced in logarithms between the lowest dense and the highest error."""
    low, high = float(points.dense_error.min()), float(points.error.max())
    return [low * (high / low) ** share for share in SHARES]


def _target(points: Points, weights: dict[str, int], law: FittedLaw, target: float) -> Row:
    predicted = {name: predicted_density(points, name, law, target) * total for name, total in weights.items()}
    measured = {name: measured_density(points, name, target) * total for name, total in weights.items()}
    chosen, best = min(predicted, key=lambda name: predicted[name]), min(measured, key=lambda name: measured[name])
    return {
        "target": target,
        "predicted network": chosen,
        "predicted weights": float(predicted[chosen]),
        "best network": best,
        "measured weights": float(measured[best]),
    }


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


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Error against weights, with the targets and the predicted sizes."""
    path = read_rows(PathRow, rows)
    points, weights = points_of(path, "teacher"), weights_of(path, "teacher")
    law = fit(points)

    def draw(canvas: "Canvas") -> None:
        axes = canvas.subplots()
        names = points.networks()
        for name, colour in zip(names, shades(len(names)), strict=True):
            mine = points.where(points.network == name)
            axes.plot(mine.density * weights[name], mine.error, "-", color=colour, linewidth=1.2, label=name)
        for target in targets(points):
            size = min(predicted_density(points, name, law, target) * weights[name] for name in names)
            axes.plot(size, target, "D", color=INK, markersize=5)
            axes.axhline(target, color=INK, linewidth=0.5, linestyle=":")
        axes.set(xscale="log", yscale="log", xlabel="surviving weights", ylabel="error")
        plain_decades(axes.yaxis)
        axes.legend(frameon=False, fontsize=7)

    caption = (
        "Measured paths of all networks; the diamonds are the smallest sizes that the law predicts for three targets."
    )
    return [Figure("The smallest network for a target error", caption, draw)]


SL4 = Claim(
    "SL4",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_path,
    paper="scaling",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
