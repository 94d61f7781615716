"""A conformance suite for your own score, pruning method, kernel or bound: the laws that ours obey, run on yours.

Each `…_laws` function gives a tuple of `Law`s; calling one raises `LawBroken` or returns. With pytest:

    import pytest
    from pruneproof.testing import score_laws

    @pytest.mark.parametrize("law", score_laws(my_score), ids=str)
    def test_my_score(law):
        law()

The laws are themselves tested: for each there is an implementation that breaks it, and it alone, and is refused.

`hulls`, `half_rows`, `tangent_networks` and `network_pairs` are Hypothesis strategies for the objects of the theorems
(`strategies`); they are imported when they are first used, since they need the package `hypothesis`.
"""

import importlib
from typing import TYPE_CHECKING

from .bounds import bound_laws
from .kernels import kernel_laws
from .law import Law, LawBroken
from .methods import method_laws
from .sample_models import Sample, samples
from .scores import score_laws

if TYPE_CHECKING:
    from .strategies import half_rows, hulls, network_pairs, tangent_networks

_STRATEGIES = ("half_rows", "hulls", "network_pairs", "tangent_networks")
__all__ = [
    "Law",
    "LawBroken",
    "Sample",
    "bound_laws",
    "half_rows",
    "hulls",
    "kernel_laws",
    "method_laws",
    "network_pairs",
    "samples",
    "score_laws",
    "tangent_networks",
]


def __getattr__(name: str) -> object:
    """A strategy, imported when it is first used."""
    if name in _STRATEGIES:
        return getattr(importlib.import_module(f"{__name__}.strategies"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
