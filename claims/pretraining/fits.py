"""Three explanations of how a threshold t* grows with the dataset, fitted to the same points and compared.

 logarithm  t* = a + b·log m      power  t* = a·m^p      condition  t* = a·κ(m), κ the measured condition number

Thresholds are positive and span orders of magnitude, so residuals are those of log t*. With n points, v fitted
parameters and residual sum of squares S, AIC = n·log(S/n) + 2(v + 1). Intervals are Student's, from the Jacobian.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]

MODELS = ("logarithm", "power", "condition")
EXACT = 1e-12  # mean squared residual that counts as exact


@dataclass(frozen=True)
class Fit:
    """One explanation fitted: each parameter as [estimate, low, high] at 95 %, and the information criterion."""

    model: str
    parameters: dict[str, list[float]]
    aic: float
    predict: Callable[[Floats, Floats], Floats]


def fit_all(m: Sequence[float], kappa: Sequence[float], threshold: Sequence[float]) -> dict[str, Fit]:
    """Fit the three explanations.

    **Arguments**

    - `m`, `kappa`, `threshold`: one entry per run: dataset size, condition number, measured threshold, above 0
    iterations.

    Example:
        >>> sizes = [10.0, 20.0, 40.0, 80.0, 160.0]
        >>> fits = fit_all(sizes, [2 * m for m in sizes], [3 * np.log(m) for m in sizes])
        >>> min(fits, key=lambda name: fits[name].aic), round(fits["logarithm"].parameters["b"][0], 6)
        ('logarithm', 3.0)
    """
    sizes, conditions, times = (np.asarray(values, dtype=np.float64) for values in (m, kappa, threshold))
    slope, offset = np.polyfit(np.log(sizes), np.log(times), 1)
    ratio = float(np.mean(np.log(times) - np.log(conditions)))
    return {
        "logarithm": _logarithm(sizes, times),
        "power": _fit("power", {"log a": offset, "p": slope}, _power, sizes, conditions, times),
        "condition": _fit("condition", {"log a": ratio}, _condition, sizes, conditions, times),
    }


def _power(parameters: Floats, m: Floats, kappa: Floats) -> Floats:
    return np.exp(parameters[0] + parameters[1] * np.log(m))


def _condition(parameters: Floats, m: Floats, kappa: Floats) -> Floats:
    return np.exp(parameters[0]) * kappa


def _logarithm(m: Floats, times: Floats) -> Fit:
    """t* = a + b·log m, positive on the fitted sizes: its logarithms at both ends are the free parameters."""
    low, high = np.log(m.min()), np.log(m.max())
    share = (np.log(m) - low) / (high - low)

    def residuals(ends: Floats) -> Floats:
        return np.log(np.exp(ends[0]) * (1 - share) + np.exp(ends[1]) * share) - np.log(times)

    starts = [[np.log(times[m == size].mean()) - shift for size in (m.min(), m.max())] for shift in (0.0, 2.0)]
    found = min((optimize.least_squares(residuals, start) for start in starts), key=lambda one: one.cost)
    first, last = np.exp(found.x)
    b = (last - first) / (high - low)
    best = np.array([first - b * low, b])
    fitted = best[0] + best[1] * np.log(m)
    jacobian = np.stack([1 / fitted, np.log(m) / fitted], 1)
    return _summary("logarithm", ("a", "b"), best, np.asarray(found.fun), jacobian, lambda m, kappa: _line(best, m))


def _line(parameters: Floats, m: Floats) -> Floats:
    return parameters[0] + parameters[1] * np.log(m)


def _fit(
    name: str,
    start: dict[str, float],
    model: Callable[[Floats, Floats, Floats], Floats],
    m: Floats,
    kappa: Floats,
    times: Floats,
) -> Fit:
    """A model that is linear in its parameters once logarithms are taken: `start` is already the least-squares fit."""
    best = np.array(list(start.values()))
    residuals = np.log(model(best, m, kappa)) - np.log(times)
    jacobian = np.stack([np.ones_like(m), np.log(m)], 1)[:, : len(best)]
    return _summary(name, tuple(start), best, residuals, jacobian, lambda m, kappa: model(best, m, kappa))


def _summary(
    name: str,
    names: tuple[str, ...],
    best: Floats,
    residuals: Floats,
    jacobian: Floats,
    predict: Callable[[Floats, Floats], Floats],
) -> Fit:
    squares, points = float(np.sum(residuals**2)), len(residuals)
    parameters = {
        label: [float(value), float(value - half), float(value + half)]
        for label, value, half in zip(names, best, _half_widths(jacobian, squares, points), strict=True)
    }
    aic = points * np.log(max(squares / points, EXACT)) + 2 * (len(best) + 1)
    return Fit(name, parameters, float(aic), predict)


def _half_widths(jacobian: Floats, squares: float, points: int) -> Floats:
    freedom = points - jacobian.shape[1]
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * squares / max(freedom, 1)
    return np.sqrt(np.diag(covariance)) * float(stats.t.ppf(0.975, max(freedom, 1)))
