"""Contenders that take turns, and the interval of the ratio of their times.

A machine's speed drifts, so times of two programs are comparable only if both were taken side by
side: in every round each contender runs once, in an order that turns around from round to round.
What is reported is the median of the rounds' ratios with the interval of the sign test: it covers
the true median whatever the distribution of the times, if rounds are independent.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

LEVEL = 0.95  # of an interval, where there are rounds enough for it
LEAST, MOST = 6, 400  # rounds: six are the fewest whose extremes cover a median with 95 %

Figures = dict[str, float]  # such as {"seconds": 0.1}, or also "megabytes"


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Args:
        call: What is timed. If it returns figures by name, they are taken instead of its time.
        before: Runs before each call and is not timed.
    """

    call: Callable[[], object]
    before: Callable[[], object] | None = None

    def measured(self) -> Figures:
        """The figures of one call."""
        if self.before is not None:
            self.before()
        start = time.perf_counter()
        result = self.call()
        seconds = time.perf_counter() - start
        return result if isinstance(result, dict) else {"seconds": seconds}


@dataclass(frozen=True)
class Ratio:
    """The median of a ratio over rounds, with the limits of its interval and their coverage."""

    value: float
    low: float
    high: float
    level: float
    rounds: int

    @classmethod
    def of(cls, rounds: list[float]) -> "Ratio":
        """The median of one ratio per round.

        Example:
            >>> Ratio.of([1.0, 2.0, 4.0, 3.0, 6.0, 5.0])
            Ratio(value=3.5, low=1.0, high=6.0, level=0.96875, rounds=6)
        """
        ordered, n = sorted(rounds), len(rounds)
        outside, missed = 0, 2 * 0.5**n  # how many values lie beyond each limit, and how often it misses
        while outside + 1 < n / 2 and missed + 2 * math.comb(n, outside + 1) * 0.5**n <= 1 - LEVEL:
            outside += 1
            missed += 2 * math.comb(n, outside) * 0.5**n
        return cls(median(rounds), ordered[outside], ordered[n - 1 - outside], 1 - missed, n)


def interleaved(contenders: Mapping[str, Contender], seconds: float) -> dict[str, list[Figures]]:
    """Measure contenders in turn for so many seconds, after one round of warm-up.

    Args:
        contenders: Name → contender.
        seconds: How long; at least six rounds are made whatever they take, and at most 400.

    Returns:
        Name → the figures of each round.

    Example:
        >>> found = interleaved({"one": Contender(lambda: {"bytes": 4.0})}, 0)
        >>> found["one"][0], len(found["one"])
        ({'bytes': 4.0}, 6)
    """
    rounds: dict[str, list[Figures]] = {name: [] for name in contenders}
    order, start, count = list(contenders), time.monotonic(), -1
    while count < LEAST or (count < MOST and time.monotonic() - start < seconds):
        figures = {name: contenders[name].measured() for name in order}
        if count >= 0:
            for name in contenders:
                rounds[name].append(figures[name])
        order.reverse()
        count += 1
    return rounds
