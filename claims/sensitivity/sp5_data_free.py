"""SP5: without retraining, does pruning informed by data beat data-free row sampling at equal budget?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Outcome
from pruneproof.claims.engine.cell import Row

from .measure import RULE, error_figures, judge_methods, measure_methods, method_cells
from .setting import PUBLICATION

STATEMENT = "At equal budget and without retraining, pruning informed by data beats data-free row sampling."
SOURCE = PUBLICATION
CRITERION = RULE.format(methods="row sampling (uniform, ℓ1, ℓ2, reweighted)")
SAYS_NOT = "Anything about accuracy after fine-tuning, where such differences are known to fade."

OTHERS = ("uniform", "l1 rows", "l2 rows")


def judge(rows: Sequence[Row]) -> Outcome:
    """`sipp best` against these methods."""
    return judge_methods(rows, OTHERS)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The differences from these methods."""
    return error_figures(rows, OTHERS)


SP5 = Claim(
    "SP5",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure_methods,
    paper="sensitivity",
    grid=method_cells,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
