"""SP10: without retraining, does pruning informed by data beat magnitude pruning over all weights?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome
from pruneproof.claims.engine.cell import Row

from .measure import RULE, error_figures, judge_methods, measure_methods, method_cells
from .setting import PUBLICATION

STATEMENT = "At equal budget and without retraining, pruning informed by data beats magnitude pruning over all weights."
SOURCE = f"derived here from {PUBLICATION}, which compares data-informed with data-free pruning"
CRITERION = RULE.format(methods="magnitude over all weights")
SAYS_NOT = "Anything about accuracy after fine-tuning, where such differences are known to fade."

OTHERS = ("magnitude",)


def judge(rows: Sequence[Row]) -> Outcome:
    """`sipp best` against these methods."""
    return judge_methods(rows, OTHERS)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The differences from these methods."""
    return error_figures(rows, OTHERS)


SP10 = Claim(
    "SP10",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_methods,
    paper="sensitivity",
    grid=method_cells,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    origin=Origin.DERIVED,
)
