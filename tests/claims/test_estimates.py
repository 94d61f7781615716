"""One interval for all papers: it covers as often as it says, one seed has none, and chance alone does not decide."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats

from pruneproof.claims import Verdict
from pruneproof.claims.estimates import (
    LEVEL,
    Comparison,
    Estimate,
    as_json,
    conclude,
    decide,
    holm,
    mean,
    paired_difference,
    proportion,
    ratio,
    shown,
    slope,
)
from pruneproof.errors import InvalidValueError
from pruneproof.theory.statistics.exact_tests import falsified

ALPHA = 1e-9  # false alarms of each comparison of counts below
TRIALS = 1000

Draw = Callable[[np.random.Generator], tuple[Estimate, float]]


def of_mean(generator: np.random.Generator) -> tuple[Estimate, float]:
    return mean(generator.normal(3.0, 2.0, 3)), 3.0


def of_difference(generator: np.random.Generator) -> tuple[Estimate, float]:
    shared = generator.normal(0.0, 5.0, 4)
    first, second = (shared + generator.normal(centre, 1.0, 4) for centre in (1.0, 0.5))
    return paired_difference(dict(enumerate(first)), dict(enumerate(second))), 0.5


def of_ratio(generator: np.random.Generator) -> tuple[Estimate, float]:
    return ratio(generator.normal(2.0, 0.5, 5), generator.normal(8.0, 0.5, 5)), 0.25


def of_slope(generator: np.random.Generator) -> tuple[Estimate, float]:
    x = np.arange(5.0)
    return slope(x, 1.5 * x + generator.normal(0.0, 1.0, 5)), 1.5


def of_proportion(generator: np.random.Generator) -> tuple[Estimate, float]:
    return proportion(int(generator.binomial(20, 0.3)), 20), 0.3


def misses(draw: Draw, generator: np.random.Generator, level: float = LEVEL) -> int:
    """In how many of `TRIALS` simulated experiments the interval misses the truth."""
    missed = 0
    for _ in range(TRIALS):
        estimate, truth = draw(generator)
        interval = estimate.at(level)
        missed += not interval.low <= truth <= interval.high
    return missed


@pytest.mark.alpha(20 * ALPHA)
@pytest.mark.parametrize("level", [LEVEL, 0.8])
@pytest.mark.parametrize("draw", [of_mean, of_difference, of_ratio, of_slope, of_proportion])
def test_an_interval_covers_the_truth_as_often_as_it_says(draw: Draw, level: float, salted: Callable[..., int]) -> None:
    missed = misses(draw, np.random.default_rng(salted(draw.__name__, level)), level)
    assert not falsified(missed, TRIALS, 1 - level, ALPHA)
    if draw is not of_proportion:  # exact for discrete counts means: at least the level
        assert not falsified(TRIALS - missed, TRIALS, level, ALPHA)


@pytest.mark.alpha(ALPHA)
def test_the_coverage_test_refuses_a_normal_interval_of_three_seeds(salted: Callable[..., int]) -> None:
    """Negative control: 1.96 standard errors of three seeds miss in 19 % of experiments."""

    def too_narrow(generator: np.random.Generator) -> tuple[Estimate, float]:
        estimate, truth = of_mean(generator)
        reach = 1.96 * estimate.error
        return Estimate(estimate.value, estimate.value - reach, estimate.value + reach, LEVEL, 3), truth

    assert falsified(misses(too_narrow, np.random.default_rng(salted("control"))), TRIALS, 1 - LEVEL, ALPHA)


ONE_SEED = [mean([0.1]), paired_difference({0: 1.0}, {0: 0.9}), ratio({3: 1.0}, {3: 2.0})]
TOO_FEW = [*ONE_SEED, slope([1.0, 2.0], [1.0, 3.0]), ratio([1.0, 5.0], [-9.0, 10.0])]


@pytest.mark.parametrize("estimate", ONE_SEED)
def test_one_seed_has_no_interval(estimate: Estimate) -> None:
    assert estimate.interval_text == "no interval (one seed)"


@pytest.mark.parametrize("estimate", TOO_FEW)
def test_what_has_no_interval_is_neither_printed_nor_judged_as_if_it_had_one(estimate: Estimate) -> None:
    assert not estimate.has_interval and not estimate.at(0.5).has_interval
    assert not any(part in shown(estimate) for part in ("inf", "nan", "["))
    fields = json.loads(json.dumps(as_json({"x": [estimate]}), allow_nan=False))["x"][0]
    assert fields["low"] is None and fields["high"] is None
    decision = decide([Comparison("a", estimate, above=-1e9)])
    assert decision.verdict is Verdict.INCONCLUSIVE and decision.undecided == ("a",)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=8), st.floats(-1e3, 1e3), st.floats(0.5, 0.999))
def test_a_p_value_says_at_which_levels_the_interval_clears_the_bound(
    values: list[float], bound: float, level: float
) -> None:
    estimate = mean(values)
    interval = estimate.at(level)
    for p, clears in (
        (estimate.p_above(bound), interval.low > bound),
        (estimate.p_below(bound), interval.high < bound),
    ):
        if not math.isclose(p, 1 - level, rel_tol=1e-6):
            assert (p < 1 - level) == clears


def students_p(values: ArrayLike, centre: float) -> float:
    found: Any = stats.ttest_1samp(values, centre)
    return float(found.pvalue)


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=10, unique=True), st.floats(-10, 10))
def test_a_p_value_is_that_of_students_test(values: list[float], bound: float) -> None:
    """scipy's two-sided test of one sample; p-values are resolved down to 1e-12.

    Values of 32 bits: squares of smaller differences underflow, and scipy's statistic is then 0/0.
    """
    expected = students_p(values, bound)
    estimate = mean(values)
    found = min(estimate.p_above(bound), estimate.p_below(bound))
    assert found == pytest.approx(max(expected, 1e-12), rel=1e-5, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(3, 8))
def test_the_limits_of_a_ratio_are_where_students_test_of_the_difference_turns(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(1.0, 0.5, n), generator.normal(5.0, 0.3, n)
    estimate = ratio(first, second)
    for limit in (estimate.low, estimate.high):
        assert students_p(first - limit * second, 0.0) == pytest.approx(1 - LEVEL, rel=1e-4)


def test_a_slope_is_scipys() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=12), generator.normal(size=12)
    line: Any = stats.linregress(x, y)
    assert slope(x, y).value == pytest.approx(line.slope)
    assert slope(x, y).error == pytest.approx(line.stderr)


def test_a_bootstrap_interval_is_judged_at_its_own_level_only() -> None:
    estimate = Estimate(2.0, 1.0, 3.0, LEVEL, 10)
    assert decide([Comparison("a", estimate, above=0.0)]).verdict is Verdict.HOLDS
    assert decide([Comparison("a", estimate, above=1.5)]).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(InvalidValueError):
        estimate.at(0.99)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean([]),
        lambda: mean([1.0, math.nan]),
        lambda: paired_difference({0: 1.0}, {1: 1.0}),
        lambda: paired_difference([1.0], [1.0, 2.0]),
        lambda: ratio([1.0, 1.0], [-1.0, -1.0]),
        lambda: slope([1.0, 1.0], [1.0, 2.0]),
        lambda: slope([1.0, 2.0], [1.0]),
        lambda: proportion(3, 2),
    ],
)
def test_impossible_samples_are_refused(call: Callable[[], Estimate]) -> None:
    with pytest.raises(InvalidValueError):
        call()


def equals(generator: np.random.Generator, number: int = 60) -> list[Comparison]:
    """Comparisons whose true difference is exactly the bound."""
    return [Comparison(str(i), mean(generator.normal(0.0, 1.0, 5)), above=0.0) for i in range(number)]


CLAIMS = 400


@pytest.mark.alpha(ALPHA)
def test_sixty_comparisons_of_equals_refute_a_claim_in_one_of_twenty(salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted("equals"))
    refuted = sum(decide(equals(generator)).verdict is Verdict.NOT_REPRODUCED for _ in range(CLAIMS))
    assert not falsified(refuted, CLAIMS, 1 - LEVEL, ALPHA)


@pytest.mark.alpha(ALPHA)
def test_without_holms_correction_they_would_refute_most_claims(salted: Callable[..., int]) -> None:
    """Negative control: any of sixty tests at 5 %."""
    generator = np.random.default_rng(salted("uncorrected"))
    refuted = sum(any(c.p_refuted <= 1 - LEVEL for c in equals(generator)) for _ in range(CLAIMS))
    assert falsified(refuted, CLAIMS, 1 - LEVEL, ALPHA)


@pytest.mark.alpha(ALPHA)
def test_a_claim_with_one_false_part_rarely_holds(salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted("one false"))
    good = [Comparison(str(i), mean([9.0, 9.5, 10.0]), above=0.0) for i in range(5)]
    held = sum(decide([*good, *equals(generator, 1)]).verdict is Verdict.HOLDS for _ in range(CLAIMS))
    assert not falsified(held, CLAIMS, 1 - LEVEL, ALPHA)


def test_one_large_deviation_refutes_in_spite_of_the_correction() -> None:
    wrong = Comparison("wrong", mean([-9.0, -9.1, -8.9, -9.0, -9.05]), above=0.0)
    assert decide([*equals(np.random.default_rng(0)), wrong]).refuted == ("wrong",)


def test_an_equivalence_needs_both_sides() -> None:
    inside, outside, wide = mean([0.1, 0.0, -0.1]), mean([3.0, 3.1, 2.9]), mean([2.0, -2.0, 0.5])
    assert decide([Comparison("a", inside, above=-1, below=1)]).verdict is Verdict.HOLDS
    assert decide([Comparison("a", outside, above=-1, below=1)]).verdict is Verdict.NOT_REPRODUCED
    assert decide([Comparison("a", wide, above=-1, below=1)]).verdict is Verdict.INCONCLUSIVE


def test_a_claim_without_comparisons_is_inconclusive() -> None:
    assert decide([]).verdict is Verdict.INCONCLUSIVE


def test_what_is_concluded_is_what_is_decided_with_the_bounds_of_what_is_printed() -> None:
    good, low = Comparison("a", mean([1.0, 2.0, 3.0]), above=0.0), Comparison("b", mean([0.0, 4.0]), below=1.0)
    made = conclude([good, low], (2, 0, 1, 0), "on digits", {"c": 1, "b of another": low.estimate, "a": good.estimate})
    decision = decide([good, low])
    assert (made.verdict, made.scope) == (decision.verdict, f"on digits; {decision.sentence}")
    assert made.seeds == (0, 1, 2) and list(made.measured) == ["c", "b of another", "a"]
    assert made.bounds == {"b of another": (-math.inf, 1.0), "a": (0.0, math.inf)}
    assert conclude([good], (), "on digits").measured == {"a": good.estimate}


def test_differences_within_rounding_are_none() -> None:
    """Equal shares of correct answers, counted in two ways, differ by rounding alone: nothing is above 0 there."""
    first, second = [100 * 0.07, 100 * 0.14, 100 * 0.28], [7.0, 14.0, 28.0]
    assert all(one > other for one, other in zip(first, second, strict=True))
    equal = paired_difference(first, second)
    assert (equal.value, equal.low, equal.high) == (0.0, 0.0, 0.0)
    cancelling = paired_difference([80.1, 80.4, 80.3], [80.4, 80.3, 80.1])
    assert cancelling.value == 0.0 and cancelling.low < 0 < cancelling.high
    assert paired_difference([1.0, 1.0], [1.0 - 1e-14, 1.0 - 1e-14]).low > 0


def test_limits_are_cut_at_what_can_be_and_decide_as_before() -> None:
    share = mean([0.0, 1.0, 1.0, 1.0])
    cut = share.within(0.0, 1.0)
    assert share.high > 1.0 == cut.high and (cut.value, cut.low) == (share.value, max(share.low, 0.0))
    assert cut.at(0.5).high <= 1.0 and cut.at(0.999).high == 1.0
    assert [cut.p_above(bound) for bound in (0.1, 0.5)] == [share.p_above(bound) for bound in (0.1, 0.5)]
    assert math.isnan(mean([0.5]).within(0.0, 1.0).high)


@pytest.mark.alpha(ALPHA)
def test_the_number_of_seeds_that_is_named_decides_in_four_of_five_runs(salted: Callable[..., int]) -> None:
    generator = np.random.default_rng(salted("power"))
    sample = np.array([-1.0, 0.5, 1.5, 2.0])  # its mean and spread are the truth of the runs below
    open_comparison = Comparison("a", mean(sample), above=0.0)
    needed = open_comparison.seeds_to_decide()
    assert needed is not None and f"about {needed} seeds would decide" in decide([open_comparison]).sentence
    runs = [mean(generator.normal(sample.mean(), sample.std(ddof=1), needed)) for _ in range(TRIALS)]
    failed = sum(decide([Comparison("a", run, above=0.0)]).verdict is not Verdict.HOLDS for run in runs)
    assert not falsified(failed, TRIALS, 0.2, ALPHA)
    fewer = [mean(generator.normal(sample.mean(), sample.std(ddof=1), needed // 2)) for _ in range(TRIALS)]
    failed = sum(decide([Comparison("a", run, above=0.0)]).verdict is not Verdict.HOLDS for run in fewer)
    assert falsified(failed, TRIALS, 0.2, ALPHA)  # half of them do not


def test_a_value_on_its_bound_is_decided_by_no_number_of_seeds() -> None:
    assert "more than 10,000" in decide([Comparison("a", mean([-1.0, 0.0, 1.0]), above=0.0)]).sentence


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_bonferroni_does_and_nothing_above_the_level(p_values: list[float]) -> None:
    rejected = holm(p_values)
    for p, wrong in zip(p_values, rejected, strict=True):
        assert wrong >= (p <= (1 - LEVEL) / len(p_values))
        assert not wrong or p <= 1 - LEVEL
