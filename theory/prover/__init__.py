"""Inequalities proved on boxes, with certificates: `prove(inequality, box)` gives a `Proof`.

The steps of our own proofs are checked by the same rules, and by sympy and z3 (`verdicts`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .search import Proof, prove

__all__ = ["Proof", "prove"]


def __getattr__(name: str) -> object:
    """`prove` and `Proof`, imported when they are first used: listing steps of proofs needs no prover."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.search"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
