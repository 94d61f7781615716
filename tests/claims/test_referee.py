"""The referee is calibrated: on simulated runs chance decides rarely, and true statements are recognised.

Rows of every cell that a claim asks for at `standard` are drawn around means at which its statement is true, or false,
by a stated effect, or lies exactly at its bound, where no verdict may be reached but by chance. Wrong verdicts have
probability at most 5 %, right ones at least 80 %: always answering `inconclusive` fails. Theorems have negative
controls instead. docs/evidence.md prints the rates; `python -m tests.claims.simulated.referee` measures them.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from pruneproof.claims.claim import Verdict
from pruneproof.theory.statistics.exact_tests import falsified
from tests.claims.simulated.referee import CLAIMS, RUNS, SIMULATED, reached
from tests.claims.simulated.simulation import RIGHT

WRONG, POWER, ALPHA = 0.05, 0.8, 1e-9
CASES = [
    pytest.param(id, case, marks=[pytest.mark.slow] if id.startswith("SL") else [])  # fits take a second a run
    for id, simulation in SIMULATED.items()
    for case in simulation.rows
]


def faults(verdicts: Counter[Verdict], case: str) -> list[str]:
    """What is wrong with the verdicts on simulated runs; chance puts something here with probability 2·`ALPHA`."""
    right, runs = RIGHT.get(case), verdicts.total()
    wrong = [
        verdict
        for verdict in RIGHT.values()
        if verdict is not right and falsified(verdicts[verdict], runs, WRONG, ALPHA)
    ]
    missed = [right] if right and falsified(runs - verdicts[right], runs, 1 - POWER, ALPHA) else []
    return [f"{verdict} too often" for verdict in wrong] + [f"{verdict} too rarely" for verdict in missed]


@pytest.mark.alpha(2 * ALPHA)
@pytest.mark.parametrize(("id", "case"), CASES)
def test_the_referee_is_rarely_wrong_and_mostly_right(id: str, case: str, salted: Callable[..., int]) -> None:
    verdicts = reached(id, case, salted(f"{case} {id}"))
    assert not faults(verdicts, case), verdicts


def test_every_claim_that_is_no_theorem_is_simulated() -> None:
    assert set(SIMULATED) == {id for id, claim in CLAIMS.items() if not claim.theorem}


@pytest.mark.parametrize("case", RIGHT)
def test_a_referee_that_never_decides_or_is_often_wrong_is_refused(case: str) -> None:
    right, wrong = RIGHT[case], next(verdict for verdict in RIGHT.values() if verdict is not RIGHT[case])
    assert not faults(Counter({right: RUNS}), case)
    assert faults(Counter({Verdict.INCONCLUSIVE: RUNS}), case) == [f"{right} too rarely"]
    assert faults(Counter({right: 3 * RUNS // 4, wrong: RUNS // 4}), case) == [f"{wrong} too often"]
    assert faults(Counter({Verdict.INCONCLUSIVE: 3 * RUNS // 4, wrong: RUNS // 4}), "bound") == [f"{wrong} too often"]
