"""PT7: is the number of pre-training iterations logarithmic in the dataset size, if conditioning worsens with it?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row

from .growth import RULE, SYMBOLS, family_cells, growth_figures, judge_growth, measure_thresholds

STATEMENT = (
    r"The number of pre-training iterations beyond which the pruned network is good is logarithmic in the size of the "
    r"dataset, $t^*(m) = a + b \log m$, also for generic data, whose conditioning worsens as $m$ grows."
)
SOURCE = (
    "published: abstract of arXiv 2108.00259, which sets no condition on the data; T3 in "
    "theory/theorems/pretraining/proof.md would have the threshold grow with the conditioning as well"
)
SUPPORTING = ("logarithm",)
CRITERION = RULE.format(supporting="the logarithm has")
SAYS_NOT = (
    "What happens beyond the sizes measured: over one decade of m an onset followed by slow growth also looks "
    "like a + b·log m with a negative a; the dense network's own time follows the conditioning, not log m."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every size, kind of labels, scaling and seed of the generic data."""
    return family_cells(scale, seeds, "generic")


def judge(rows: Sequence[Row]) -> Outcome:
    """How many series of the pruned network grow like a logarithm?"""
    return judge_growth(rows, SUPPORTING, "random directions in R^40")


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Thresholds against dataset size with the four fits."""
    return growth_figures(rows, "worsens as m grows")


PT7 = Claim(
    "PT7",
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
