"""The referee of the scaling law is calibrated: of simulated errors it recognises true statements, refutes false ones.

Errors of every network and seed are drawn around curves that make a statement true, or false by a stated effect, for
the networks of `quick` and the seeds of `standard`. Either way the wrong verdict has probability at most 5 %, and the
right one at least 80 %. SL2 and SL3 are also drawn at their bounds, where no verdict may be reached but by chance. Fits
take a tenth of a second each, so there are fewer runs than in test_referee.py.
"""

from collections.abc import Callable

import numpy as np
import pytest

from pruneproof.claims.claim import Scale, Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.scaling import CLAIMS as SCALING
from pruneproof.claims.scaling.setting import LARGEST_FITTED, SEEDS
from pruneproof.claims.scaling.sl2_fit import SINGLE
from pruneproof.claims.scaling.sl3_extrapolation import EXTRAPOLATION
from pruneproof.theory.scaling.models import CLIPPED, LAW, LOG_HILL, Model
from pruneproof.theory.scaling.points import Floats, points_from_rows
from pruneproof.theory.statistics.exact_tests import falsified

pytestmark = pytest.mark.slow
CLAIMS = {claim.id: claim for claim in SCALING}
RUNS, WRONG, POWER, ALPHA = 20, 0.05, 0.8, 1e-8
TRUTH = {"p": 0.3, "gamma": 1.4, "upper_error": 0.8, "phi": 0.6, "psi": 1.1}
Simulated = Callable[[bool, np.random.Generator], list[Row]]


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


def cells(id: str) -> list[Row]:
    return CLAIMS[id].grid(Scale.QUICK, SEEDS[Scale.STANDARD])


def spread(factor: float, generator: np.random.Generator) -> list[Row]:
    """SL2: the deviations of single networks from the law, averaged over seeds, are the bar of σ times a factor."""
    rows: list[Row] = []
    for cell in cells("SL2"):
        errors = curve(cell)
        freedom = 1 - 3 / len(errors)  # what a fit of three constants leaves of the noise
        noise = factor * SINGLE * (len(cell["seeds"]) / freedom) ** 0.5
        rows += noisy(cell, errors, generator, noise)
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


SIMULATED: dict[str, Simulated] = {
    "SL2": lambda true, generator: spread(0.5 if true else 2.5, generator),
    "SL3": lambda true, generator: extrapolated(EXTRAPOLATION * (0.5 if true else 1.5), generator),
    "SL4": sizes,
    "SL5": simple,
    "SL6": sizes,
    "SL7": parts,
    "SL8": freer,
}
AT_BOUND = {"SL2": lambda generator: spread(1.0, generator), "SL3": lambda generator: extrapolated(0.1, generator)}


@pytest.mark.alpha(2 * ALPHA)
@pytest.mark.parametrize("true", [True, False], ids=["true", "false"])
@pytest.mark.parametrize("id", SIMULATED)
def test_true_statements_are_recognised_and_false_ones_refuted(id: str, true: bool, salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted(f"{id} {true}"))
    reached = [CLAIMS[id].judge(SIMULATED[id](true, generator)).verdict for _ in range(RUNS)]
    right, wrong = (Verdict.HOLDS, Verdict.NOT_REPRODUCED) if true else (Verdict.NOT_REPRODUCED, Verdict.HOLDS)
    assert not falsified(reached.count(wrong), RUNS, WRONG, ALPHA)
    assert not falsified(RUNS - reached.count(right), RUNS, 1 - POWER, ALPHA)


@pytest.mark.alpha(2 * ALPHA)
@pytest.mark.parametrize("id", AT_BOUND)
def test_at_the_bound_chance_decides_rarely(id: str, salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted(f"bound {id}"))
    reached = [CLAIMS[id].judge(AT_BOUND[id](generator)).verdict for _ in range(2 * RUNS)]
    assert not falsified(reached.count(Verdict.HOLDS), 2 * RUNS, WRONG, ALPHA)
    assert not falsified(reached.count(Verdict.NOT_REPRODUCED), 2 * RUNS, WRONG, ALPHA)
