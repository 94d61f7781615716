"""Exact tests of "this fails with probability at most δ", with a stated false-alarm rate α.

Sound ways to hold a probabilistic guarantee against F failures in N independent draws (`assert F/N <= δ` is not one:
at the boundary it raises a false alarm in almost every second run):

* fixed N: the exact binomial test, `falsified` iff P(Bin(N, δ) ≥ F) ≤ α, and the Clopper–Pearson interval
  (C. Clopper, E. Pearson, Biometrika 26, 1934);
* any stopping time: an e-process, a mixture of likelihood ratios that exceeds 1/α with probability at most α
  (Ville's inequality).

The binomial tail is evaluated by the incomplete beta function of scipy in double precision; its relative error of
about 1e-13 moves α by as little.
"""

from dataclasses import dataclass
from math import exp, log
from numbers import Integral

from scipy.special import betainc, betaincc, betainccinv, betaincinv, betaln

from pruneproof.checks import require_fraction
from pruneproof.errors import InvalidValueError, described

ALPHA = 1e-9


def clopper_pearson(failures: int, trials: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The exact two-sided interval for a probability: each end is wrong with probability at most α/2.

    Args:
        failures: How many failed.
        trials: Of how many independent draws.
        alpha: The total error probability.

    Returns:
        The lower and the upper end.

    Raises:
        InvalidValueError: For counts that cannot be, or an α outside (0, 1).

    Example:
        >>> [round(end, 4) for end in clopper_pearson(0, 10, alpha=0.05)]
        [0.0, 0.3085]
    """
    _counts("clopper_pearson", failures, trials)
    _probability("clopper_pearson", "alpha", alpha)
    return _lower(failures, trials, alpha / 2), _upper(failures, trials, alpha / 2)


def tail(failures: int, trials: int, delta: float) -> float:
    """The exact binomial tail P(Bin(trials, delta) ≥ failures).

    Args:
        failures: Where the tail begins.
        trials: The number of draws.
        delta: The probability of one failure, in [0, 1].

    Returns:
        The probability.

    Raises:
        InvalidValueError: For counts that cannot be, or a delta outside [0, 1].

    Example:
        >>> tail(1, 2, 0.5)
        0.75
    """
    _counts("tail", failures, trials)
    if delta not in (0, 1):
        _probability("tail", "delta", delta)
    return 1.0 if failures == 0 else float(betainc(failures, trials - failures + 1, delta))


def falsified(failures: int, trials: int, delta: float, alpha: float = ALPHA) -> bool:
    """Is "fails with probability at most δ" refuted? True iff P(Bin(N, δ) ≥ F) ≤ α.

    Args:
        failures: F.
        trials: N.
        delta: δ, the guaranteed failure probability.
        alpha: α, the false-alarm rate.

    Returns:
        If the guarantee holds, True with probability at most α, also when the draws were chosen
        depending on earlier tests.

    Raises:
        InvalidValueError: For counts that cannot be, or a probability outside (0, 1).

    Example:
        >>> falsified(96, 1000, 0.05), falsified(97, 1000, 0.05)
        (False, True)
    """
    _counts("falsified", failures, trials)
    _probability("falsified", "delta", delta)
    _probability("falsified", "alpha", alpha)
    return tail(failures, trials, delta) <= alpha


def certified(failures: int, trials: int, delta: float, alpha: float = ALPHA) -> bool:
    """Is "fails with probability at most δ" established? True iff the one-sided upper confidence limit is ≤ δ.

    Args:
        failures: How many failed.
        trials: Of how many independent draws.
        delta: δ, the failure probability to be established.
        alpha: α, the error probability.

    Returns:
        If the true probability exceeds δ, True with probability at most α.

    Raises:
        InvalidValueError: For counts that cannot be, or a probability outside (0, 1).

    Example:
        >>> certified(0, 404, 0.05), certified(0, 405, 0.05)
        (False, True)
    """
    _counts("certified", failures, trials)
    _probability("certified", "delta", delta)
    _probability("certified", "alpha", alpha)
    return _upper(failures, trials, alpha) <= delta


def _lower(failures: int, trials: int, alpha: float) -> float:
    return 0.0 if failures == 0 else float(betaincinv(failures, trials - failures + 1, alpha))


def _upper(failures: int, trials: int, alpha: float) -> float:
    return 1.0 if failures == trials else float(betainccinv(failures + 1, trials - failures, alpha))


@dataclass
class EProcess:
    """A running test of "fails with probability at most δ" that may be looked at after every draw.

    The wealth is the likelihood ratio against δ of a Beta(1, 1) prior cut to (δ, 1]. Under the guarantee it is at most
    a supermartingale started at 1, so it ever reaches 1/α with probability at most α, whatever the stopping rule.

    Args:
        delta: δ, the guaranteed failure probability.
        alpha: α, the false-alarm rate.
        failures: How many draws have failed so far.
        trials: How many there were so far.

    Example:
        >>> watch = EProcess(delta=0.05, alpha=1e-9)
        >>> watch.update(failures=30, trials=100).falsified
        True
    """

    delta: float
    alpha: float = ALPHA
    failures: int = 0
    trials: int = 0

    def __post_init__(self) -> None:
        _probability("EProcess", "delta", self.delta)
        _probability("EProcess", "alpha", self.alpha)
        _counts("EProcess", self.failures, self.trials, fewest=0)

    def update(self, failures: int, trials: int = 1) -> "EProcess":
        """Add the outcome of further draws.

        Args:
            failures: How many of them failed.
            trials: How many there were.

        Returns:
            The process itself.

        Raises:
            InvalidValueError: For counts that cannot be.
        """
        _counts("EProcess.update", failures, trials, fewest=0)
        self.failures += failures
        self.trials += trials
        return self

    @property
    def log_wealth(self) -> float:
        """log of ∫_δ^1 (p/δ)^F ((1-p)/(1-δ))^(N-F) dp/(1-δ)."""
        failures, successes = self.failures, self.trials - self.failures
        mass = float(betaincc(failures + 1, successes + 1, self.delta))
        if mass == 0:
            return -float("inf")
        whole = float(betaln(failures + 1, successes + 1)) + log(mass)
        return whole - failures * log(self.delta) - (successes + 1) * log(1 - self.delta)

    @property
    def wealth(self) -> float:
        """The e-value: evidence against the guarantee, at least 1/α for a rejection."""
        return exp(min(self.log_wealth, 700.0))

    @property
    def falsified(self) -> bool:
        """Whether the guarantee is refuted at level α."""
        return self.log_wealth >= -log(self.alpha)


def _counts(where: str, failures: int, trials: int, *, fewest: int = 1) -> None:
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in (failures, trials))
    if not whole or trials < fewest or not 0 <= failures <= trials:
        raise InvalidValueError(
            f"{where}: counts must be whole numbers with 0 <= failures <= trials and trials >= {fewest}, got "
            f"failures={described(failures)}, trials={described(trials)}. Pass numbers of draws, not shares."
        )


def _probability(where: str, name: str, value: float) -> None:
    require_fraction(where, name, value)
