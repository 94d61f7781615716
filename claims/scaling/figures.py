"""Pictures of the scaling claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...theory.scaling_comparison import compare, leave_large_out
from ...theory.scaling_fit import fit
from ...theory.scaling_models import LAW
from ..claim import Figure, Row
from .plots import BLUE, INK, ORANGE, draw_networks, draw_one_curve, draw_residuals, plain_decades, shades
from .points import task_points, weights_of
from .settings import LARGEST_FITTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure


def fit_figures(rows: list[Row]) -> list[Figure]:
    """SL2: the joint fit seen three ways."""
    law = fit(task_points(rows, "teacher"))

    def networks(figure: MatplotlibFigure) -> None:
        draw_networks(figure.subplots(), law)

    def one_curve(figure: MatplotlibFigure) -> None:
        figure.set_size_inches(8, 3.2)
        left, right = figure.subplots(1, 2)
        draw_one_curve(left, law)
        draw_residuals(right, law)

    return [
        Figure(
            "Error against density",
            "Each colour is a network (width × depth), each point a mean over seeds; the lines are one joint fit.",
            networks,
        ),
        Figure(
            "All networks on one curve",
            "Left: the share of the logarithmic rise that is made, against the invariant. Right: what the fit leaves.",
            one_curve,
        ),
    ]


def extrapolation_figures(rows: list[Row]) -> list[Figure]:
    """SL3: predicted against measured errors of the wider networks, both tasks."""
    found = {}
    for task in ("teacher", "digits"):
        points = task_points(rows, task)
        wider = points.where(points.width > LARGEST_FITTED)
        found[task] = wider, (1 + leave_large_out(points, LARGEST_FITTED, LAW)[1]) * wider.error

    def draw(figure: MatplotlibFigure) -> None:
        figure.set_size_inches(8, 3.2)
        for axes, (task, (points, predicted)) in zip(figure.subplots(1, 2), found.items(), strict=True):
            names = points.networks()
            for name, colour in zip(names, shades(len(names)), strict=True):
                mine = points.network == name
                axes.plot(points.error[mine], predicted[mine], "o", color=colour, markersize=3, label=name)
            ends = [points.error.min(), points.error.max()]
            axes.plot(ends, ends, color=INK, linewidth=0.8)
            axes.set(xscale="log", yscale="log", xlabel="measured error", ylabel="predicted error", title=task)
            plain_decades(axes.xaxis)
            plain_decades(axes.yaxis)
            axes.legend(frameon=False, fontsize=7)

    caption = (
        f"Networks wider than {LARGEST_FITTED}, predicted by a fit to the others. On the line the prediction is exact."
    )
    return [Figure("Extrapolation to wider networks", caption, draw)]


def smallest_figures(rows: list[Row]) -> list[Figure]:
    """SL4: error against weights, with the targets and the predicted sizes."""
    from .choice import predicted_size, targets

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
