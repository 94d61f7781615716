"""Three pictures of a fitted scaling law: error against density per network, all networks on one curve, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pruneproof.plotting import BLUE, INK, plain_decades, shades

from .fitting import FittedLaw
from .points import Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INVARIANT = r"$m = (l/l_0)^\varphi\,(w/w_0)^\psi\,d$"
RISE = r"$\ln(\varepsilon/\varepsilon_{np})\;/\;\ln(\varepsilon_\uparrow/\varepsilon_{np})$"


def draw_networks(axes: Axes, fitted: FittedLaw, points: Points | None = None) -> None:
    """Measured errors as points, the fit as lines, a shade per network size.

    Args:
        axes: Where to draw.
        fitted: The law.
        points: What to show, by default the points of the fit; others are predictions.
    """
    shown = fitted.points if points is None else points
    names = shown.networks()
    for name, colour in zip(names, shades(len(names)), strict=True):
        mine = shown.where(shown.network == name)
        axes.plot(mine.density, mine.error, "o", color=colour, markersize=3)
        axes.plot(*_line(fitted, mine), color=colour, linewidth=1.2, label=name)
    axes.set(xscale="log", yscale="log", xlabel="density (kept share of the weights)", ylabel="error")
    plain_decades(axes.yaxis)
    axes.invert_xaxis()
    if len(names) <= 12:
        axes.legend(frameon=False, fontsize=7, ncols=1 + len(names) // 7, loc="upper left")


def draw_one_curve(axes: Axes, fitted: FittedLaw) -> None:
    """The share of the logarithmic rise from ε_np to ε↑ against the invariant: points and the law, a shade per network.

    The law's own share depends on ε_np through K, so each dense error has its line; they nearly coincide.
    """
    points, invariant = fitted.points, fitted.invariant(fitted.points)
    rise = np.log(fitted.parameters["upper_error"] / points.dense_error)
    names = points.networks()
    for name, colour in zip(names, shades(len(names)), strict=True):
        mine = points.network == name
        axes.plot(invariant[mine], np.log(points.error / points.dense_error)[mine] / rise[mine], "o", color=colour,
                  markersize=3)  # fmt: skip
        axes.plot(*_share(fitted, points.where(mine), invariant), color=colour, linewidth=1)
    axes.set(xscale="log", xlabel=f"invariant {INVARIANT}", ylabel=RISE)
    axes.invert_xaxis()


def draw_residuals(axes: Axes, fitted: FittedLaw) -> None:
    """Relative deviation against the invariant, with the band of one standard deviation."""
    axes.axhspan(-fitted.spread, fitted.spread, color=BLUE, alpha=0.12, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.plot(fitted.invariant(fitted.points), fitted.deviation, "o", color=BLUE, markersize=3)
    axes.set(xscale="log", xlabel=f"invariant {INVARIANT}", ylabel="ε̂/ε − 1")
    axes.set_title(f"σ = {fitted.spread:.1%}, μ = {fitted.mean:+.1%}", fontsize=9)
    axes.invert_xaxis()


def _share(fitted: FittedLaw, mine: Points, invariant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The law of one network over the range of all invariants."""
    density = np.geomspace(invariant.min(), invariant.max(), 80)
    ones, dense = np.ones(80), mine.dense_error[0]
    at = Points(**{name: np.repeat(getattr(mine, name)[:1], 80) for name in mine.__dataclass_fields__})
    logged = fitted.model.log_error(dict(fitted.parameters), at.replaced(density=density, width=ones, depth=ones))
    return density, (logged - np.log(dense)) / np.log(fitted.parameters["upper_error"] / dense)


def _line(fitted: FittedLaw, mine: Points) -> tuple[np.ndarray, np.ndarray]:
    density = np.geomspace(mine.density.min(), mine.density.max(), 80)
    repeated = Points(**{name: np.repeat(getattr(mine, name)[:1], 80) for name in mine.__dataclass_fields__})
    return density, fitted.predict(repeated.replaced(density=density), extrapolate=True)
