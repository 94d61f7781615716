"""What the pictures of the pruning paths share: curves with ranges, marks, axes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .measure import Floats, PruningPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = {"Light": "#56b4e9", "Critical": "#d55e00", "Sweet": "#009e73", "Collapsed": "#cc79a7"}


def draw_curve(
    axes: Axes, path: PruningPath, name: str, colour: str, label: str, *, against: Floats | None = None
) -> None:
    """Draw the mean of a quantity along the path, with its range over seeds.

    Args:
        axes: To draw on.
        path: Whose quantity.
        name: The quantity, a field of `LevelRow`.
        colour: Of line and range.
        label: For the legend.
        against: Abscissae (levels,); by default the densities.
    """
    values, abscissae = path.column(name), path.densities if against is None else against
    lowest, highest = (np.asarray(edge) for edge in (values.min(0), values.max(0)))
    axes.fill_between(abscissae, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    axes.plot(abscissae, values.mean(0), "-o", color=colour, markersize=3, linewidth=1.5, label=label)


def ring(axes: Axes, x: float, y: float, colour: str) -> None:
    """Ring a point of a curve."""
    axes.plot(x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.5)


def ring_trough(axes: Axes, path: PruningPath, colour: str) -> None:
    """Ring the lowest error on an error curve against surviving weights."""
    ring(axes, path.sizes[path.trough], float(path.at("test_error", path.trough).mean()), colour)


def draw_dense(axes: Axes, path: PruningPath, name: str, colour: str) -> None:
    """Draw the dense network's level as a dotted line."""
    axes.axhline(float(path.at(name, 0).mean()), color=colour, linestyle=":", linewidth=1)


def shade_phases(axes: Axes, path: PruningPath) -> None:
    """Shade the four phases of sparse double descent."""
    densities, phases = path.densities, path.descent.phases
    edges = [densities[0], *(densities[1:] * densities[:-1]) ** 0.5, densities[-1]]
    for (left, right), phase in zip(pairwise(edges), phases, strict=True):
        axes.axvspan(right, left, color=SHADES[phase], alpha=0.1, linewidth=0, zorder=0)


def label_axes(axes: Axes, label: str, below: str = "density (kept share of the weights)") -> None:
    """Label the axes, with density or size falling to the right on a logarithmic scale."""
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_xlabel(below)
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
