"""Simulated rows of SL2–SL8: errors of every network and seed around curves that make a statement true or false.

The networks are those of `quick`, the seeds those of `standard`: a fit of `standard` takes seconds.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.scaling import CLAIMS
from pruneproof.claims.scaling.setting import LARGEST_FITTED, SEEDS
from pruneproof.claims.scaling.sl2_fit import SINGLE
from pruneproof.claims.scaling.sl3_extrapolation import EXTRAPOLATION
from pruneproof.theory.scaling.models import CLIPPED, LAW, LOG_HILL, Model
from pruneproof.theory.scaling.points import Floats, points_from_rows
from tests.claims.simulated.simulation import Simulation

BY_ID = {claim.id: claim for claim in CLAIMS}
TRUTH = {"p": 0.3, "gamma": 1.4, "upper_error": 0.8, "phi": 0.6, "psi": 1.1}


def curve(cell: Row, model: Model = LAW, **changes: float) -> Floats:
    """The errors (levels,) that a model gives a network, the dense one first."""
    densities = [(1 - cell["share"]) ** level for level in range(cell["levels"] + 1)]
    dense = 0.25 * cell["width"] ** -0.4 * (2000 / cell["examples"]) ** 0.3
    base = {"network": "a", "width": cell["width"], "depth": cell["depth"], "dense_error": dense, "error": 0.5}
    points = points_from_rows([base | {"density": density} for density in densities])
    errors = np.exp(model.log_error(TRUTH | changes, points))
    return np.array([dense, *errors[1:]])


def rows_of(cell: Row, errors: Floats) -> list[Row]:
    """Rows of a network from its errors (seeds, levels)."""
    total = 16 * cell["width"] + cell["width"] ** 2 * (cell["depth"] - 1) + 10 * cell["width"]
    densities = [(1 - cell["share"]) ** level for level in range(cell["levels"] + 1)]
    return [
        cell | {"seed": seed, "density": density, "kept": round(density * total), "error": float(error)}
        for seed, own in zip(cell["seeds"], errors, strict=True)
        for density, error in zip(densities, own, strict=True)
    ]


def noisy(cell: Row, errors: Floats, generator: np.random.Generator, noise: float = 0.02) -> list[Row]:
    """Rows of a network around its errors (levels,), with a relative noise of its own for every seed and density."""
    return rows_of(cell, errors * (1 + noise * generator.standard_normal((len(cell["seeds"]), len(errors)))))


@cache
def cells(id: str) -> list[Cell]:
    return BY_ID[id].grid(Scale.QUICK, SEEDS[Scale.STANDARD])


def spread(factor: float, generator: np.random.Generator) -> list[Row]:
    """SL2: the deviations of single networks from the law, averaged over seeds, are the bar of σ times a factor.

    The dense error is exact: the law reads it, so that its noise would be a deviation at every other density too.
    """
    rows: list[Row] = []
    for cell in cells("SL2"):
        errors, seeds = curve(cell), len(cell["seeds"])
        freedom = (len(errors) - 4) / len(errors)  # what a fit of three constants leaves, and the dense error
        noise = generator.standard_normal((seeds, len(errors))) * (np.arange(len(errors)) > 0)
        rows += rows_of(cell, errors * (1 + factor * SINGLE * (seeds / freedom) ** 0.5 * noise))
    return rows


def extrapolated(deviation: float, generator: np.random.Generator) -> list[Row]:
    """SL3: wider networks have larger errors than the law, by a deviation that differs from seed to seed."""
    seeds = len(cells("SL3")[0]["seeds"])
    own = 1 / (1 - generator.normal(deviation, 0.01, seeds)) - 1
    rows: list[Row] = []
    for cell in cells("SL3"):
        errors = np.tile(curve(cell, p=0.05), (seeds, 1))
        errors[:, 1:] *= 1 + own[:, None] * (cell["width"] > LARGEST_FITTED)
        rows += rows_of(cell, errors)
    return rows


def sizes(true: bool, generator: np.random.Generator) -> list[Row]:
    """SL4, SL6: all networks follow one law, or one is far better than the others' law says."""
    return [
        row
        for cell in cells("SL4")
        for row in noisy(cell, curve(cell, p=0.05 if cell["width"] == 32 and not true else 0.3), generator, 0.005)
    ]


def simple(true: bool, generator: np.random.Generator) -> list[Row]:
    """SL5: the errors follow the law, or a clipped power law."""
    return [row for cell in cells("SL5") for row in noisy(cell, curve(cell, LAW if true else CLIPPED), generator)]


def parts(true: bool, generator: np.random.Generator) -> list[Row]:
    """SL7: one transition for all sizes of the training set, or a tenfold one for the smaller ones."""
    whole = max(cell["examples"] for cell in cells("SL7"))
    return [
        row
        for cell in cells("SL7")
        for row in noisy(cell, curve(cell, p=0.3 if true or cell["examples"] == whole else 3.0), generator)
    ]


def freer(true: bool, generator: np.random.Generator) -> list[Row]:
    """SL8: the errors follow the law, or log-Hill with a slow transition."""
    model = LAW if true else LOG_HILL
    return [row for cell in cells("SL8") for row in noisy(cell, curve(cell, model, q=1.2), generator)]


def either(rows: Callable[[bool, np.random.Generator], list[Row]], effect: str) -> Simulation:
    return Simulation(effect, {"true": partial(rows, True), "false": partial(rows, False)})


def at(
    rows: Callable[[float, np.random.Generator], list[Row]], bound: float, effect: str, *, true: float, false: float
) -> Simulation:
    places = {"bound": bound, "true": true, "false": false}
    return Simulation(effect, {name: partial(rows, place) for name, place in places.items()})


SIMULATED = {
    "SL2": at(spread, 1.0, "σ at half the bar, or 2.5 times", true=0.5, false=2.5),
    "SL3": at(
        extrapolated,
        EXTRAPOLATION,
        "deviations of half the bar, or 1.5 times",
        true=0.5 * EXTRAPOLATION,
        false=1.5 * EXTRAPOLATION,
    ),
    "SL4": either(sizes, "one law, or one network far below it"),
    "SL5": either(simple, "the law, or a clipped power law"),
    "SL6": either(sizes, "one law, or one network far below it"),
    "SL7": either(parts, "one transition p, or ten times as large for parts of the data"),
    "SL8": either(freer, "the law, or log-Hill with q = 1.2"),
}
