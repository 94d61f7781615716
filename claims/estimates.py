"""One notion of an uncertain figure for all papers: a value with its confidence interval, and verdicts from intervals.

Every interval is two-sided, at 95 % unless it says otherwise. A single seed has no interval; it is
printed as "no interval (one seed)", never as one of zero or infinite width. Verdicts follow from
limits, never from point estimates, with one error rate of 5 % for a claim as a whole (`decide`).

The sources of the methods are named where they are used; docs/evidence.md explains the standard.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pruneproof.claims.engine.cell import Row
from pruneproof.errors import InvalidValueError
from pruneproof.theory.statistics.exact_tests import clopper_pearson

from .claim import Measured, Outcome, Verdict

LEVEL = 0.95  # of every interval, and 1 − the error rate of a claim
POWER = 0.8  # at which "how many seeds would decide it" is answered
MOST = 10_000  # seeds; more are called "more than 10,000"
EPSILON = float(np.finfo(np.float64).eps)
SMALLEST = 1e-12  # the smallest p-value that is told from others

Floats = NDArray[np.float64]
Limits = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided confidence interval.

    Make one with `mean`, `paired_difference`, `ratio`, `slope` or `proportion`. A quantity with an
    interval of its own, such as a bootstrap's, is made directly; it can be judged at other levels
    only if it is given `limits`.

    Args:
        value: The point estimate.
        low: Lower confidence limit; NaN where there is no interval.
        high: Upper confidence limit; NaN where there is no interval.
        level: Confidence level of the interval, in (0, 1).
        n: How many independent observations the value rests on.
        unit: What was observed: seeds, points, runs.
        error: Standard error of the value; NaN where it is unknown.
        limits: Confidence level → the interval at that level.

    Example:
        >>> mean([0.25])
        Estimate(value=0.25, low=nan, high=nan, level=0.95, n=1, unit='seeds')
        >>> str(mean([1.0, 2.0, 3.0])), str(mean([0.25]))
        ('2 [-0.4841, 4.484]', '0.25, no interval (one seed)')
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    unit: str = "seeds"
    error: float = field(default=math.nan, repr=False, compare=False)
    limits: Limits | None = field(default=None, repr=False, compare=False)

    @property
    def has_interval(self) -> bool:
        """Whether the observations carry an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def at(self, level: float) -> "Estimate":
        """The same value with its interval at another confidence level.

        Args:
            level: In (0, 1).

        Raises:
            InvalidValueError: If the estimate was made without `limits`.
        """
        if level == self.level or not self.has_interval:
            return Estimate(self.value, self.low, self.high, level, self.n, self.unit, self.error, self.limits)
        if self.limits is None:
            raise InvalidValueError(
                f"Estimate.at: this interval is known at {self.level:.4g} only, not at {level:.4g}. "
                "Make the estimate with limits=, a function from the level to the interval."
            )
        low, high = self.limits(level)
        return Estimate(self.value, low, high, level, self.n, self.unit, self.error, self.limits)

    def within(self, least: float, most: float) -> "Estimate":
        """The same with limits that are cut at what the quantity can be; a share lies in [0, 1].

        Args:
            least: The smallest possible value.
            most: The largest.

        Example:
            >>> str(mean([0.2, 0.6, 1.0])), str(mean([0.2, 0.6, 1.0]).within(0.0, 1.0))
            ('0.6 [-0.3937, 1.594]', '0.6 [0, 1]')
        """
        limits = self.limits

        def cut(low: float, high: float) -> tuple[float, float]:
            return max(low, least), min(high, most)

        low, high = cut(self.low, self.high)
        return replace(self, low=low, high=high, limits=limits and (lambda level: cut(*limits(level))))

    def p_above(self, bound: float) -> float:
        """Two-sided p-value of "the true value is not above the bound".

        It is 1 − the highest level at which the whole interval lies above the bound, and 1 if even
        the point estimate does not.
        """
        return self._p(bound, lambda low, high: low > bound)

    def p_below(self, bound: float) -> float:
        """Two-sided p-value of "the true value is not below the bound"."""
        return self._p(bound, lambda low, high: high < bound)

    def _p(self, bound: float, clears: Callable[[float, float], bool]) -> float:
        if not self.has_interval or not clears(self.value, self.value):
            return 1.0
        if self.limits is None:
            return 1 - self.level if clears(self.low, self.high) else 1.0
        small, large = SMALLEST, 1.0  # the interval clears the bound at level 1 − large, perhaps not at 1 − small
        if clears(*self.limits(1 - small)):
            return small
        for _ in range(45):
            middle = math.sqrt(small * large)
            small, large = (small, middle) if clears(*self.limits(1 - middle)) else (middle, large)
        return large

    def as_json(self) -> dict[str, Any]:
        """The estimate as a JSON object; limits are null where there is no interval.

        Example:
            >>> mean([0.25]).as_json()
            {'value': 0.25, 'low': None, 'high': None, 'level': 0.95, 'n': 1, 'unit': 'seeds'}
        """
        low, high = (self.low, self.high) if self.has_interval else (None, None)
        return {"value": self.value, "low": low, "high": high, "level": self.level, "n": self.n, "unit": self.unit}

    @property
    def interval_text(self) -> str:
        """The interval alone, or why there is none."""
        if not self.has_interval:
            few = f"one {self.unit.removesuffix('s')}" if self.n == 1 else f"{self.n} {self.unit} are too few"
            return f"no interval ({few})"
        level = "" if self.level == LEVEL else f" at {100 * self.level:.4g} %"
        return f"[{self.low:.4g}, {self.high:.4g}]{level}"

    def __str__(self) -> str:
        return f"{self.value:.4g}{' ' if self.has_interval else ', '}{self.interval_text}"


