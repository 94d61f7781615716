"""LN5 prints the ratio of mean calibration errors over seeds with an interval that a single zero does not spoil."""

import numpy as np
import pytest

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import Estimate
from pruneproof.claims.label_noise import CLAIMS

LN5 = next(claim for claim in CLAIMS if claim.id == "LN5")
ERROR = [0.3, 0.4, 0.2, 0.5]  # the trough is level 2
COLUMNS = ("train_error", "test_error", "noisy_error", "nll_noisy", "brier_noisy", "distance", "kept", "ece_clean",
           "overconfidence_noisy", "overconfidence_clean")  # fmt: skip


def share(dense: list[float], pruned: list[float]) -> Estimate:
    """What LN5 prints for corrected errors of calibration, one per seed."""
    cell = LN5.grid(Scale.QUICK, len(dense))[0]
    rows: list[Row] = []
    for seed, (before, after) in enumerate(zip(dense, pruned, strict=True)):
        for level, error in enumerate(ERROR):
            row = cell | {"seed": seed, "level": level, "density": 0.5**level, "validation_error": error}
            rows.append(row | dict.fromkeys(COLUMNS, 0.1) | {"ece_noisy": before if level == 0 else after})
    measured = LN5.judge(rows).measured
    (printed,) = (value for name, value in measured.items() if name.endswith("ECE on noisy labels, pruned / dense"))
    assert isinstance(printed, Estimate)
    return printed


def test_the_judged_value_is_the_ratio_of_means() -> None:
    assert share([0.1, 0.3], [0.1, 0.1]).value == pytest.approx(0.5)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_a_seed_with_an_error_of_zero_leaves_a_finite_interval_around_the_ratio(count: int) -> None:
    generator = np.random.default_rng(count)
    pruned = [0.0, *generator.uniform(0.02, 0.05, count - 1)]
    ratio = share(list(generator.uniform(0.1, 0.2, count)), pruned)
    assert ratio.has_interval and ratio.low < ratio.value < ratio.high < float("inf")


def test_one_seed_has_no_interval_and_the_answer_is_the_same_every_time() -> None:
    assert not share([0.2], [0.1]).has_interval
    assert share([0.2, 0.3, 0.1], [0.1, 0.0, 0.05]) == share([0.2, 0.3, 0.1], [0.1, 0.0, 0.05])


@pytest.mark.parametrize("count", [3, 10])
def test_the_interval_covers_the_ratio_of_the_true_means(count: int) -> None:
    """300 sets of seeds from log-normal errors, true ratio 0.4: at 95 %, 285 ± 3.8 cover, below 270 once in 10⁴."""
    generator = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        dense, pruned = generator.lognormal(np.log([0.2, 0.08]), 0.3, (count, 2)).T.tolist()
        ratio = share(dense, pruned)
        covered += not ratio.has_interval or ratio.low <= 0.4 <= ratio.high  # no interval claims nothing
    assert covered >= 270
