"""The referee is calibrated: on simulated runs chance decides rarely, and true statements are recognised.

Rows of every cell that a claim asks for at `standard` are drawn around means at which its statement is true by a stated
effect, or lies exactly at its bound, where no verdict may be reached but by chance. At the bound the wrong verdicts
`holds` and `not reproduced` each have probability at most 5 %; with the effect, `holds` has at least 80 %.
"""

from collections.abc import Callable

import numpy as np
import pytest

from pruneproof.claims.claim import Claim, Scale, Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.initialization import CLAIMS as INITIALIZATION
from pruneproof.claims.sensitivity import CLAIMS as SENSITIVITY
from pruneproof.theory.statistics.exact_tests import falsified

CLAIMS = {claim.id: claim for claim in (*INITIALIZATION, *SENSITIVITY)}
RUNS, FEW, WRONG, POWER, ALPHA = 200, 60, 0.05, 0.8, 1e-9
NOISE = 1.0  # points of accuracy, per run
UNUSED: Row = {"kept": 9, "layers": {}, "live": {"0": 15}, "cut": []}
Simulated = Callable[[float, np.random.Generator], list[Row]]


def late(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI6: ablated tickets are worse by the effect."""
    return [
        cell
        | UNUSED
        | {"variant": variant, "accuracy": (95 - effect * (variant != "ticket") + generator.normal(0, NOISE)) / 100}
        for cell in CLAIMS["AI6"].grid(Scale.STANDARD, None)
        for variant in ("ticket", "ticket shuffle", "ticket reinitialize")
    ]


def later(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI8: pruning later is better by the effect."""
    return [
        cell | UNUSED | {"accuracy": (90 + effect * (cell["at"] > 0) + generator.normal(0, NOISE)) / 100}
        for cell in CLAIMS["AI8"].grid(Scale.STANDARD, None)
    ]


def shuffled(effect: float, generator: np.random.Generator) -> list[Row]:
    """AI3: shuffling costs the margin of 2.5 points less the effect; random pruning is 30 points worse."""
    changes = {"shuffle": effect - 2.5, "none": 0.0}
    return [
        cell
        | UNUSED
        | {
            "accuracy": (
                90 + changes[cell["ablation"]] - 30 * (cell["method"] == "random") + generator.normal(0, NOISE)
            )
            / 100
        }
        for cell in CLAIMS["AI3"].grid(Scale.STANDARD, None)
    ]


def isolated(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP7: sensitivity masks are better than random ones by the effect."""
    return [
        cell
        | {"accuracy": 90 + effect * cell["method"].startswith("sipp") + generator.normal(0, NOISE)}
        | {"kept": [9], "cut": []}
        for cell in CLAIMS["SP7"].grid(Scale.STANDARD, None)
    ]


def retrained(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP8: half a point less the effect is lost."""
    return [
        cell
        | {"dense": 97 + generator.normal(0, NOISE), "accuracy": 96.5 + effect + generator.normal(0, NOISE)}
        | UNUSED
        for cell in CLAIMS["SP8"].grid(Scale.STANDARD, None)
    ]


def mixture(effect: float, generator: np.random.Generator) -> list[Row]:
    """SP4: the error of `best` is above the others' by the margin of 1 % of the outputs less the effect, in percent."""
    return [
        cell
        | {"variant": variant, "merit": 1.0, "epsilon": 0.5, "vacuous": 0.0, "size": 100.0, "lost": 0.0}
        | {"error": 5 + (1 - effect) * (variant == "best") + generator.normal(0, 0.5 * NOISE)}
        for cell in CLAIMS["SP4"].grid(Scale.STANDARD, None)
        for variant in ("rand", "det", "hybrid", "poisson", "best")
    ]


SIMULATED: dict[str, tuple[Simulated, float]] = {  # with the effect that must be recognised
    "AI3": (shuffled, 5.0),  # twice the margin
    "AI6": (late, 3.0),
    "AI8": (later, 3.0),
    "SP4": (mixture, 2.5),
    "SP7": (isolated, 3.0),
    "SP8": (retrained, 3.0),
}


def verdicts(claim: Claim, effect: float, generator: np.random.Generator, runs: int = RUNS) -> list[Verdict]:
    simulated, _ = SIMULATED[claim.id]
    return [claim.judge(simulated(effect, generator)).verdict for _ in range(runs)]


@pytest.mark.alpha(2 * ALPHA)
@pytest.mark.parametrize("id", SIMULATED)
def test_at_the_bound_chance_decides_in_one_of_twenty_runs(id: str, salted: Callable[..., int]) -> None:
    reached = verdicts(CLAIMS[id], 0.0, np.random.default_rng(salted(f"bound {id}")))
    assert not falsified(reached.count(Verdict.HOLDS), RUNS, WRONG, ALPHA)
    assert not falsified(reached.count(Verdict.NOT_REPRODUCED), RUNS, WRONG, ALPHA)


@pytest.mark.alpha(ALPHA)
@pytest.mark.parametrize("id", SIMULATED)
def test_a_true_statement_is_recognised(id: str, salted: Callable[..., int]) -> None:
    """Always answering `inconclusive` fails."""
    reached = verdicts(CLAIMS[id], SIMULATED[id][1], np.random.default_rng(salted(f"true {id}")), FEW)
    assert not falsified(FEW - reached.count(Verdict.HOLDS), FEW, 1 - POWER, ALPHA)


@pytest.mark.alpha(ALPHA)
@pytest.mark.parametrize("id", SIMULATED)
def test_a_false_statement_is_refuted(id: str, salted: Callable[..., int]) -> None:
    reached = verdicts(CLAIMS[id], -SIMULATED[id][1], np.random.default_rng(salted(f"false {id}")), FEW)
    assert not falsified(FEW - reached.count(Verdict.NOT_REPRODUCED), FEW, 1 - POWER, ALPHA)