def mean(values: ArrayLike, *, level: float = LEVEL, unit: str = "seeds") -> Estimate:
    """The mean of independent observations, with Student's interval.

    Observations that are all equal have an interval of zero width: their spread is estimated as 0.

    Args:
        values: Shape (n,), one per seed, n ≥ 1.
        level: Confidence level.
        unit: What the observations are.

    Returns:
        The estimate; without an interval if n = 1.

    Raises:
        InvalidValueError: If there are no observations, or one of them is not finite.

    Example:
        >>> str(mean([10.0, 12.0, 17.0]))
        '13 [4.043, 21.96]'
    """
    sample = _sample("mean", values)
    error = float(sample.std(ddof=1)) / math.sqrt(len(sample)) if len(sample) > 1 else math.nan
    return _student(float(sample.mean()), error, len(sample) - 1, len(sample), level, unit)


def paired_difference(
    first: Mapping[int, float] | ArrayLike, second: Mapping[int, float] | ArrayLike, *, level: float = LEVEL
) -> Estimate:
    """The mean of first − second over the seeds that both have.

    Two variants of a seed share initial weights and data order, so they are compared seed by seed. What is within the
    rounding of the values is 0.

    Args:
        first: Seed → value, or values of shape (n,) in the order of the seeds.
        second: The same.
        level: Confidence level.

    Raises:
        InvalidValueError: If they have no seed in common, or values are not finite.

    Example:
        >>> str(paired_difference({0: 3.0, 1: 4.5, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0, 3: 9.0}))
        '2.167 [1.45, 2.884]'
    """
    one, other = _pairs("paired_difference", first, second)
    rounding = 4 * EPSILON * float(max(np.abs(one).max(), np.abs(other).max()))  # two a value, such as 100·(k/n)
    found = mean(np.where(np.abs(one - other) <= rounding, 0.0, one - other), level=level)
    return replace(found, value=0.0) if abs(found.value) <= rounding else found


def ratio(
    first: Mapping[int, float] | ArrayLike, second: Mapping[int, float] | ArrayLike, *, level: float = LEVEL
) -> Estimate:
    """The ratio of two means over common seeds, with Fieller's interval.

    A ratio r is in the interval if Student's interval of first − r·second holds 0, so single values
    may be 0 or negative. (E. C. Fieller, Some problems in interval estimation, J. R. Stat. Soc. B 16, 1954.)

    Args:
        first: Seed → value, or values of shape (n,): the numerator.
        second: The same: the denominator, of positive mean.
        level: Confidence level.

    Returns:
        The estimate; without an interval if n = 1, or if the denominator's interval holds 0.

    Raises:
        InvalidValueError: If the mean of the denominator is not positive.

    Example:
        >>> str(ratio([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]))
        '0.5 [0.4291, 0.5552]'
    """
    above, below = _pairs("ratio", first, second)
    if below.mean() <= 0:
        raise InvalidValueError(
            f"ratio: the denominators must have a positive mean, got {below.mean():.4g}. "
            "Compare such quantities by their paired_difference."
        )
    value, n = float(above.mean() / below.mean()), len(above)
    if n < 2:
        return Estimate(value, math.nan, math.nan, level, n)
    error = float((above - value * below).std(ddof=1)) / math.sqrt(n) / float(below.mean())

    def limits(at: float) -> tuple[float, float]:
        return _fieller(above, below, _quantile(at, n - 1) ** 2 / n)

    low, high = limits(level)
    if math.isinf(low):
        return Estimate(value, math.nan, math.nan, level, n)
    return Estimate(value, low, high, level, n, error=error, limits=limits)


