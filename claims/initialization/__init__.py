"""Pruning at initialisation (Frankle, Dziugaite, Roy, Carbin 2021): eight claims on real digits.

In the paper's order: `settings` and `networks` (where), `variants` (methods, controls, inversions), `measure` and
`perceptrons` (one cell), `grid` (which cells), `methods`, `ablations` and `scope` (the claims), `pairs` (the
statistics), `tables` and `figures` (what is shown).
"""

from pruneproof.claims.claim import Paper

from .ablations import AI3, AI4, AI5, AI6
from .methods import AI1, AI2, AI8
from .scope import AI7

PAPER = Paper(
    "initialization",
    "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?",
    "Jonathan Frankle, Gintare Karolina Dziugaite, Daniel M. Roy, Michael Carbin",
    2021,
    "2009.08576",
)
CLAIMS = (AI1, AI2, AI3, AI4, AI5, AI6, AI7, AI8)

__all__ = ["AI1", "AI2", "AI3", "AI4", "AI5", "AI6", "AI7", "AI8", "Paper"]
