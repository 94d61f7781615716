"""Intervals of ratios cover what they say, and contenders take turns."""

from collections.abc import Callable

import pytest
import torch
from scipy.stats import binom

from pruneproof.theory.statistics.exact_tests import clopper_pearson
from pruneproof.timing import LEAST, Contender, Ratio, interleaved

ALPHA = 1e-7
TRIALS = 2000


@pytest.mark.alpha(3 * ALPHA)
@pytest.mark.parametrize("rounds", [6, 20, 101])
def test_intervals_cover_the_median_as_often_as_they_say(rounds: int, salted: Callable[..., int]) -> None:
    """Of a skewed distribution with median 1; of half the interval's width they would not."""
    draws = torch.empty(TRIALS, rounds, dtype=torch.float64)
    draws = draws.log_normal_(0, 2, generator=torch.Generator().manual_seed(salted("median", rounds)))
    found = [Ratio.of(row.tolist()) for row in draws]
    level = found[0].level
    assert 0.95 <= level < 1
    assert clopper_pearson(sum(r.low <= 1 <= r.high for r in found), TRIALS, ALPHA)[1] >= level
    narrow = sum(r.low <= 1 <= (r.value + r.high) / 2 for r in found)  # the negative control
    assert clopper_pearson(narrow, TRIALS, ALPHA)[1] < level


@pytest.mark.parametrize("rounds", range(6, 60))
def test_no_narrower_interval_would_have_the_level(rounds: int) -> None:
    ratio = Ratio.of([float(i) for i in range(rounds)])
    outside = int(ratio.low)
    assert ratio.high == rounds - 1 - outside
    assert ratio.level == pytest.approx(1 - 2 * binom.cdf(outside, rounds, 0.5))
    assert 1 - 2 * binom.cdf(outside + 1, rounds, 0.5) < 0.95 <= ratio.level


def test_contenders_take_turns_in_alternating_order() -> None:
    calls: list[str] = []
    sides = {name: Contender(lambda name=name: calls.append(name), lambda: calls.append("step")) for name in "ab"}
    rounds = interleaved(sides, 0)
    turns = [calls[i + 1 : i + 4 : 2] for i in range(0, len(calls), 4)]
    assert calls[::2] == ["step"] * (2 * (LEAST + 1)) and turns == [["a", "b"], ["b", "a"]] * 3 + [["a", "b"]]
    assert [len(rows) for rows in rounds.values()] == [LEAST, LEAST]  # the first round warms up


def test_what_runs_before_a_call_is_not_timed() -> None:
    import time

    row = Contender(lambda: None, lambda: time.sleep(0.05)).measured()
    assert row["seconds"] < 0.05
