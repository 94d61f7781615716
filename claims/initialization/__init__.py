"""Pruning at initialisation (Frankle, Dziugaite, Roy, Carbin 2021): eight claims.

Each claim is one module, found by its id (`ai3_shuffle` holds AI3). `setting` has the networks, data and recipes,
`measure` what is computed, `comparison` and `plots` what several claims judge and draw in the same way.
"""

from pruneproof.claims.claim import Paper

from .advice import ADVICE, DEVIATIONS
from .ai1_random_pruning import AI1
from .ai2_after_training import AI2
from .ai3_shuffle import AI3
from .ai4_reinitialize import AI4
from .ai5_invert import AI5
from .ai6_lottery_tickets import AI6
from .ai7_perceptron import AI7
from .ai8_later_pruning import AI8

PAPER = Paper(
    "initialization",
    "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?",
    "Jonathan Frankle, Gintare Karolina Dziugaite, Daniel M. Roy, Michael Carbin",
    2021,
    "2009.08576",
    ADVICE,
    DEVIATIONS,
)
CLAIMS = (AI1, AI2, AI3, AI4, AI5, AI6, AI7, AI8)

__all__ = ["CLAIMS", "PAPER"]
