"""Schedules: the densities through which iterative pruning passes on its way to the last one.

With n steps and final density d, after step k = 1 … n:

* `one_shot`: d at once (n = 1);
* `linear`: 1 − (1 − d)·k/n;
* `exponential`: d^(k/n), the same factor at every step (SynFlow's);
* `cubic`: d + (1 − d)·(1 − k/n)³, much at first and little at the end (Zhu & Gupta 2018).
"""

from pruneproof.checks import require_fraction, require_integer


def one_shot(density: float) -> tuple[float, ...]:
    """Prune to the final density in one step.

    Args:
        density: The final kept fraction, in (0, 1].

    Returns:
        The densities, the last of them `density`.

    Raises:
        InvalidTypeError: An argument is no number.
        InvalidValueError: The density lies outside (0, 1].

    Example:
        >>> one_shot(0.1)
        (0.1,)
    """
    _check("one_shot", density, 1)
    return (density,)


def linear(density: float, steps: int) -> tuple[float, ...]:
    """Remove the same number of weights at every step.

    Args:
        density: The final kept fraction, in (0, 1].
        steps: The number of densities, at least 1; the last is `density`.

    Returns:
        The densities, the last of them `density`.

    Raises:
        InvalidTypeError: An argument is no number.
        InvalidValueError: The density lies outside (0, 1], or there is no step.

    Example:
        >>> linear(0.5, 2)
        (0.75, 0.5)
    """
    _check("linear", density, steps)
    return (*(1 - (1 - density) * k / steps for k in range(1, steps)), density)


def exponential(density: float, steps: int) -> tuple[float, ...]:
    """Keep the same fraction of what is left at every step; SynFlow's schedule, with 100 steps.

    Args:
        density: The final kept fraction, in (0, 1].
        steps: The number of densities, at least 1; the last is `density`.

    Returns:
        The densities, the last of them `density`.

    Raises:
        InvalidTypeError: An argument is no number.
        InvalidValueError: The density lies outside (0, 1], or there is no step.

    Example:
        >>> exponential(0.25, 2)
        (0.5, 0.25)
    """
    _check("exponential", density, steps)
    return (*(density ** (k / steps) for k in range(1, steps)), density)


def cubic(density: float, steps: int) -> tuple[float, ...]:
    """Remove many weights at first and few at the end (Zhu & Gupta 2018).

    Args:
        density: The final kept fraction, in (0, 1].
        steps: The number of densities, at least 1; the last is `density`.

    Returns:
        The densities, the last of them `density`.

    Raises:
        InvalidTypeError: An argument is no number.
        InvalidValueError: The density lies outside (0, 1], or there is no step.

    Example:
        >>> cubic(0.2, 2)
        (0.30000000000000004, 0.2)
    """
    _check("cubic", density, steps)
    return (*(density + (1 - density) * (1 - k / steps) ** 3 for k in range(1, steps)), density)


def _check(where: str, density: float, steps: int) -> None:
    require_fraction(where, "the density", density, one=True)
    require_integer(where, "steps", steps)
