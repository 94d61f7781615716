"""The list of all statements: the `Bound` constants of the modules named here."""

from functools import cache
from importlib import import_module

from .bound import Bound

STATEMENTS = (
    "greedy",
    "pretraining",
    "scaling_law",
    "sensitivity",
    "network",
)  # a module of statements is added here by name


@cache
def bounds() -> tuple[Bound, ...]:
    """Every `Bound` of the package, in the order of the modules and of their definition.

    >>> [bound.name for bound in bounds()][:3]
    ['G1', 'G1-harmonic', 'G2']
    """
    modules = [import_module(f"{__package__}.{name}") for name in STATEMENTS]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Bound))
