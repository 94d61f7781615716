"""Greedy selection converges: G1–G3 and the margin of the hull."""

from .statement import (
    G1,
    G1_HARMONIC,
    G2,
    G3,
    MARGIN,
    MARGIN_TARGET,
)

__all__ = ["G1", "G1_HARMONIC", "G2", "G3", "MARGIN", "MARGIN_TARGET"]
