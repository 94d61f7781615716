"""The laws of a bound: its hypotheses hold on the instances, it holds there, and its negative control does not."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from pruneproof.theory.theorems.bound import Bound

from .law import Law

Instance = Mapping[str, float]

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda measured, limit: measured <= limit,
    ">=": lambda measured, limit: measured >= limit,
    "==": lambda measured, limit: measured == limit,
}


def bound_laws(
    bound: Bound,
    measured: Callable[[Instance], float],
    instances: Iterable[Instance],
    control: Callable[[Instance], float],
) -> tuple[Law, ...]:
    """The laws that a proved bound must obey, to be called one by one.

    Args:
        bound: The statement; its value is rounded so that rounding cannot make it fail.
        measured: The quantity that it bounds, for one instance. If computed in floating point,
            round it against the bound by a derived error, so that a violation is one.
        instances: Values of the bound's symbols; the quantity must be measurable at each.
        control: A negative control: a bound that is false, for example with a constant tightened.
            An instance must refute it, or else the instances could not have refuted a wrong bound
            either.

    Returns:
        The laws `assumptions`, `bound` and `control`.

    Example:
        >>> import sympy
        >>> n = sympy.symbols("n", positive=True)
        >>> harmonic = Bound("H", "H_n <= 1 + log n", "calculus", "derived", {n: "terms"}, (), 1 + sympy.log(n), "<=")
        >>> def partial_sum(instance):
        ...     return sum(1 / i for i in range(1, instance["n"] + 1))
        >>> for law in bound_laws(harmonic, partial_sum, [{"n": 2}, {"n": 9}], lambda instance: 0.5 * instance["n"]):
        ...     law()
    """
    cases = tuple(instances)
    return (
        Law("assumptions", "no assumption fails on an instance", partial(_assumptions, bound, cases)),
        Law("bound", f"{bound.statement}, on every instance", partial(_bound, bound, measured, cases)),
        Law("control", "an instance refutes the negative control", partial(_control, bound, measured, cases, control)),
    )


def _assumptions(bound: Bound, instances: tuple[Instance, ...]) -> str | None:
    if not instances:
        return "there are no instances"
    for instance in instances:
        failed = [assumption.text for assumption, holds in bound.check(**instance) if holds is False]
        if failed:
            return f"{dict(instance)}: {'; '.join(failed)}"
    return None


def _bound(bound: Bound, measured: Callable[[Instance], float], instances: tuple[Instance, ...]) -> str | None:
    for instance in instances:
        value, limit = measured(instance), bound.bound(**instance, assume=True)  # hypotheses are another law's matter
        if not _HOLDS[bound.sense](value, limit):
            return f"{dict(instance)}: measured {value!r}, the bound is {limit!r}"
    return None


def _control(
    bound: Bound,
    measured: Callable[[Instance], float],
    instances: tuple[Instance, ...],
    control: Callable[[Instance], float],
) -> str | None:
    if any(not _HOLDS[bound.sense](measured(instance), control(instance)) for instance in instances):
        return None
    return f"all {len(instances)} instances agree with it, so that they test nothing"
