"""Pruning with proofs: `kernels` (operations), `theory` (statements), `prune` (primitives), `claims` (papers);
`testing` (the laws that scores, methods, kernels and bounds must pass).

Importing this package loads nothing but itself; a sub-package is loaded when it is first named.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ._version import __version__
from .errors import PruneproofError

if TYPE_CHECKING:
    from . import claims, kernels, prune, testing, theory

__all__ = ["PruneproofError", "__version__", "claims", "kernels", "prune", "testing", "theory"]
_SUBPACKAGES = ("claims", "kernels", "prune", "testing", "theory")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
