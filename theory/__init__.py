"""Statements: symbolic bounds, certified evaluation, machine-checked proof steps, statistics of tests.

Sub-packages, loaded when they are first named: `theorems` (bounds with the steps of their proofs),
`prover` (inequalities), `arithmetic` (exact evaluation), `scaling` (the scaling law fitted to
measurements), `statistics` (exact tests, calibration, double descent).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ == "theory":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.theory; `import theory` from the checkout means another package (try `python -P`)"
    )

if TYPE_CHECKING:
    from . import arithmetic, prover, scaling, statistics, theorems
    from .theorems.bound import Assumption, Bound
    from .theorems.catalogue import bounds

_PACKAGES = ("arithmetic", "prover", "scaling", "statistics", "theorems")
_HOMES = {"Assumption": "theorems.bound", "Bound": "theorems.bound", "bounds": "theorems.catalogue"}
__all__ = ["Assumption", "Bound", "arithmetic", "bounds", "prover", "scaling", "statistics", "theorems"]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:  # loaded when first named: fast primitives import `statistics` and need no sympy, no flint
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
