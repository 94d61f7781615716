"""Paired differences between variants that share seeds, with Student's intervals, in points of test accuracy.

Two variants of a seed share initial weights, scoring batch and data order, so their difference is taken seed by seed.
Each bound is one-sided at 95 %: `low` is exceeded by the true mean difference with that confidence, `high` undercuts
it.

Paired differences over seeds: mean with a one-sided 95 % limit on either side (Student's t).

A measured value as people and programs read it: four significant digits, intervals in brackets, no NaN in JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from scipy import stats

from pruneproof.claims.engine.cell import Row

from .claim import Verdict

CONFIDENCE, POWER = 0.95, 0.8


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Arguments:
        mean: in points of accuracy (per cent).
        low: one-sided 95 % lower bound of the true mean.
        high: one-sided 95 % upper bound.
        error: standard error; infinite with fewer than two seeds.
        seeds: over which the mean was taken.
    """

    mean: float
    low: float
    high: float
    error: float
    seeds: tuple[int, ...]

    @property
    def interval(self) -> list[float]:
        """[mean, low, high], rounded to hundredths of a point."""
        return [round(value, 2) for value in (self.mean, self.low, self.high)]

    @property
    def detectable(self) -> float:
        """The smallest true difference that a one-sided test at 5 % would find with 80 % power at this error."""
        from scipy.stats import t

        freedom = len(self.seeds) - 1
        return float(t.ppf(CONFIDENCE, freedom) + t.ppf(POWER, freedom)) * self.error if freedom > 0 else inf


def estimate(values: Mapping[int, float]) -> Estimate:
    """The mean of values by seed, with its bounds.

    Example:
        >>> estimate({0: 1.0, 1: 2.0, 2: 3.0}).interval
        [2.0, 0.31, 3.69]
    """
    from scipy.stats import t

    seeds, sample = tuple(sorted(values)), np.array([values[seed] for seed in sorted(values)])
    if len(seeds) < 2:
        mean = float(sample.mean()) if len(seeds) else float("nan")
        return Estimate(mean, -inf, inf, inf, seeds)
    error = float(sample.std(ddof=1) / np.sqrt(len(seeds)))
    reach = float(t.ppf(CONFIDENCE, len(seeds) - 1)) * error
    return Estimate(float(sample.mean()), float(sample.mean()) - reach, float(sample.mean()) + reach, error, seeds)


def accuracies(rows: Sequence[Row], **parameters: Any) -> dict[int, float]:
    """Seed → accuracy in per cent of the rows that have these parameters."""
    chosen = [row for row in rows if all(row.get(name) == value for name, value in parameters.items())]
    return {int(row["seed"]): 100 * float(row["accuracy"]) for row in chosen}


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate:
    """first − second over the seeds that both have."""
    return estimate({seed: first[seed] - second[seed] for seed in first.keys() & second.keys()})


def verdict(tests: Sequence[bool | None]) -> Verdict:
    """`holds` if every test is passed, `not reproduced` if one is refuted (False), `inconclusive` otherwise (None).

    Example:
        >>> verdict([True, None]).value, verdict([True, False]).value
        ('inconclusive', 'not reproduced at this scale')
    """
    if any(test is False for test in tests):
        return Verdict.NOT_REPRODUCED
    return Verdict.HOLDS if tests and all(tests) else Verdict.INCONCLUSIVE


def above(estimated: Estimate, bound: float) -> bool | None:
    """True if the whole interval lies above a bound, False if it lies below, None if it holds the bound."""
    return True if estimated.low > bound else False if estimated.high < bound else None


def below(estimated: Estimate, bound: float) -> bool | None:
    """True if the whole interval lies below a bound, False if it lies above, None if it holds the bound."""
    return True if estimated.high < bound else False if estimated.low > bound else None


T_CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> list[float]:
    """[mean, lower, upper], each limit one-sided at 95 %; infinite limits for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return [mean, -1e300, 1e300]
    reach = float(stats.t.ppf(T_CONFIDENCE, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return [mean, mean - reach, mean + reach]


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """The interval of first − second over their common seeds."""
    return interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])


def is_interval(value: object) -> bool:
    """Whether a value is `[estimate, low, high]`."""
    return isinstance(value, list | tuple) and len(value) == 3 and all(_is_number(part) for part in value)


def shown(value: Any) -> str:
    """A value as text.

    Example:
        >>> shown(0.123456), shown([1.0, 0.5, 1.5]), shown(True), shown(1437), shown(None)
        ('0.1235', '1 [0.5, 1.5]', 'yes', '1437', '–')
    """
    if is_interval(value):
        estimate, low, high = (shown(part) for part in value)
        return f"{estimate} [{low}, {high}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {shown(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(part) for part in value)
    return "–" if value is None else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
