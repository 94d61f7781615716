"""PT4: is the number of pre-training iterations logarithmic in the dataset size, if the conditioning stays fixed?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row

from .growth import RULE, SYMBOLS, family_cells, growth_figures, judge_growth, measure_thresholds

STATEMENT = (
    r"The number of pre-training iterations beyond which the pruned network is good is logarithmic in the size of the "
    r"dataset, $t^*(m) = a + b \log m$, for data whose conditioning stays fixed as $m$ grows."
)
SOURCE = (
    "published: abstract of arXiv 2108.00259; the condition on the data is ours, and the sense in which it is proved "
    "is T3 in theory/theorems/pretraining/proof.md"
)
SUPPORTING = ("logarithm", "theorem")  # at fixed conditioning T3's shape is a logarithm too
CRITERION = RULE.format(supporting="the logarithm or the shape of T3, which is one at fixed conditioning, has")
SAYS_NOT = (
    "What happens beyond the sizes measured: over one decade of m an onset followed by slow growth also looks "
    "like a + b·log m with a negative a. Nor anything about data whose conditioning worsens as they grow: that is PT7."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every size, kind of labels, scaling and seed of the data of fixed conditioning."""
    return family_cells(scale, seeds, "conditioned")


def judge(rows: Sequence[Row]) -> Outcome:
    """How many series of the pruned network grow like a logarithm?"""
    return judge_growth(rows, SUPPORTING, "groups of eight examples of fixed conditioning")


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Thresholds against dataset size with the four fits."""
    return growth_figures(rows, "stays fixed as m grows")


PT4 = Claim(
    "PT4",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_thresholds,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