def _fieller(above: Floats, below: Floats, factor: float) -> tuple[float, float]:
    """The roots r of (ā − r·b̄)² = factor·var(a − r·b); NaN where they bound no interval."""
    (aa, ab), (_, bb) = np.cov(above, below)
    a, b = float(above.mean()), float(below.mean())
    square, linear, constant = b * b - factor * bb, a * b - factor * ab, a * a - factor * aa
    if square <= 0:
        return -math.inf, math.inf  # no bound at this level
    reach = math.sqrt(max(0.0, linear * linear - square * constant))
    return float((linear - reach) / square), float((linear + reach) / square)


def slope(x: ArrayLike, y: ArrayLike, *, level: float = LEVEL) -> Estimate:
    """The slope of the least-squares line through independent points, with Student's interval.

    Points of one seed are not independent of each other: fit a line per seed and take the `mean` of
    the slopes where a seed gives several points.

    Args:
        x: Shape (n,), at least two different values.
        y: Shape (n,).
        level: Confidence level.

    Returns:
        The estimate, with n − 2 degrees of freedom; without an interval if n = 2.

    Raises:
        InvalidValueError: If the shapes differ, or all x are equal.

    Example:
        >>> str(slope([0.0, 1.0, 2.0, 3.0], [1.0, 3.1, 4.9, 7.0]))
        '1.98 [1.797, 2.163]'
    """
    places, values = _sample("slope", x), _sample("slope", y)
    if len(places) != len(values) or len(set(places.tolist())) < 2:
        raise InvalidValueError(
            f"slope: x and y must have one length and x two different values, got {len(places)} and "
            f"{len(values)} values. Pass one x and one y for each point."
        )
    n, centred = len(places), places - places.mean()
    spread = float(centred @ centred)
    value = float(centred @ values) / spread
    residuals = values - values.mean() - value * centred
    error = math.sqrt(float(residuals @ residuals) / (n - 2) / spread) if n > 2 else math.nan
    return _student(value, error, n - 2, n, level, "points")


def proportion(successes: int, trials: int, *, level: float = LEVEL, unit: str = "runs") -> Estimate:
    """The share of successes in independent trials, with the exact interval of Clopper and Pearson.

    Args:
        successes: How many trials succeeded.
        trials: How many there were, at least 1.
        level: Confidence level.
        unit: What a trial is.

    Raises:
        InvalidValueError: If the counts are impossible.

    Example:
        >>> str(proportion(35, 35))
        '1 [0.9, 1]'
    """
    if not 0 <= successes <= trials or trials < 1:
        raise InvalidValueError(
            f"proportion: needs 0 ≤ successes ≤ trials and a trial, got {successes} of {trials}. "
            "Pass the counts of independent trials."
        )

    def limits(at: float) -> tuple[float, float]:
        return clopper_pearson(successes, trials, alpha=1 - at)

    low, high = limits(level)
    share = successes / trials
    return Estimate(share, low, high, level, trials, unit, math.sqrt(share * (1 - share) / trials), limits)


def _student(value: float, error: float, freedom: int, n: int, level: float, unit: str) -> Estimate:
    if freedom < 1:
        return Estimate(value, math.nan, math.nan, level, n, unit)

    def limits(at: float) -> tuple[float, float]:
        reach = _quantile(at, freedom) * error
        return value - reach, value + reach

    low, high = limits(level)
    return Estimate(value, low, high, level, n, unit, error, limits)


def _quantile(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, (1 - level) / 2))


def _sample(name: str, values: ArrayLike) -> Floats:
    sample = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(sample) or not np.isfinite(sample).all():
        given = f"{sample[~np.isfinite(sample)][0]}" if len(sample) else "none"
        raise InvalidValueError(f"{name}: needs finite values, at least one, got {given}. Check the rows.")
    return sample


