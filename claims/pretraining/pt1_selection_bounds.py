"""PT1: does greedy selection obey G1, G2 and G3 for every number of neurons, on features of real images?

Binarised digits through a two-layer network, before and after training, in both scalings. `many` images make the target
unreachable at once, so G1 applies; with a `few` the neurons span the outputs and, once trained, the target lies inside
their hull: G2 and G3 apply. Instances by the hundred are in the tests; these are the real ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale, Verdict
from pruneproof.claims.data.digits import digits
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.greedy.hull import Geometry, geometry
from pruneproof.theory.theorems.greedy.statement import G1, G1_HARMONIC, G2, G3

from .setting import SCALING_NAMES, SCALINGS, ControlledTask, features, network, trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    r"Greedy selection with replacement obeys, for every $k$: $\sqrt{\ell(u_k)} \le \sqrt{\ell(\bar s)} + "
    r"\sqrt{V/(2k)}$ and "
    r"$\ell(u_k) \le \ell(\bar s) + V H_k/(2k)$ (G1); $\ell(u_k) \le W^2/(2k^2)$ for a target inside the hull of "
    r"the neurons (G2); "
    r"and with line search $\|u_k - s\|^2 \le (1 - \gamma^2/D^2)^k \|u_0 - s\|^2$ (G3)."
)
SOURCE = (
    "derived: G1, G2, G3 in theory/theorems/greedy/proof.md; the selection rule is that of Ye et al., arXiv 2003.01794"
)
CRITERION = (
    "For every network and every k up to 1000, the measured loss is at most G1 (both forms) and, where the margin "
    "of the target is certified positive, G2 (equal weights) and G3 (line search). The allowance is 2^-44 times the "
    "largest squared length, the rounding of a loss computed in float64. One excess violates the theorem."
)
SAYS_NOT = "That the bounds are tight, or that they cover selection without replacement, as in the released code."
SYMBOLS = (
    r"$u_k$ is the average of $k$ neurons chosen greedily and $\bar s$ that of all, each a vector of outputs on the "
    r"data; $\ell(u) = \frac12\|u - y\|^2$ with the labels $y$; $V$ is the mean squared distance of the neurons from "
    r"$\bar s$ and $H_k = 1 + \frac12 + … + \frac1k$; $W = \max(D_y, D_y^2/(2\gamma))$ with $D_y$ the largest "
    r"distance of a neuron from $y$; $\gamma$ is a margin, the radius of a ball within the hull of the neurons around "
    "$y$ (G2) or $s$ (G3), and $D$ the diameter of the hull."
)

WIDTH = 512
LARGEST = 1000
IMAGES = {"few": 2, "many": 200}
ITERATIONS = (0, 300)
SEEDS = {Scale.QUICK: 1, Scale.STANDARD: 5, Scale.FULL: 20}
SIZES = sorted({round(10 ** (i / 8)) for i in range(25)})
ROUNDING = 2.0**-44  # times the largest squared length: what float64 leaves uncertain in a loss from inner products
BOUNDS = {"G1": ("C1", "--"), "G1 harmonic": ("C1", ":"), "G2": ("C2", "--"), "G3": ("C3", "--")}


@dataclass(frozen=True)
class Paths:
    """Both greedy paths of some neurons, with every bound; curves at the sizes `k`.

    Args:
        k: Sizes.
        average: Loss of equal weights.
        line_search: Loss with line search.
        bounds: Name → bound, for every bound that applies.
        excess: Name → largest excess of the loss over the bound at any size up to `LARGEST`, less the rounding.
        zero: Loss of the empty network.
        V: Mean squared distance of the neurons from their mean.
        D_y: Largest distance of a neuron from the target.
        gamma_s: Margin of the dense network inside the hull.
        gamma_y: Certified margin of the target, or None.
        dense: Loss of the dense network.
    """

    k: list[int]
    average: list[float]
    line_search: list[float]
    bounds: dict[str, list[float]]
    excess: dict[str, float]
    zero: float
    V: float
    D_y: float
    gamma_s: float
    gamma_y: float | None
    dense: float


@dataclass(frozen=True)
class PathsRow(Paths):
    """The same with the cell it belongs to: `data`, `scaling`, `images`, `iterations` and `seed`; see `grid`."""

    data: str
    scaling: str
    images: str
    iterations: int
    seed: int


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per scaling, number of images, length of training and seed."""
    return [
        {"data": digits_label(), "scaling": scaling, "images": images, "iterations": iterations, "seed": seed}
        for scaling in SCALINGS
        for images in IMAGES
        for iterations in ITERATIONS
        for seed in range(seeds or SEEDS[scale])
    ]


@stable_id("pruneproof.claims.pretraining.selection_bounds:measure", revision=1)
def measure(cell: Cell) -> list[PathsRow]:
    """Loss, bounds and excess of both paths of one network."""
    images, labels, _, _ = digits(IMAGES[cell["images"]], seed=cell["seed"], binary=True, dtype=torch.float64)
    generator = torch.Generator().manual_seed(cell["seed"])
    net = network(WIDTH, images.shape[1], cell["scaling"], generator)
    snapshot = trained(ControlledTask(images, labels, len(images)), net, cell["iterations"])
    return [PathsRow(**asdict(paths(features(snapshot, net), labels / sqrt(len(labels)))), **cell)]


