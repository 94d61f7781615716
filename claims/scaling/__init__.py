"""On the predictability of pruning across scales (Rosenfeld, Frankle, Carbin, Shavit, ICML 2021): eight claims.

Each claim is one module, found by its id (`sl2_fit` holds SL2). `setting` has the tasks and the networks, `measure` the
pruning paths that all claims but SL1 share, `smallest` what SL4 and SL6 compare, `curves` what SL5 and SL8 do.
"""

from pruneproof.claims.claim import Paper

from .advice import ADVICE, DEVIATIONS
from .sl1_algebra import SL1
from .sl2_fit import SL2
from .sl3_extrapolation import SL3
from .sl4_smallest_network import SL4
from .sl5_competing_curves import SL5
from .sl6_named_network import SL6
from .sl7_dataset_size import SL7
from .sl8_log_hill import SL8

PAPER = Paper(
    key="scaling",
    title="On the predictability of pruning across scales",
    authors="Rosenfeld, Frankle, Carbin, Shavit",
    year=2021,
    arxiv="2006.10621",
    advice=ADVICE,
    deviations=DEVIATIONS,
)

CLAIMS = (SL1, SL2, SL3, SL4, SL5, SL6, SL7, SL8)

__all__ = ["CLAIMS", "PAPER"]