def _pairs(
    name: str, first: Mapping[int, float] | ArrayLike, second: Mapping[int, float] | ArrayLike
) -> tuple[Floats, Floats]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        common = sorted(first.keys() & second.keys())
        if not common:
            raise InvalidValueError(f"{name}: the two samples have no seed in common. Run both with the same seeds.")
        return _sample(name, [first[seed] for seed in common]), _sample(name, [second[seed] for seed in common])
    one, other = _sample(name, first), _sample(name, second)  # pyright: ignore[reportArgumentType]
    if len(one) != len(other):
        raise InvalidValueError(
            f"{name}: the samples must be pairs, got {len(one)} and {len(other)} values. Pass them by seed."
        )
    return one, other


@dataclass(frozen=True)
class Comparison:
    """A part of a criterion: the true value lies above a bound, below another one, or between both.

    A margin is a bound: "not worse by 2.5 points" is `above=-2.5` for the difference, and
    "equivalent within 2.5 points" is `above=-2.5, below=2.5`.

    Args:
        name: What is compared, as it is printed.
        estimate: The measured value.
        above: The value must exceed this.
        below: The value must stay under this.

    Example:
        >>> better = Comparison("SNIP − random", mean([2.0, 2.5, 2.2]), above=0.0)
        >>> better.p_shown < 0.05, better.p_refuted
        (True, 1.0)
    """

    name: str
    estimate: Estimate
    above: float = -math.inf
    below: float = math.inf

    @property
    def p_shown(self) -> float:
        """Two-sided p-value of the statement's opposite: small if the interval lies within the bounds."""
        sides = [self.estimate.p_above(self.above)] if self.above > -math.inf else []
        sides += [self.estimate.p_below(self.below)] if self.below < math.inf else []
        return max(sides, default=1.0)

    @property
    def p_refuted(self) -> float:
        """Two-sided p-value of the statement: small if the interval lies beyond one of the bounds."""
        sides = [self.estimate.p_below(self.above)] if self.above > -math.inf else []
        sides += [self.estimate.p_above(self.below)] if self.below < math.inf else []
        return min(sides, default=1.0)

    def seeds_to_decide(self, level: float = LEVEL, power: float = POWER) -> int | None:
        """How many observations would decide it with the given power, if the value and its spread stay as they are.

        Args:
            level: Confidence level at which it is judged.
            power: Probability of a decision.

        Returns:
            A number above `estimate.n`, or None if there is no spread to go by, the value lies on a
            bound, or more than 10,000 would be needed.
        """
        estimate = self.estimate
        distance = min(abs(estimate.value - bound) for bound in (self.above, self.below))
        if not estimate.has_interval or not distance > 0 or math.isnan(estimate.error):
            return None
        spread, lost = estimate.error * math.sqrt(estimate.n), 2 if estimate.unit == "points" else 1

        def decides(n: int) -> bool:
            reach = _quantile(level, n - lost) + _quantile(2 * power - 1, n - lost)
            return reach * spread <= distance * math.sqrt(n)

        candidates = range(max(estimate.n, lost) + 1, MOST + 1)
        index = bisect_left(candidates, True, key=decides)  # more observations never decide less
        return candidates[index] if index < len(candidates) else None


@dataclass(frozen=True)
class Decision:
    """What the comparisons of a claim say together.

    Args:
        verdict: `holds`, `not reproduced` or `inconclusive`.
        shown: Names of the comparisons whose interval lies within their bounds.
        refuted: Names of those that are refuted after Holm's correction.
        undecided: Names of the others.
        sentence: Which are undecided or refuted and how many seeds would decide, for the scope of
            the verdict; empty if all are shown.
    """

    verdict: Verdict
    shown: tuple[str, ...]
    refuted: tuple[str, ...]
    undecided: tuple[str, ...]
    sentence: str


