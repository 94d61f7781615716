"""The tests of probabilistic guarantees have the false-alarm rates they state, and the power to refuse a false one."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pruneproof.errors import PruneproofError
from pruneproof.theory.statistics.exact_tests import EProcess, certified, clopper_pearson, falsified, tail


@pytest.mark.parametrize(("delta", "trials", "threshold"), [(0.05, 1000, 96), (0.01, 5000, 98), (0.001, 20000, 52)])
def test_thresholds_are_the_tabulated_ones(delta: float, trials: int, threshold: int) -> None:
    assert not falsified(threshold, trials, delta)
    assert falsified(threshold + 1, trials, delta)


@given(st.integers(1, 300), st.floats(0.001, 0.9), st.sampled_from([1e-9, 1e-3, 0.05]))
def test_a_true_guarantee_is_falsified_with_probability_at_most_alpha(trials: int, delta: float, alpha: float) -> None:
    outcomes = np.arange(trials + 1)
    rejected = np.array([falsified(int(count), trials, delta, alpha) for count in outcomes])
    # 1e-12: the sum of up to 300 probabilities in double precision
    assert binom.pmf(outcomes[rejected], trials, delta).sum() <= alpha * (1 + 1e-9) + 1e-12


@given(st.integers(1, 300), st.floats(0.001, 0.9), st.sampled_from([1e-9, 1e-3, 0.05]))
def test_a_false_guarantee_is_certified_with_probability_at_most_alpha(trials: int, delta: float, alpha: float) -> None:
    outcomes = np.arange(trials + 1)
    accepted = np.array([certified(int(count), trials, delta, alpha) for count in outcomes])
    # at the true probability δ itself, the worst of all that exceed it
    assert binom.pmf(outcomes[accepted], trials, delta).sum() <= alpha * (1 + 1e-6) + 1e-12


def test_the_naive_rule_is_not_sound() -> None:
    """The negative control of the test: `F/N > δ` raises a false alarm in about 44 % of runs at the boundary."""
    outcomes = np.arange(401)
    assert binom.pmf(outcomes[outcomes / 400 > 0.05], 400, 0.05).sum() > 0.4


@given(st.integers(1, 500), st.data())
def test_tail_and_interval_agree_with_the_distribution(trials: int, data: st.DataObject) -> None:
    failures = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(failures, trials, alpha=0.01)
    assert low <= failures / trials <= high
    if failures:
        assert tail(failures, trials, low) == pytest.approx(0.005, rel=1e-6)  # the definition of the lower end
    if failures < trials:
        assert 1 - tail(failures + 1, trials, high) == pytest.approx(0.005, rel=1e-6)
    assert tail(failures, trials, 0.3) == pytest.approx(binom.sf(failures - 1, trials, 0.3), rel=1e-9, abs=1e-300)


def test_the_interval_ends_at_zero_and_one() -> None:
    assert clopper_pearson(0, 7)[0] == 0.0
    assert clopper_pearson(7, 7)[1] == 1.0


def test_an_e_process_survives_extreme_counts() -> None:
    assert not EProcess(0.99, failures=0, trials=1000).falsified  # its prior has no mass left above 0.99
    assert EProcess(0.99, failures=0, trials=1000).wealth == 0.0
    assert EProcess(0.01, failures=1000, trials=1000).wealth == exp(700.0)  # cut there, before it overflows


def test_zero_failures_certify_from_the_closed_form_on() -> None:
    for delta, alpha in [(0.05, 1e-9), (0.01, 1e-3)]:
        enough = int(log(alpha) / log(1 - delta)) + 1
        assert certified(0, enough, delta, alpha)
        assert not certified(0, enough - 1, delta, alpha)


def test_e_process_is_a_supermartingale_start_and_has_exact_false_alarms() -> None:
    """P(ever rejecting within 300 draws | p = δ) by dynamic programming over (draws, failures): at most α."""
    delta, alpha, draws = 0.1, 1e-2, 300
    alive = {0: 1.0}
    alarms = 0.0
    for trial in range(1, draws + 1):
        moved: dict[int, float] = {}
        for failures, mass in alive.items():
            for extra, chance in ((0, 1 - delta), (1, delta)):
                moved[failures + extra] = moved.get(failures + extra, 0.0) + mass * chance
        alive = {}
        for failures, mass in moved.items():
            if EProcess(delta, alpha, failures, trial).falsified:
                alarms += mass
            else:
                alive[failures] = mass
    assert 0 < alarms <= alpha
    assert EProcess(delta, alpha).wealth == pytest.approx(1.0)


@given(st.integers(0, 40), st.integers(1, 60))
def test_e_process_has_mean_one_under_the_guarantee(failures: int, trials: int) -> None:
    failures = min(failures, trials)
    now = EProcess(0.2, failures=failures, trials=trials).wealth
    worse = EProcess(0.2, failures=failures + 1, trials=trials + 1).wealth
    better = EProcess(0.2, failures=failures, trials=trials + 1).wealth
    assert 0.2 * worse + 0.8 * better == pytest.approx(now, rel=1e-9)


@pytest.mark.alpha(2e-9)
def test_the_tests_have_power(salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted("statistics power"))
    watch = EProcess(0.05)
    draws = generator.random(3000) < 0.15  # three times the guarantee
    assert falsified(int(draws.sum()), 3000, 0.05)
    assert watch.update(int(draws.sum()), 3000).falsified


@pytest.mark.parametrize(
    ("failures", "trials"), [(-1, 10), (11, 10), (0, 0), (1.5, 10), (1, 10.0), ("1", 10), (1, None), (True, 10)]
)
def test_impossible_counts_are_refused(failures: Any, trials: Any) -> None:
    tests: list[Callable[..., object]] = [
        lambda f, n: falsified(f, n, 0.1),
        clopper_pearson,
        lambda f, n: tail(f, n, 0.1),
    ]
    for test in tests:
        with pytest.raises(PruneproofError, match="whole numbers with 0 <= failures"):
            test(failures, trials)
    if (failures, trials) != (0, 0):  # where a process starts
        with pytest.raises(PruneproofError, match="whole numbers with 0 <= failures"):
            EProcess(0.1).update(failures, trials)


def test_counts_may_be_numbers_of_numpy() -> None:
    assert falsified(np.int64(97), np.int32(1000), np.float32(0.05))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bad", [0.0, 1.0, float("nan"), -0.5, "0.5", None])
def test_impossible_probabilities_are_refused(bad: Any) -> None:
    for test in (lambda: falsified(1, 10, bad), lambda: certified(1, 10, 0.1, bad), lambda: EProcess(bad)):
        with pytest.raises(PruneproofError):
            test()
    with pytest.raises(PruneproofError, match="alpha must lie in"):
        clopper_pearson(1, 10, bad)


def test_the_tail_is_that_of_a_probability() -> None:
    assert [tail(1, 2, delta) for delta in (0, 0.0, 0.5, 1.0)] == [0, 0, 0.75, 1]
    for bad in (1.5, -0.1, float("nan")):
        with pytest.raises(PruneproofError, match=r"delta must lie in \(0, 1\)"):
            tail(1, 2, bad)
