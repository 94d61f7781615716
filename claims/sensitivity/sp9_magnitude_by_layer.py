"""SP9: without retraining, does pruning informed by data beat magnitude pruning at one density per layer?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome
from pruneproof.claims.engine.cell import Row

from .measure import RULE, error_figures, judge_methods, measure_methods, method_cells
from .setting import PUBLICATION

STATEMENT = (
    "At equal budget and without retraining, pruning informed by data beats magnitude pruning at one density per layer."
)
SOURCE = f"derived here from {PUBLICATION}, which compares data-informed with data-free pruning"
CRITERION = RULE.format(methods="magnitude by layer")
SAYS_NOT = "Anything about accuracy after fine-tuning, where such differences are known to fade."

OTHERS = ("magnitude by layer",)


def judge(rows: Sequence[Row]) -> Outcome:
    """`sipp best` against these methods."""
    return judge_methods(rows, OTHERS)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The differences from these methods."""
    return error_figures(rows, OTHERS)


SP9 = Claim(
    "SP9",
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
