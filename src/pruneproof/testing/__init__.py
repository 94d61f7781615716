"""A conformance suite for your own score, pruning method, kernel or bound: the laws that ours obey, run on yours.

Each `…_laws` function gives a tuple of `Law`s; calling one raises `LawBroken` or returns. With pytest:

    import pytest
    from pruneproof.testing import score_laws

    @pytest.mark.parametrize("law", score_laws(my_score), ids=str)
    def test_my_score(law):
        law()

The laws are themselves tested: for each there is an implementation that breaks it, and it alone, and is refused.
"""

from .bounds import bound_laws
from .kernels import kernel_laws
from .law import Law, LawBroken
from .methods import method_laws
from .sample_models import Sample, samples
from .scores import score_laws

__all__ = ["Law", "LawBroken", "Sample", "bound_laws", "kernel_laws", "method_laws", "samples", "score_laws"]


def __dir__() -> list[str]:
    return __all__
