"""AI4: does re-initialising the weights under the mask preserve accuracy?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row

from .comparison import CONTROL, MARGIN, judge_preserved
from .measure import ablation_cells, pruned
from .plots import accuracy_curves
from .setting import PUBLICATION

STATEMENT = (
    "Re-initialising the weights under the mask preserves or improves accuracy: what matters is the fraction kept in "
    "each layer."
)
SOURCE = PUBLICATION
CRITERION = (
    "At every density, for SNIP, SynFlow, magnitude and GraSP-abs: the 95 % interval of the paired mean of (ablated − "
    f"original) lies above −{MARGIN} points (the margin is ours), and, so that the test could have failed, the same "
    f"methods beat random pruning at 5 % density by at least {CONTROL:.0f} points, judged in the same way. Not "
    f"reproduced if a difference lies below −{MARGIN} points after Holm's correction over all of them; else "
    "inconclusive. GraSP proper is printed."
)
SAYS_NOT = "That it holds for perceptrons: AI7 shows where it stops."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """The methods as published and re-initialised, and random pruning."""
    return ablation_cells(scale, seeds, "reinitialize")


def judge(rows: Sequence[Row]) -> Outcome:
    """Re-initialised minus original, not worse by the margin."""
    return judge_preserved(rows, "reinitialize")


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy against density, as published and re-initialised."""
    return accuracy_curves(rows, "reinitialize")


AI4 = Claim(
    "AI4",
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
