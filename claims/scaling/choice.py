"""SL4 and SL5: the smallest network for a target error, predicted and measured; whether another curve fits better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.plotting import BLUE, INK, ORANGE, plain_decades, shades
from pruneproof.theory.scaling.comparison import Comparison, compare
from pruneproof.theory.scaling.fitting import FittedLaw, fit
from pruneproof.theory.scaling.models import LAW
from pruneproof.theory.scaling.points import Points
from pruneproof.theory.scaling.smallest_network import smallest_invariant

from .path import measure_path
from .points import seeds_of, task_points, weights_of
from .settings import network_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

WITHIN = 0.40
PLACES = (0.25, 0.5, 0.75)  # of the way from the lowest dense error to the highest error, in logarithms
TASKS = ("teacher", "digits")


def _smallest_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return network_cells(scale, seeds, "teacher")


def _judge_smallest(rows: list[Row]) -> Outcome:
    points, weights = task_points(rows, "teacher"), weights_of(rows, "teacher")
    law = fit(points)
    table = [_target(points, weights, law, target) for target in targets(points)]
    worst = max(abs(np.log(row["predicted weights"] / row["measured weights"])) for row in table)
    return Outcome(
        verdict=Verdict.HOLDS if worst <= np.log(1 + WITHIN) else Verdict.NOT_REPRODUCED,
        measured={
            "largest factor between predicted and measured": float(np.exp(worst)),
            **{f"weights at error {row['target']:.3f}, predicted / measured":
               row["predicted weights"] / row["measured weights"] for row in table},
        },
        seeds=seeds_of(rows),
        scope="teacher grid; measured sizes interpolated between neighbouring densities, over the same networks",
        table=table,
    )  # fmt: skip


def targets(points: Points) -> list[float]:
    """Three target errors, evenly spaced in logarithms between the lowest dense and the highest error."""
    low, high = float(points.dense_error.min()), float(points.error.max())
    return [low * (high / low) ** place for place in PLACES]


def _target(points: Points, weights: dict[str, int], law: FittedLaw, target: float) -> Row:
    predicted = {name: predicted_size(points, name, law, target) * total for name, total in weights.items()}
    measured = {name: measured_density(points, name, target) * total for name, total in weights.items()}
    chosen, best = min(predicted, key=lambda name: predicted[name]), min(measured, key=lambda name: measured[name])
    return {
        "target": target,
        "predicted network": chosen,
        "predicted weights": float(predicted[chosen]),
        "best network": best,
        "measured weights": float(measured[best]),
    }


def predicted_size(points: Points, name: str, law: FittedLaw, target: float) -> float:
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


def _comparison_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return [cell for task in TASKS for cell in network_cells(scale, seeds, task)]


def _judge_comparison(rows: list[Row]) -> Outcome:
    ranked = {task: compare(task_points(rows, task), np.random.default_rng(0)) for task in TASKS}
    winners = {task: _winners(each) for task, each in ranked.items()}
    holds = winners["teacher"] == (LAW.name, LAW.name)
    return Outcome(
        verdict=Verdict.HOLDS if holds else Verdict.NOT_REPRODUCED,
        measured={
            **{f"{task}: best by AICc": winner[0] for task, winner in winners.items()},
            **{f"{task}: best on held-out points": winner[1] for task, winner in winners.items()},
            **{f"{task}: σ of {each.name}": each.fitted.spread for task in TASKS for each in ranked[task]},
        },
        seeds=seeds_of(rows),
        scope="joint fits with exponents of depth and width; five folds of points, the same for all curves",
        table=[_comparison_row(task, each) for task in TASKS for each in ranked[task]],
    )


def _winners(ranked: list[Comparison]) -> tuple[str, str]:
    return ranked[0].name, min(ranked, key=lambda each: each.held_out).name


def _comparison_row(task: str, each: Comparison) -> Row:
    return {
        "task": task,
        "curve": each.name,
        "σ": each.fitted.spread,
        "held-out deviation": each.held_out,
        "AICc": each.fitted.criterion,
    }


def smallest_figures(rows: list[Row]) -> list[Figure]:
    """SL4: error against weights, with the targets and the predicted sizes."""
    points, weights = task_points(rows, "teacher"), weights_of(rows, "teacher")
    law = fit(points)

    def draw(figure: MatplotlibFigure) -> None:
        axes = figure.subplots()
        names = points.networks()
        for name, colour in zip(names, shades(len(names)), strict=True):
            mine = points.where(points.network == name)
            axes.plot(mine.density * weights[name], mine.error, "-", color=colour, linewidth=1.2, label=name)
        for target in targets(points):
            size = min(predicted_size(points, name, law, target) * weights[name] for name in names)
            axes.plot(size, target, "D", color=INK, markersize=5)
            axes.axhline(target, color=INK, linewidth=0.5, linestyle=":")
        axes.set(xscale="log", yscale="log", xlabel="surviving weights", ylabel="error")
        plain_decades(axes.yaxis)
        axes.legend(frameon=False, fontsize=7)

    caption = (
        "Measured paths of all networks; the diamonds are the smallest sizes that the law predicts for three targets."
    )
    return [Figure("The smallest network for a target error", caption, draw)]


def comparison_figures(rows: list[Row]) -> list[Figure]:
    """SL5: deviation of every curve, fitted and held out."""
    ranked = {task: compare(task_points(rows, task), np.random.default_rng(0)) for task in ("teacher", "digits")}

    def draw(figure: MatplotlibFigure) -> None:
        figure.set_size_inches(8, 2.6)
        for axes, (task, each) in zip(figure.subplots(1, 2), ranked.items(), strict=True):
            order = sorted(each, key=lambda found: -found.held_out)
            place = np.arange(len(order))
            axes.barh(place + 0.2, [found.fitted.spread for found in order], 0.38, color=BLUE, label="fitted")
            axes.barh(place - 0.2, [found.held_out for found in order], 0.38, color=ORANGE, label="held out")
            axes.set_yticks(place, [found.name for found in order])
            axes.set(xlabel="relative deviation", title=task)
            axes.grid(visible=False, axis="y")
            axes.legend(frameon=False, fontsize=7)

    caption = (
        "Standard deviation of the fit and root mean square deviation on held-out points; the best curve is on top."
    )
    return [Figure("Which curve?", caption, draw)]


SMALLEST = Claim(
    "SL4",
    "The law names the smallest network for a target error: a larger dense network, pruned until its error has risen "
    "to the target.",
    "Rosenfeld et al., ICML 2021; closed form in theory/theorems/scaling_law/proof.md",
    f"Teacher grid, three targets at {', '.join(f'{place:.0%}' for place in PLACES)} of the logarithmic range: "
    f"predicted and best measured number of weights within a factor {1 + WITHIN:g}.",
    measure_path,
    paper="scaling",
    grid=_smallest_grid,
    judge=_judge_smallest,
    figures=smallest_figures,
    says_not="That no smaller network exists: only the measured family is searched.",
)

CHOICE = Claim(
    "SL5",
    "The published formula describes the errors better than simpler or freer curves.",
    "Rosenfeld et al., ICML 2021 (the form); the comparison is ours, theory/theorems/scaling_law/proof.md",
    "Teacher grid: the law has the lowest AICc and the lowest deviation on held-out points among the limit γ → ∞, "
    "log-Hill with a free exponent, clipped power law and constant; digits are printed beside it.",
    measure_path,
    paper="scaling",
    grid=_comparison_grid,
    judge=_judge_comparison,
    figures=comparison_figures,
    says_not="That the law is wrong if another curve wins: the differences can be small, and the table shows them.",
)
