"""Lottery tickets (Arora et al., UAI 2023) and sparse double descent (He et al., ICML 2022) under label noise.

Each claim is one module, found by its id (`ln1_double_descent` holds LN1). `setting` has the noisy tasks and the
networks, `measure` the pruning paths that all claims share, `plots` what their pictures share.
"""

from pruneproof.claims.claim import Paper

from .advice import ADVICE, DEVIATIONS
from .ln1_double_descent import LN1
from .ln2_final_size import LN2
from .ln3_difficulty import LN3
from .ln4_posterior import LN4
from .ln5_calibration import LN5
from .ln6_learning_distance import LN6

PAPER = Paper(
    key="label_noise",
    title="Quantifying lottery tickets under label noise: accuracy, calibration, and complexity",
    authors="Arora, Irto, Goldt, Sanguinetti; the double descent after He, Xie, Zhu, Qin (ICML 2022)",
    year=2023,
    arxiv="2306.12190",
    advice=ADVICE,
    deviations=DEVIATIONS,
)

CLAIMS = (LN1, LN2, LN3, LN4, LN5, LN6)

__all__ = ["CLAIMS", "PAPER"]
