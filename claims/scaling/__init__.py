"""Rosenfeld, Frankle, Carbin, Shavit (ICML 2021): the error of pruned networks is predictable across scales."""

from pruneproof.claims.claim import Paper

from .algebra import ALGEBRA
from .choice import CHOICE, SMALLEST
from .quality import EXTRAPOLATE, FIT

PAPER = Paper(
    key="scaling",
    title="On the predictability of pruning across scales",
    authors="Rosenfeld, Frankle, Carbin, Shavit",
    year=2021,
    arxiv="2006.10621",
)

CLAIMS = (ALGEBRA, FIT, EXTRAPOLATE, SMALLEST, CHOICE)

__all__ = ["ALGEBRA", "CHOICE", "EXTRAPOLATE", "FIT", "SMALLEST", "Paper"]
