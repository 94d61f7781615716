"""Paired differences over seeds: mean with a one-sided 95 % limit on either side (Student's t)."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> list[float]:
    """[mean, lower, upper], each limit one-sided at 95 %; infinite limits for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return [mean, -1e300, 1e300]
    reach = float(stats.t.ppf(CONFIDENCE, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return [mean, mean - reach, mean + reach]


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """The interval of first − second over their common seeds."""
    return interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
