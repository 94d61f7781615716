"""The measurement of PT1: the loss of the greedy path against k, beside every bound that speaks about it.

Real features: binarised digits through a two-layer network, before and after training, in both scalings. `many` images
make the target unreachable at once, so G1 speaks; with a `few` the neurons span the outputs and, once trained, the
target lies inside their hull: G2 and G3 speak. Instances by the hundred are in the tests; these are the real ones.
"""

from math import sqrt

import torch
from torch import Tensor

from pruneproof.claims.claim import Outcome, Scale, Verdict
from pruneproof.claims.data.digits import digits
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.greedy.hull import Geometry, geometry
from pruneproof.theory.theorems.greedy.statement import G1, G1_HARMONIC, G2, G3

from .descent import SCALINGS, features, network, trained
from .tasks import Task

WIDTH = 512
LARGEST = 1000
IMAGES = {"few": 2, "many": 200}
ITERATIONS = (0, 300)
SEEDS = {Scale.QUICK: 1, Scale.STANDARD: 5, Scale.FULL: 20}
SIZES = sorted({round(10 ** (i / 8)) for i in range(25)})
ROUNDING = 2.0**-44  # times the largest squared length: what float64 leaves uncertain in a loss from inner products

CRITERION = (
    "For every network and every k up to 1000, the measured loss is at most G1 (both forms) and, where the margin "
    "of the "
    "target is certified positive, G2 (equal weights) and G3 (line search). The allowance is 2^-44 times the largest "
    "squared length, the rounding of a loss computed in float64. One excess violates the theorem."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per scaling, number of images, length of training and seed."""
    return [
        {"scaling": scaling, "images": images, "iterations": iterations, "seed": seed}
        for scaling in SCALINGS
        for images in IMAGES
        for iterations in ITERATIONS
        for seed in range(seeds or SEEDS[scale])
    ]


@stable_id("pruneproof.claims.pretraining.selection_bounds:measure")
def measure(cell: Cell) -> list[Row]:
    """Loss, bounds and excess at every recorded k; `excess` is the largest over all k, recorded or not."""
    images, labels, _, _ = digits(IMAGES[cell["images"]], seed=cell["seed"], binary=True, dtype=torch.float64)
    generator = torch.Generator().manual_seed(cell["seed"])
    net = network(WIDTH, images.shape[1], cell["scaling"], generator)
    moment = trained(Task(images, labels, len(images)), net, cell["iterations"])
    return [paths(features(moment, net), labels / sqrt(len(labels)))]


def paths(neurons: Tensor, target: Tensor) -> Row:
    """Both paths and all bounds for neurons (N, P) and a target (P,); curves at the recorded sizes."""
    shape = geometry(neurons.numpy(), target.numpy())
    average = greedy_select((neurons, target), LARGEST).losses.tolist()
    line = greedy_select((neurons, target), LARGEST, rule="line_search").losses.tolist()
    bounds = _bounds(shape, line[0])
    slack = ROUNDING * float(neurons.square().sum(1).max() + target.square().sum())
    measured = {name: line if name == "G3" else average for name in bounds}
    return {
        "k": SIZES,
        "average": [average[k - 1] for k in SIZES],
        "line_search": [line[k - 1] for k in SIZES],
        "bounds": {name: [curve[k - 1] for k in SIZES] for name, curve in bounds.items()},
        "excess": {
            name: max(loss - bound for loss, bound in zip(measured[name], curve, strict=True)) - slack
            for name, curve in bounds.items()
        },
        "zero": float(target.square().sum()) / 2,
        "V": shape.V,
        "D_y": shape.D_y,
        "gamma_s": shape.gamma_s,
        "gamma_y": shape.gamma_y,
        "dense": shape.loss,
    }


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


def judge(rows: list[Row]) -> Outcome:
    """No bound may be exceeded; say which bound is the smallest, how loose it is, and when it says nothing."""
    worst = max(excess for row in rows for excess in row["excess"].values())
    table = [_line(row) for row in rows]
    inside = [row for row in rows if row["gamma_y"] is not None]
    return Outcome(
        Verdict.HOLDS if worst <= 0 else Verdict.VIOLATED,
        {
            "largest excess of a loss over a bound": worst,
            "networks": len(rows),
            "of these with a certified margin of the target (G2, G3 apply)": len(inside),
            "smallest bound / loss at k = 1000, median [least, most] over the networks": _range(table),
        },
        tuple(sorted({row["seed"] for row in rows})),
        f"digits 0-4 against 5-9, {IMAGES['few']} and {IMAGES['many']} images, two-layer tanh networks of {WIDTH} "
        "neurons, untrained and after 300 iterations, two scalings, k up to 1000",
        table,
    )


def _range(table: list[Row]) -> list[float] | str:
    ratios = sorted(line["looseness at k=1000"] for line in table if line["looseness at k=1000"] is not None)
    return [ratios[len(ratios) // 2], ratios[0], ratios[-1]] if ratios else "every loss is 0"


def _line(row: Row) -> Row:
    curves = {name: curve for name, curve in row["bounds"].items() if name != "G3"}
    active = min(curves, key=lambda name: curves[name][-1])
    useful = [k for i, k in enumerate(row["k"]) if min(curve[i] for curve in curves.values()) < row["zero"]]
    return {
        "scaling": row["scaling"],
        "images": IMAGES[row["images"]],
        "iterations": row["iterations"],
        "seed": row["seed"],
        "V": row["V"],
        "D_y": row["D_y"],
        "gamma_s": row["gamma_s"],
        "gamma_y": row["gamma_y"],
        "dense loss": row["dense"],
        "loss at k=1000": row["average"][-1],
        "active bound at k=1000": active,
        "looseness at k=1000": curves[active][-1] / row["average"][-1] if row["average"][-1] else None,
        "vacuous below k": useful[0] if useful else "all k up to 1000",
    }
