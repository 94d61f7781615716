"""LN4 and LN5 print the ratio of means over seeds with an interval that a single zero does not spoil."""

import numpy as np
import pytest

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.label_noise import CLAIMS

LN5 = next(claim for claim in CLAIMS if claim.id == "LN5")
ERROR = [0.3, 0.4, 0.2, 0.5]  # the trough is level 2


def share(dense: list[float], pruned: list[float]) -> list[float]:
    """What LN5 prints for corrected errors of calibration, one per seed."""
    cell = LN5.grid(Scale.QUICK, len(dense))[0]
    rows: list[Row] = []
    for seed, (before, after) in enumerate(zip(dense, pruned, strict=True)):
        for level, error in enumerate(ERROR):
            row = cell | {"seed": seed, "level": level, "density": 0.5**level, "validation_error": error}
            flat = {f"{name}_{kind}": 0.1 for name in ("ece", "overconfidence") for kind in ("noisy", "clean")}
            rows.append(row | flat | {"ece_noisy": before if level == 0 else after})
    found = LN5.judge(rows).measured["ECE on noisy labels, pruned / dense"]
    assert isinstance(found, list)
    return found


def test_the_judged_value_is_the_ratio_of_means() -> None:
    assert share([0.1, 0.3], [0.1, 0.1])[0] == pytest.approx(0.5)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_a_seed_with_an_error_of_zero_leaves_a_finite_interval_around_the_ratio(count: int) -> None:
    generator = np.random.default_rng(count)
    pruned = [0.0, *generator.uniform(0.02, 0.05, count - 1)]
    ratio, low, high = share(list(generator.uniform(0.1, 0.2, count)), pruned)
    assert 0 <= low < ratio < high < float("inf")


def test_the_interval_is_that_of_the_linearised_ratio() -> None:
    """R = 1/2, deviations (0.05, −0.05)/0.2, standard error 0.25, t with one degree of freedom 12.706."""
    ratio, low, high = share([0.1, 0.3], [0.1, 0.1])
    assert (ratio, low) == (pytest.approx(0.5), 0.0)
    assert high == pytest.approx(0.5 + 12.7062 * 0.25, rel=1e-5)


def test_one_seed_is_its_own_interval_and_the_answer_is_the_same_every_time() -> None:
    assert share([0.2], [0.1]) == pytest.approx([0.5] * 3)
    assert share([0.2, 0.3, 0.1], [0.1, 0.0, 0.05]) == share([0.2, 0.3, 0.1], [0.1, 0.0, 0.05])


@pytest.mark.parametrize("count", [3, 10])
def test_the_interval_covers_the_ratio_of_the_true_means(count: int) -> None:
    """300 sets of seeds from log-normal errors, true ratio 0.4: at 95 %, 285 ± 3.8 cover, below 270 once in 10⁴."""
    generator = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        dense, pruned = generator.lognormal(np.log([0.2, 0.08]), 0.3, (count, 2)).T.tolist()
        _, low, high = share(dense, pruned)
        covered += low <= 0.4 <= high
    assert covered >= 270
