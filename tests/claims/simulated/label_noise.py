"""Simulated rows of LN1–LN6: pruning paths whose peak, trough and scores make a statement true by an effect."""

from dataclasses import fields
from functools import cache

import numpy as np

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.label_noise import CLAIMS
from pruneproof.claims.label_noise.measure import LevelRow
from tests.claims.simulated.simulation import NOISE, Floats, around

BY_ID = {claim.id: claim for claim in CLAIMS}


@cache
def cells(id: str) -> list[Cell]:
    return BY_ID[id].grid(Scale.STANDARD, None)


def path(cell: Row, sizes: Floats, curves: dict[str, Floats]) -> list[Row]:
    """The rows of a pruning path: one curve (levels,) or (seeds, levels) per column, 0.1 where none is given."""
    columns = {field.name: 0.1 for field in fields(LevelRow)} | {"reliability": None, "posterior_map": None}
    shape = len(cell["seeds"]), len(sizes)
    full = {name: np.broadcast_to(curve, shape) for name, curve in curves.items()}
    return [
        columns
        | cell
        | {"seed": seed, "level": level, "density": float(size / sizes[0]), "kept": float(size)}
        | {name: float(curve[place, level]) for name, curve in full.items()}
        for place, seed in enumerate(cell["seeds"])
        for level, size in enumerate(sizes)
    ]


def rounded(values: Floats, generator: np.random.Generator) -> Floats:
    """Whole numbers with the given means, spread by one."""
    return np.floor(values + generator.random(values.shape)) + generator.integers(-1, 2, values.shape)


def troughs(levels: Floats, sizes: Floats) -> dict[str, Floats]:
    """Validation errors (seeds, levels) that are lowest at the given levels (seeds,)."""
    return {"validation_error": 0.2 + 0.01 * abs(np.arange(len(sizes)) - levels[:, None])}


DESCENT = np.array([0.30, 0.31, 0.36, 0.33, 0.20, 0.14, 0.16, 0.40, 0.70])  # peak at level 2, trough at level 5
HALVED = 10_000 * 0.5 ** np.arange(len(DESCENT))
FINE = 0.8 ** np.arange(40)


def descends(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN1: the peak is above the dense error by 2 points and the effect; without noise there is none."""
    rows: list[Row] = []
    for cell in cells("LN1"):
        rise = (0.02 + effect / 100) * (cell["noise"] > 0)
        error = np.array([0.30, 0.30, 0.30 + rise, 0.30, 0.20, 0.14, 0.16, 0.40, 0.70])
        noise = 0.015 * generator.normal(0, NOISE, (len(cell["seeds"]), len(error)))
        rows += path(cell, HALVED, {"validation_error": DESCENT, "test_error": error + noise})
    return rows


def converges(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN2: the effective size is the start to the power 0.3, less the effect."""
    rows: list[Row] = []
    for cell in cells("LN2"):
        start = 22 * cell["hidden"][0]
        target = 50 * (start / 220) ** (0.3 - effect)
        level = rounded(np.full(len(cell["seeds"]), np.log(start / target) / np.log(1.25)), generator)
        rows += path(cell, start * FINE, troughs(level, FINE))
    return rows


def harder(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN3: XOR needs weights of as many levels more as the effect says, 25 % each."""
    rows: list[Row] = []
    for cell in cells("LN3"):
        level = rounded(np.full(len(cell["seeds"]), 10 - effect * (cell["task"] == "xor")), generator)
        rows += path(cell, 10_000 * FINE, troughs(level, FINE))
    return rows


def closer(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN4: pruning halves both scores, but for XOR it changes the divergence by the effect only."""
    rows: list[Row] = []
    for cell in cells("LN4"):
        curves = {"validation_error": DESCENT}
        for score in ("divergence", "posterior_distance"):
            level = 1 - effect if (score, cell["task"]) == ("divergence", "xor") else 0.5
            noise = generator.normal(1, 0.06 * NOISE, (len(cell["seeds"]), len(DESCENT)))
            curves[score] = np.where(np.arange(len(DESCENT)) == 5, level, 1.0) * noise
        rows += path(cell, HALVED, curves)
    return rows


def modest(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN5: pruning halves the calibration error and lowers overconfidence by the effect, in points."""
    rows: list[Row] = []
    for cell in cells("LN5"):
        pruned = np.arange(len(DESCENT)) == 5
        noise = 0.03 * generator.normal(0, NOISE, (len(cell["seeds"]), len(DESCENT)))
        curves = {"validation_error": DESCENT, "ece_noisy": np.where(pruned, 0.1, 0.2) * (1 + noise)}
        rows += path(cell, HALVED, curves | {"overconfidence_noisy": 0.2 - effect / 100 * pruned + noise})
    return rows


def together(effect: float, generator: np.random.Generator) -> list[Row]:
    """LN6: the distance peaks two levels after the error, less the effect."""
    rows: list[Row] = []
    for cell in cells("LN6"):
        place = 2 + rounded(np.full(len(cell["seeds"]), 2 - effect), generator)
        distance = -abs(np.arange(len(DESCENT)) - place[:, None])
        rows += path(cell, HALVED, {"validation_error": DESCENT, "test_error": DESCENT, "distance": distance})
    return rows


SIMULATED = {
    "LN1": around(descends, 2.0, "points of the peak, twice the margin"),
    "LN2": around(converges, 0.2, "of the slope"),
    "LN3": around(harder, 3.0, "levels of 25 % of the weights"),
    "LN4": around(closer, 0.3, "of the ratio"),
    "LN5": around(modest, 5.0, "points of overconfidence"),
    "LN6": around(together, 2.0, "levels, the margin: both peaks at one level, or four apart"),
}
