"""A conformance suite for your own score, pruning method, kernel or bound: the laws that ours obey, run on yours.

Each `…_laws` function gives a tuple of `Law`s; calling one raises `LawBroken` or returns. With pytest:

    import pytest
    from pruneproof.testing import score_laws

    @pytest.mark.parametrize("law", score_laws(my_score), ids=str)
    def test_my_score(law):
        law()

The laws are themselves tested: for each there is an implementation that breaks it, and it alone, and is refused.
"""

from .bounds import bound_laws as bound_laws
from .kernels import kernel_laws as kernel_laws
from .law import Law as Law
from .law import LawBroken as LawBroken
from .methods import method_laws as method_laws
from .samples import Sample as Sample
from .samples import samples as samples
from .scores import score_laws as score_laws
