"""Simulated rows of SP4, SP5 and SP7–SP10, which are no theorems: errors and accuracies that differ by an effect."""

from functools import cache, partial

import numpy as np

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.sensitivity import CLAIMS
from pruneproof.claims.sensitivity.measure import METHODS
from tests.claims.simulated.simulation import NOISE, around

BY_ID = {claim.id: claim for claim in CLAIMS}


@cache
def cells(id: str) -> list[Cell]:
    return BY_ID[id].grid(Scale.STANDARD, None)


def mixture(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP4: the error of `best` is above the others' by the margin of 1 % of the outputs less the effect, in percent."""
    return [
        cell
        | {"variant": variant, "merit": 1.0, "epsilon": 0.5, "vacuous": 0.0, "size": 100.0, "lost": 0.0}
        | {"error": 5 + (1 - effect) * (variant == "best") + generator.normal(0, 0.5 * NOISE)}
        for cell in cells("SP4")
        for variant in ("rand", "det", "hybrid", "poisson", "best")
    ]


def informed(id: str, effect: float, generator: np.random.Generator) -> list[Row]:
    """SP5, SP9, SP10: the output error of sensitivities is below the others', one, by the effect; its noise is 0.1."""
    return [
        cell
        | {"method": method, "accuracy": 0.9, "certified": 0.5}
        | {"error": 1 - effect * (method == "sipp best") + generator.normal(0, 0.1 * NOISE)}
        for cell in cells(id)
        for method in METHODS
    ]


def isolated(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP7: sensitivity masks are better than random ones by the effect."""
    return [
        cell
        | {"accuracy": 90 + effect * cell["method"].startswith("sipp") + generator.normal(0, NOISE)}
        | {"kept": [9], "cut": []}
        for cell in cells("SP7")
    ]


def retrained(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP8: half a point less the effect is lost."""
    return [
        cell
        | {"dense": 97 + generator.normal(0, NOISE), "accuracy": 96.5 + effect + generator.normal(0, NOISE)}
        | {"kept": 9, "macs": 10.0, "bytes": 13.0}
        for cell in cells("SP8")
    ]


SIMULATED = {
    "SP4": around(mixture, 2.5, "% of the outputs, over twice the margin"),
    "SP5": around(partial(informed, "SP5"), 0.5, "of the error"),
    "SP7": around(isolated, 3.0, "points of accuracy"),
    "SP8": around(retrained, 3.0, "points of accuracy"),
    "SP9": around(partial(informed, "SP9"), 0.5, "of the error"),
    "SP10": around(partial(informed, "SP10"), 0.5, "of the error"),
}
