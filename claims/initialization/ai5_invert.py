"""AI5: does inverting the scores destroy accuracy?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate

from .comparison import accuracy_table, conditions_of, difference, early, early_rows, named, outcome
from .measure import ABLATED, ablation_cells, pruned
from .plots import accuracy_curves
from .setting import PUBLICATION

STATEMENT = "Inverting the scores destroys accuracy: the scores do carry information about layers."
SOURCE = PUBLICATION
CRITERION = (
    "At every density, for SNIP, SynFlow, magnitude and GraSP-abs: the 95 % interval of the paired mean difference in "
    "test accuracy (inverted scores) − (random pruning over all weights) lies below 0: worse than no information at "
    "all (the comparison is ours). Not reproduced if a difference lies above 0 after Holm's correction over all of "
    "them; else inconclusive. GraSP proper is printed."
)
SAYS_NOT = "That the scores tell which weights within a layer to keep: AI3 and AI4 are about that."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """The methods as published and inverted, and random pruning."""
    return ablation_cells(scale, seeds, "invert")


def judge(rows: Sequence[Row]) -> Outcome:
    """Inverted scores against random pruning, paired over seeds."""
    tried = early_rows(rows)
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    for condition in conditions_of(tried):
        for method in (*ABLATED, "grasp"):
            delta = difference(early(tried, condition, method, "invert"), early(tried, condition, "random"))
            if delta is None:
                continue
            name = named(condition, f"{method} inverted − random")
            printed[name] = delta
            if method != "grasp":
                comparisons.append(Comparison(name, delta, below=0.0))
    return outcome(comparisons, printed, tried, accuracy_table(tried, ("none", "invert")))


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy against density, as published and inverted."""
    return accuracy_curves(rows, "invert")


AI5 = Claim(
    "AI5",
    STATEMENT,
    SOURCE,
    CRITERION,
    pruned,
    paper="initialization",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
