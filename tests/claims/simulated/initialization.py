"""Simulated rows of AI1–AI8: accuracies with a noise of one point around means that differ by an effect."""

from collections.abc import Callable
from functools import cache

import numpy as np

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.initialization import CLAIMS
from pruneproof.claims.initialization.comparison import MARGIN
from pruneproof.claims.initialization.measure import METHODS, VARIANTS
from tests.claims.simulated.simulation import NOISE, around

BY_ID = {claim.id: claim for claim in CLAIMS}
UNUSED: Row = {"kept": 9, "layers": {}, "live": {"0": 15}, "cut": []}


@cache
def cells(id: str) -> list[Cell]:
    return BY_ID[id].grid(Scale.STANDARD, None)


def row(cell: Cell, mean: float, generator: np.random.Generator, **more: str) -> Row:
    return cell | UNUSED | more | {"accuracy": (mean + generator.normal(0, NOISE)) / 100}


def better(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI1: every method is better than random pruning by the effect."""
    return [row(cell, 80 + effect * (cell["method"] in METHODS), generator) for cell in cells("AI1")]


def below(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI2: pruning after training is better than every method by the effect."""
    early = [row(cell, 90, generator) for cell in cells("AI2") if cell["kind"] == "early"]
    late = [cell for cell in cells("AI2") if cell["kind"] == "late"]
    return early + [
        row(cell, 90 + effect, generator, variant=variant) for cell in late for variant in ("dense", "after", "ticket")
    ]


def preserved(id: str, ablation: str) -> Callable[[float, np.random.Generator], list[Row]]:
    """AI3, AI4: the ablation costs the margin less the effect; random pruning is 30 points worse."""

    def draw(effect: float, generator: np.random.Generator) -> list[Row]:
        change = {ablation: effect - MARGIN, "none": 0.0}
        return [
            row(cell, 90 + change[cell["ablation"]] - 30 * (cell["method"] == "random"), generator)
            for cell in cells(id)
        ]

    return draw


def inverted(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI5: inverted scores are worse than random pruning by the effect."""
    return [row(cell, 70 - effect * (cell["ablation"] == "invert"), generator) for cell in cells("AI5")]


def late(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI6: ablated tickets are worse by the effect."""
    return [
        row(cell, 95 - effect * (variant != "ticket"), generator, variant=variant)
        for cell in cells("AI6")
        for variant in ("ticket", "ticket shuffle", "ticket reinitialize")
    ]


def stops(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI7: on perceptrons shuffling costs the margin and the effect."""
    return [
        row(cell, 90 - (MARGIN + effect) * (variant == "shuffle"), generator, method=method, variant=variant)
        for cell in cells("AI7")
        for method in (*METHODS, "random ERK")
        for variant in VARIANTS
    ]


def later(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI8: pruning later is better by the effect."""
    return [row(cell, 90 + effect * (cell["at"] > 0), generator) for cell in cells("AI8")]


SIMULATED = {
    "AI1": around(better, 5.0, "points of accuracy"),
    "AI2": around(below, 5.0, "points of accuracy"),
    "AI3": around(preserved("AI3", "shuffle"), 5.0, "points, twice the margin"),
    "AI4": around(preserved("AI4", "reinitialize"), 5.0, "points, twice the margin"),
    "AI5": around(inverted, 5.0, "points of accuracy"),
    "AI6": around(late, 3.0, "points of accuracy"),
    "AI7": around(stops, 5.0, "points, twice the margin"),
    "AI8": around(later, 3.0, "points of accuracy"),
}
