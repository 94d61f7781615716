"""Pictures of the pruning paths: error, size, posterior, calibration and learning distance against density."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row
from pruneproof.plotting import plain_decades

from .curves import Path, path_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # of the report's palette
SHADES = {"Light": "#56b4e9", "Critical": "#d55e00", "Sweet": "#009e73", "Collapsed": "#cc79a7"}


def descent_figures(rows: list[Row]) -> list[Figure]:
    """LN1: two error curves, with the phases of the noisy one shaded."""
    noisy = path_of(rows, noise=max(row["noise"] for row in rows))
    clean = path_of(rows, noise=0.0)

    def draw(figure: MatplotlibFigure) -> None:
        axes = figure.subplots()
        _phases(axes, noisy)
        _curve(axes, noisy, "test_error", ORANGE, "40 % of training labels flipped")
        _curve(axes, clean, "test_error", BLUE, "clean labels (control)")
        _dense(axes, noisy, "test_error", ORANGE)
        _finish(axes, "test error (clean labels)")
        axes.legend(frameon=False, loc="upper center")

    caption = (
        "Test error along the pruning path, mean and range over seeds. The dotted line is the dense error. Shaded: "
        "Light, Critical, Sweet, Collapsed, found on the validation labels."
    )
    return [Figure("Sparse double descent", caption, draw)]


def distance_figures(rows: list[Row]) -> list[Figure]:
    """LN6: error and learning distance, narrow and wide."""
    hidden = sorted((tuple(row["hidden"]) for row in rows), key=sum)
    shapes = sorted(set(hidden), key=sum)

    def draw(figure: MatplotlibFigure) -> None:
        figure.set_size_inches(8, 3.2)
        panels = figure.subplots(1, len(shapes), squeeze=False)[0]
        for axes, shape in zip(panels, shapes, strict=True):
            path = path_of(rows, hidden=list(shape))
            _curve(axes, path, "test_error", ORANGE, "test error")
            _finish(axes, "test error")
            axes.set_title("-".join(map(str, (64, *shape, 10))), fontsize=10)
            right = axes.twinx()
            _curve(right, path, "distance", GREEN, "learning distance")
            right.set_ylabel("learning distance", color=GREEN)
            axes.yaxis.label.set_color(ORANGE)
            right.spines[["top"]].set_visible(False)

    caption = (
        "Test error (left axes) and distance of the weights from their initial values (right axes) along the pruning "
        "path. In the judged network (left) both peak together."
    )
    return [Figure("Learning distance and error", caption, draw)]


def size_figures(rows: list[Row]) -> list[Figure]:
    """LN2: error against surviving weights for three starts."""
    widths = sorted({row["hidden"][0] for row in rows})

    def draw(figure: MatplotlibFigure) -> None:
        axes = figure.subplots()
        for width, colour in zip(widths, (BLUE, GREEN, ORANGE), strict=False):
            path = path_of(rows, hidden=[width])
            _curve(axes, path, "test_error", colour, f"from {path.sizes[0]:.0f} weights", against=path.sizes)
            _mark(axes, path, colour)
        _finish(axes, "test error (clean labels)", "surviving weights")
        axes.legend(frameon=False)

    caption = "Wherever pruning starts, the lowest error (ringed, chosen on validation labels) comes at a similar size."
    return [Figure("Effective size and starting size", caption, draw)]


def difficulty_figures(rows: list[Row]) -> list[Figure]:
    """LN3: error relative to dense for both mixtures."""

    def draw(figure: MatplotlibFigure) -> None:
        figure.set_size_inches(8, 3.2)
        panels = figure.subplots(1, 2)
        for axes, task, colour in zip(panels, ("linear", "xor"), (BLUE, ORANGE), strict=True):
            path = path_of(rows, task=task)
            _curve(axes, path, "test_error", colour, task, against=path.sizes)
            _mark(axes, path, colour)
            _dense(axes, path, "test_error", colour)
            _finish(axes, "test error (clean labels)", "surviving weights")
            axes.set_title({"linear": "linear mixture", "xor": "XOR mixture"}[task], fontsize=10)

    caption = (
        "The lowest error (ringed) of the harder task comes at more weights. The dotted lines are the dense errors."
    )
    return [Figure("Effective size and difficulty", caption, draw)]


def posterior_figures(rows: list[Row]) -> list[Figure]:
    """LN4: divergence from the true posterior for both mixtures."""

    def draw(figure: MatplotlibFigure) -> None:
        axes = figure.subplots()
        for task, colour, label in (("linear", BLUE, "linear mixture"), ("xor", ORANGE, "XOR mixture")):
            path = path_of(rows, task=task)
            _curve(axes, path, "divergence", colour, label)
            level = path.trough
            place = path.densities[level], path.column("divergence").mean(0)[level]
            axes.plot(*place, "o", markersize=10, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.5)
        axes.set_yscale("log")
        plain_decades(axes.yaxis)
        _finish(axes, "KL(p*‖p̂), nats")
        axes.legend(frameon=False)

    caption = (
        "Divergence of the predictions from the true posterior of the noisy label; ringed, the lowest validation error."
    )
    return [Figure("Distance from the true posterior", caption, draw)]


def calibration_figures(rows: list[Row]) -> list[Figure]:
    """LN5: calibration error on noisy and on clean labels."""
    path = path_of(rows)

    def draw(figure: MatplotlibFigure) -> None:
        axes = figure.subplots()
        _curve(axes, path, "ece_noisy", ORANGE, "noisy labels, as trained on")
        _curve(axes, path, "ece_clean", BLUE, "clean labels")
        axes.axvline(path.densities[path.trough], color=BLUE, linestyle=":", linewidth=1)
        _finish(axes, "expected calibration error")
        axes.legend(frameon=False)

    caption = (
        "Bias-corrected ECE along the path; the vertical line is the chosen level. A network calibrated to noisy "
        "labels is too modest on clean ones."
    )
    return [Figure("Calibration under label noise", caption, draw)]


def _curve(axes: Axes, path: Path, name: str, colour: str, label: str, against: object = None) -> None:
    values = path.column(name)
    place = path.densities if against is None else against
    axes.fill_between(place, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)  # pyright: ignore[reportArgumentType]
    axes.plot(place, values.mean(0), "-o", color=colour, markersize=3, linewidth=1.5, label=label)  # pyright: ignore[reportArgumentType]


def _mark(axes: Axes, path: Path, colour: str) -> None:
    place = path.sizes[path.trough], path.at("test_error", path.trough).mean()
    axes.plot(*place, "o", markersize=10, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.5)


def _dense(axes: Axes, path: Path, name: str, colour: str) -> None:
    axes.axhline(path.at(name, 0).mean(), color=colour, linestyle=":", linewidth=1)


def _phases(axes: Axes, path: Path) -> None:
    densities, phases = path.densities, path.descent.phases
    edges = [densities[0], *(densities[1:] * densities[:-1]) ** 0.5, densities[-1]]
    for (left, right), phase in zip(pairwise(edges), phases, strict=True):
        axes.axvspan(right, left, color=SHADES[phase], alpha=0.1, linewidth=0, zorder=0)


def _finish(axes: Axes, label: str, below: str = "density (kept share of the weights)") -> None:
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_xlabel(below)
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
