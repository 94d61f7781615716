"""Pictures of the scaling claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row
from pruneproof.plotting import INK, plain_decades, shades
from pruneproof.theory.scaling.comparison import leave_large_out
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import LAW
from pruneproof.theory.scaling.plots import draw_networks, draw_one_curve, draw_residuals

from .points import task_points
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