def paths(neurons: Tensor, target: Tensor) -> Paths:
    """Both greedy paths with all bounds.

    Args:
        neurons: (N, P).
        target: (P,).
    """
    shape = geometry(neurons.numpy(), target.numpy())
    average = greedy_select((neurons, target), LARGEST).losses.tolist()
    line = greedy_select((neurons, target), LARGEST, rule="line_search").losses.tolist()
    bounds = _bounds(shape, line[0])
    slack = ROUNDING * float(neurons.square().sum(1).max() + target.square().sum())
    measured = {name: line if name == "G3" else average for name in bounds}
    return Paths(
        k=SIZES,
        average=[average[k - 1] for k in SIZES],
        line_search=[line[k - 1] for k in SIZES],
        bounds={name: [curve[k - 1] for k in SIZES] for name, curve in bounds.items()},
        excess={
            name: max(loss - bound for loss, bound in zip(measured[name], curve, strict=True)) - slack
            for name, curve in bounds.items()
        },
        zero=float(target.square().sum()) / 2,
        V=shape.V,
        D_y=shape.D_y,
        gamma_s=shape.gamma_s,
        gamma_y=shape.gamma_y,
        dense=shape.loss,
    )


def _bounds(shape: Geometry, first: float) -> dict[str, list[float]]:
    """Every bound that applies, at k = 1 … LARGEST; the line search starts at its first choice, of loss `first`."""
    sizes = range(1, LARGEST + 1)
    bounds = {
        "G1": [G1.bound(loss=shape.loss, V=shape.V, k=k) for k in sizes],
        "G1 harmonic": [G1_HARMONIC.bound(loss=shape.loss, V=shape.V, k=k) for k in sizes],
    }
    if shape.gamma_y is None:
        return bounds
    bounds["G2"] = [G2.bound(D_y=shape.D_y, gamma=shape.gamma_y, k=k) for k in sizes]
    contracted = [G3.bound(start=2 * first, gamma=shape.gamma_y, D=shape.D, k=k) / 2 for k in sizes[:-1]]
    return bounds | {"G3": [first, *contracted]}


def judge(rows: Sequence[Row]) -> Outcome:
    """No bound may be exceeded; say which bound is the smallest, how loose it is, and when it says nothing."""
    tried = read_rows(PathsRow, rows)
    worst = max(excess for row in tried for excess in row.excess.values())
    table = [_line(row) for row in tried]
    inside = [row for row in tried if row.gamma_y is not None]
    return Outcome(
        Verdict.HOLDS if worst <= 0 else Verdict.VIOLATED,
        {
            "largest excess of a loss over a bound": worst,
            "networks": len(tried),
            "of these with a certified margin of the target (G2, G3 apply)": len(inside),
            "smallest bound / loss at k = 1000, median [least, most] over the networks": _range(table),
        },
        tuple(sorted({row.seed for row in tried})),
        f"digits 0-4 against 5-9, {IMAGES['few']} and {IMAGES['many']} images, two-layer tanh networks of {WIDTH} "
        "neurons, untrained and after 300 iterations, two scalings, k up to 1000",
        table,
    )


def _range(table: list[Row]) -> list[float] | str:
    ratios = sorted(line["looseness at k=1000"] for line in table if line["looseness at k=1000"] is not None)
    return [ratios[len(ratios) // 2], ratios[0], ratios[-1]] if ratios else "every loss is 0"


def _line(row: PathsRow) -> Row:
    curves = {name: curve for name, curve in row.bounds.items() if name != "G3"}
    active = min(curves, key=lambda name: curves[name][-1])
    useful = [k for i, k in enumerate(row.k) if min(curve[i] for curve in curves.values()) < row.zero]
    return {
        "scaling": row.scaling,
        "images": IMAGES[row.images],
        "iterations": row.iterations,
        "seed": row.seed,
        "V": row.V,
        "D_y": row.D_y,
        "gamma_s": row.gamma_s,
        "gamma_y": row.gamma_y,
        "dense loss": row.dense,
        "loss at k=1000": row.average[-1],
        "active bound at k=1000": active,
        "looseness at k=1000": curves[active][-1] / row.average[-1] if row.average[-1] else None,
        "vacuous below k": useful[0] if useful else "all k up to 1000",
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Loss against k with every bound, one panel per network of the first seed."""
    tried = read_rows(PathsRow, rows)
    first = [row for row in tried if row.seed == min(row.seed for row in tried) and row.iterations]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 5.6)
        panels: Any = canvas.subplots(len(first) // len(IMAGES), len(IMAGES), sharex=True, squeeze=False)
        for axes, row in zip(panels.flat, first, strict=True):
            _draw_losses(axes, row)
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
        "dashed. Above the grey line a bound is vacuous: no neuron at all does as well. With 2 images the target lies "
        "inside the hull and G2, G3 apply; with 200 only G1 does. Losses at the rounding error of float64 are cut off."
    )
    return [Figure("Loss against k with every bound", caption, draw)]


def _draw_losses(axes: "Axes", row: PathsRow) -> None:
    k, floor = row.k, row.zero * 1e-15
    axes.loglog(k, np.maximum(row.average, floor), color="C0", label="equal weights")
    axes.loglog(k, np.maximum(row.line_search, floor), color="C3", label="line search")
    for name, curve in row.bounds.items():
        color, style = BOUNDS[name]
        axes.loglog(k, np.maximum(curve, floor), style, color=color, label=f"bound {name}")
    axes.axhline(row.zero, color="grey", linewidth=0.8, label="empty network")
    axes.set_ylim(bottom=max(floor, min(*row.average, 1) / 10))
    axes.set_title(f"{IMAGES[row.images]} images, scaling {SCALING_NAMES[row.scaling]}", fontsize="small")


PT1 = Claim(
    "PT1",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
