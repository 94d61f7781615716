"""Which cells each claim asks for at each scale; cells with equal parameters are computed once for all claims.

The verdicts are reached at 5 % density. `quick` asks for three seeds there, `standard` for ten, and for three seeds at
other densities (the curves of the figures); `full` for thirty at all densities, and for ResNet-20 and VGG-16 on
CIFAR-10 with three seeds if the data root has it and a GPU is present.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row, stable_id

from .measure import ABLATIONS, pruned_early, pruned_late
from .perceptrons import pruned_perceptrons
from .settings import SETTINGS, large_networks
from .variants import ABLATED, CONTROLS, METHODS

DENSITY = 0.05  # where the verdicts are reached
CURVE = (0.2, 0.1, 0.02)  # the other densities of the figures
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 10, Scale.FULL: 30}
FEW = 3  # seeds of the curves and of the large networks
LATER = {Scale.QUICK: (100,), Scale.STANDARD: (50, 100), Scale.FULL: (10, 25, 50, 75, 100, 150)}  # of 200 steps
LATER_METHODS = ("magnitude", "snip", "synflow")

_KINDS = {"early": pruned_early, "late": pruned_late, "perceptrons": pruned_perceptrons}


@stable_id("pruneproof.claims.initialization.grid:pruned")
def pruned(cell: Mapping[str, Any]) -> list[Row]:
    """Measure one cell of any of the claims: `cell["kind"]` is "early", "late" or "perceptrons"."""
    return _KINDS[cell["kind"]](cell)


def ablation_cells(scale: Scale, seeds: int | None, ablations: Sequence[str] = ABLATIONS) -> list[Cell]:
    """The methods under "none" and some ablations, and the unpruned power control: AI3, AI4, AI5."""
    methods = {*ABLATED, "grasp"} if scale != Scale.QUICK else set(ABLATED)
    pairs = list(product(sorted(methods), ("none", *ablations)))
    return [*_early(scale, seeds, pairs), *_early(scale, seeds, [("random", "none")])]


def method_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every method and every random control, as published: AI1."""
    return _early(scale, seeds, [(method, "none") for method in (*METHODS, *CONTROLS)])


def after_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every method, and magnitude after training: AI2."""
    return [*method_cells(scale, seeds), *late_cells(scale, seeds)]


def late_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Magnitude after training and lottery tickets: AI6."""
    return [
        {"kind": "late", "network": network, "density": density, "seed": seed}
        for network, density, seed in _points(scale, seeds, curves=False)
    ]


def later_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Pruning after some steps of training, going on or starting the recipe again: AI8."""
    early = _early(scale, seeds, [(method, "none") for method in LATER_METHODS], curves=False)
    digits = [cell for cell in early if cell["network"] == "cnn" and cell["density"] == DENSITY]
    later = [{**cell, "at": at} for at in LATER[scale] for cell in digits]
    return [*digits, *later, *({**cell, "restart": True} for cell in later)]


def perceptron_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """The perceptrons, all variants of a seed in one cell: AI7."""
    count = SEEDS[Scale.STANDARD if scale == Scale.QUICK else scale] if seeds is None else seeds
    densities = (DENSITY,) if scale == Scale.QUICK else (*CURVE, DENSITY)
    return [{"kind": "perceptrons", "density": density, "seed": seed} for density in densities for seed in range(count)]


def _early(scale: Scale, seeds: int | None, pairs: Sequence[tuple[str, str]], *, curves: bool = True) -> list[Cell]:
    return [
        {"kind": "early", "network": network, "method": method, "ablation": ablation, "density": density,
         "seed": seed, "at": 0}
        for network, density, seed in _points(scale, seeds, curves=curves)
        for method, ablation in pairs
    ]  # fmt: skip


def _points(scale: Scale, seeds: int | None, *, curves: bool) -> list[tuple[str, float, int]]:
    """(network, density, seed), the digits at 5 % first."""
    count = SEEDS[scale] if seeds is None else seeds
    points = [("cnn", DENSITY, seed) for seed in range(count)]
    if curves and scale != Scale.QUICK:
        few = count if scale == Scale.FULL else min(FEW, count)
        points += [("cnn", density, seed) for density, seed in product(CURVE, range(few))]
    if scale == Scale.FULL:
        large = product(large_networks(), (*CURVE, DENSITY), range(min(FEW, count)))
        points += [point for point in large if point[0] in SETTINGS]
    return points
