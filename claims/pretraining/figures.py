"""The pictures of PT1, PT2, PT5 and PT6; that of PT3 and PT4 is in `threshold_figures`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row

from .digits_curves import KEPT, MNIST
from .digits_curves_verdict import TARGETS
from .direct_training import CONTROL, SIZES, slope
from .selection_bounds import IMAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

BOUNDS = {"G1": ("C1", "--"), "G1 harmonic": ("C1", ":"), "G2": ("C2", "--"), "G3": ("C3", "--")}
SCALING_NAME = {"ntk": "1/√N", "mean": "1/N"}


def selection_losses(rows: list[Row]) -> list[Figure]:
    """PT1: loss against k with every bound, one panel per network of the first seed."""
    first = [row for row in rows if row["seed"] == min(row["seed"] for row in rows) and row["iterations"]]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 5.6)
        panels: Any = canvas.subplots(len(first) // len(IMAGES), len(IMAGES), sharex=True, squeeze=False)
        for axes, row in zip(panels.flat, first, strict=True):
            _loss_panel(axes, row)
        for axes in panels[-1]:
            axes.set_xlabel("k, neurons selected")
        for axes in panels[:, 0]:
            axes.set_ylabel("loss ½‖u − y‖²")
        handles = {
            label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        canvas.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")

    caption = (
        "Loss of the greedy path on digits features after 300 iterations, solid, and every bound that applies, "
        "dashed. Above "
        "the grey line a bound is vacuous: no neuron at all does as well. With 2 images the target lies inside the "
        "hull "
        "and G2, G3 apply; with 200 only G1 does. Losses at the rounding error of float64 are cut off."
    )
    return [Figure("Loss against k with every bound", caption, draw)]


def _loss_panel(axes: "Axes", row: Row) -> None:
    k, floor = row["k"], row["zero"] * 1e-15
    axes.loglog(k, np.maximum(row["average"], floor), color="C0", label="equal weights")
    axes.loglog(k, np.maximum(row["line_search"], floor), color="C3", label="line search")
    for name, curve in row["bounds"].items():
        color, style = BOUNDS[name]
        axes.loglog(k, np.maximum(curve, floor), style, color=color, label=f"bound {name}")
    axes.axhline(row["zero"], color="grey", linewidth=0.8, label="empty network")
    axes.set_ylim(bottom=max(floor, min(*row["average"], 1) / 10))
    axes.set_title(f"{IMAGES[row['images']]} images, scaling {SCALING_NAME[row['scaling']]}", fontsize="small")


def descent_rates(rows: list[Row]) -> list[Figure]:
    """PT2: the residual against iterations, measured and bounded, one panel per shape of the first seed."""
    first = [row for row in rows if row["seed"] == min(row["seed"] for row in rows)]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8.4, 3.2)
        panels: Any = canvas.subplots(1, len(first), sharex=True, sharey=True, squeeze=False)
        for axes, row in zip(panels.flat, first, strict=True):
            axes.semilogy(row["t"], np.array(row["residual"]) / row["residual"][0], color="C0", label="measured")
            style = "--" if row["applies"] else ":"
            axes.semilogy(row["t"], np.array(row["bound"]) / row["bound"][0], style, color="C1", label="P1's factor")
            note = "P1 applies" if row["applies"] else "too narrow for P1"
            axes.set_title(f"m={row['m']}, d={row['d']}, N={row['width']}\n{note}", fontsize="small")
            axes.set_xlabel("iterations")
        panels[0, 0].set_ylabel("residual ‖r_t‖ / ‖r_0‖")
        panels[0, 0].set_ylim(bottom=1e-7)
        panels[0, 0].legend(fontsize="small")

    caption = (
        "Residual of the dense network against P1's guarantee; dotted where the network is too narrow and P1 is silent."
    )
    return [Figure("Descent of the dense network", caption, draw)]


def digits_errors(rows: list[Row]) -> list[Figure]:
    """PT5: training error of pruned and dense network against iterations, one curve per dataset size."""
    return [
        _errors(name, [row for row in rows if row["kind"].startswith(MNIST) is is_mnist])
        for name, is_mnist in (("digits", False), ("MNIST", True))
        if any(row["kind"].startswith(MNIST) is is_mnist for row in rows)
    ]


def _errors(name: str, rows: list[Row]) -> Figure:
    sizes = sorted({row["m"] for row in rows})
    kinds = sorted({row["kind"] for row in rows})

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 5.6)
        panels: Any = canvas.subplots(len(kinds), 2, sharex=True, sharey="row", squeeze=False)
        for line, kind in enumerate(kinds):
            for axes, subject in zip(panels[line], ("pruned", "dense"), strict=True):
                _error_panel(axes, [row for row in rows if row["kind"] == kind], sizes, subject)
                axes.set_title(
                    f"{kind}, {subject}" + (f" to k = {KEPT}" if subject == "pruned" else ""), fontsize="small"
                )
            panels[line, 0].set_ylabel("training error")
        for axes in panels[-1]:
            axes.set_xlabel("pre-training iterations (symlog)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=len(sizes) + 1, fontsize="small")

    caption = (
        "Training error of the pruned (left) and of the dense network (right) after so many iterations of "
        "pre-training, one curve per dataset size m, mean over seeds. The dashed line is the target of the criterion."
    )
    return Figure(f"Training error against pre-training iterations, {name}", caption, draw)


def _error_panel(axes: "Axes", rows: list[Row], sizes: list[int], subject: str) -> None:
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
    for m, color in zip(sizes, shades, strict=True):
        curves = [row[f"{subject} error"] for row in rows if row["m"] == m]
        times = next(row["t"] for row in rows if row["m"] == m)
        axes.plot(times, np.mean(curves, axis=0), color=color, label=f"m = {m}")
    axes.axhline(TARGETS[rows[0]["kind"].removeprefix(MNIST)], color="grey", linestyle="--", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(0, 0.6 if rows[0]["kind"].endswith("binarised") else 1)


def direct_losses(rows: list[Row]) -> list[Figure]:
    """PT6: loss against the number of neurons, selected and trained directly."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for subject, color, name in (
            ("selected", "C0", "selected from the wide network"),
            ("direct", "C1", "trained directly"),
            (CONTROL, "C7", CONTROL),
        ):
            some = [row for row in rows if row["subject"] == subject]
            fitted = slope(some)
            axes.scatter([row["n"] for row in some], [row["loss"] for row in some], s=14, color=color)
            means = [np.exp(np.mean([np.log(row["loss"]) for row in some if row["n"] == n])) for n in SIZES]
            axes.plot(
                SIZES, means, color=color, label=f"{name}: slope {fitted[0]:.2f} [{fitted[1]:.2f}, {fitted[2]:.2f}]"
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(SIZES, [str(n) for n in SIZES])
        axes.minorticks_off()
        axes.set_xlabel("n, neurons")
        axes.set_ylabel("training loss ½·mean square")
        axes.legend(fontsize="small")

    caption = "Points: seeds; lines: geometric means; slopes of log loss in log n with 95 % intervals."
    return [Figure("Selecting against training directly", caption, draw)]
