"""Statements: symbolic bounds, certified evaluation, proof obligations, statistics of tests.

The modules of the package (`greedy`, `pretraining`, `sensitivity`, `network`, `scaling_law`, `calibration`,
`double_descent`, `statistics`, `certify`, `obligations`) are loaded when they are first named.
"""

from importlib import import_module
from types import ModuleType

if __name__ == "theory":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.theory; `import theory` from the checkout means another package (try `python -P`)"
    )

from .bound import Assumption as Assumption
from .bound import Bound as Bound
from .catalogue import bounds as bounds

_MODULES = (
    "calibration",
    "certify",
    "double_descent",
    "greedy",
    "network",
    "obligations",
    "pretraining",
    "scaling_law",
    "sensitivity",
    "statistics",
)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
