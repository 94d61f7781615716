"""The theorems: bounds as data, the steps of their proofs, what rests on what.

One package per theorem or family: `greedy` (G1–G3), `pretraining` (P1, T1–T3), `sensitivity`
(S1–S6), `network` (N1–N4), `scaling_law`, `mixtures`.
"""

from .bound import Assumption, Bound
from .catalogue import bounds, obligations, trust

__all__ = ["Assumption", "Bound", "bounds", "obligations", "trust"]