def decide(comparisons: Sequence[Comparison], *, level: float = LEVEL) -> Decision:
    """Judge a claim that says that all its comparisons are true, wrong with probability at most 1 − level.

    It holds if the interval of every comparison lies within its bounds. That needs no correction:
    if one of them is false, its own interval alone lets the claim pass with probability at most
    1 − level (intersection–union test; R. L. Berger, Technometrics 24, 1982). It is not reproduced
    if any comparison is refuted, which chance has many tries at, so those p-values are corrected
    by Holm's method over all comparisons (S. Holm, Scand. J. Statist. 6, 1979).

    Args:
        comparisons: The parts of the criterion.
        level: 1 − the error rate of the claim as a whole.

    Example:
        >>> decide([Comparison("a", mean([2.0, 2.5, 2.2]), above=0.0)]).verdict.value
        'holds'
        >>> decide([Comparison("a", mean([2.0]), above=0.0)]).sentence
        'undecided: a (one seed has no interval)'
    """
    rejected = holm([comparison.p_refuted for comparison in comparisons], level=level)
    refuted = tuple(c.name for c, wrong in zip(comparisons, rejected, strict=True) if wrong)
    passed = [not wrong and c.p_shown <= 1 - level for c, wrong in zip(comparisons, rejected, strict=True)]
    shown_names = tuple(c.name for c, good in zip(comparisons, passed, strict=True) if good)
    undecided = [c for c, wrong, good in zip(comparisons, rejected, passed, strict=True) if not wrong and not good]
    if refuted:
        verdict_reached = Verdict.NOT_REPRODUCED
    else:
        verdict_reached = Verdict.HOLDS if comparisons and not undecided else Verdict.INCONCLUSIVE
    parts = [f"refuted: {', '.join(refuted)}"] if refuted else []
    parts += [f"undecided: {', '.join(_undecided(c, level) for c in undecided)}"] if undecided else []
    names = tuple(comparison.name for comparison in undecided)
    return Decision(verdict_reached, shown_names, refuted, names, "; ".join(parts))


def _undecided(comparison: Comparison, level: float) -> str:
    estimate = comparison.estimate
    if not estimate.has_interval:
        one = "one seed has no interval" if (estimate.n, estimate.unit) == (1, "seeds") else estimate.interval_text
        return f"{comparison.name} ({one})"
    needed = comparison.seeds_to_decide(level)
    number = f"about {needed:,}" if needed else f"more than {MOST:,}"
    return f"{comparison.name} ({number} {estimate.unit} would decide)"


def conclude(
    comparisons: Sequence[Comparison],
    seeds: Iterable[int],
    scope: str,
    measured: Measured | None = None,
    table: Sequence[Row] = (),
) -> Outcome:
    """The outcome of a claim that says that all its comparisons are true, as `decide` judges it.

    Args:
        comparisons: The parts of the criterion.
        seeds: Of the rows, in any order.
        scope: On what the verdict was reached; what is refuted or undecided is added.
        measured: What is printed, with the estimates of the comparisons; by default these alone.
        table: Printed below.

    Example:
        >>> conclude([Comparison("a", mean([2.0, 2.5, 2.2]), above=0.0)], (0, 1, 2), "on digits").bounds
        {'a': (0.0, inf)}
    """
    decision = decide(comparisons)
    if measured is None:
        measured = {each.name: each.estimate for each in comparisons}
    judged = {id(each.estimate): (each.above, each.below) for each in comparisons}
    bounds = {name: judged[id(value)] for name, value in measured.items() if id(value) in judged}
    scope += f"; {decision.sentence}" if decision.sentence else ""
    return Outcome(decision.verdict, measured, tuple(sorted(set(seeds))), scope, list(table), bounds)


def holm(p_values: Sequence[float], *, level: float = LEVEL) -> list[bool]:
    """Which hypotheses are rejected such that any false rejection has probability at most 1 − level.

    Args:
        p_values: One per hypothesis, however they depend on each other.
        level: 1 − the family-wise error rate.

    Example:
        >>> holm([0.04, 0.01, 0.2])  # the least is held against 0.05/3, the next against 0.05/2
        [False, True, False]
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > (1 - level) / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def as_json(value: Any) -> Any:
    """A measured value for programs: estimates, also those inside lists and mappings, become JSON objects."""
    if isinstance(value, Estimate):
        return value.as_json()
    if isinstance(value, Mapping):
        return {str(name): as_json(part) for name, part in value.items()}
    return [as_json(part) for part in value] if isinstance(value, list | tuple) else value


def shown(value: Any) -> str:
    """A value as text.

    Example:
        >>> shown(mean([0.1, 0.2, 0.3])), shown(0.123456), shown(True), shown(1437), shown(None)
        ('0.2 [-0.04841, 0.4484]', '0.1235', 'yes', '1437', '–')
    """
    if isinstance(value, Estimate):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {shown(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(part) for part in value)
    return "–" if value is None else str(value)
