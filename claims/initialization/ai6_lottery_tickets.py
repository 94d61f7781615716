"""AI6: does shuffling or re-initialising cost accuracy, if the masks were found after training?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate

from .comparison import by_density, conditions_of, difference, late, late_rows, named, outcome
from .measure import late_cells, pruned
from .setting import DENSITY, PUBLICATION

STATEMENT = "Masks found after training are different: shuffling or re-initialising them costs accuracy."
SOURCE = PUBLICATION
CRITERION = (
    "For lottery tickets rewound to 5 % of training, at 5 % density, for every network: the 95 % intervals of the "
    "paired mean differences in test accuracy (shuffled − original) and (re-initialised − original) both lie below 0. "
    "Not reproduced if one of them lies above 0 after Holm's correction; else inconclusive. The other densities are "
    "printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = "That it costs accuracy at every density, or for tickets found by several rounds of pruning."
VARIANTS = ("ticket", "ticket shuffle", "ticket reinitialize")


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Lottery tickets and their ablations."""
    return late_cells(scale, seeds)


def judge(rows: Sequence[Row]) -> Outcome:
    """Ablated minus original tickets, paired over seeds."""
    tried = late_rows(rows)
    levels = {at: {variant: late(tried, at, variant) for variant in VARIANTS} for at in conditions_of(tried)}
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    for condition, level in levels.items():
        for variant in VARIANTS[1:]:
            delta = difference(level[variant], level["ticket"])
            if delta is None:
                continue
            name = named(condition, f"{variant} − original")
            printed[name] = delta
            if condition[1] == DENSITY:
                comparisons.append(Comparison(name, delta, below=0.0))
    return outcome(comparisons, printed, tried, by_density(levels), note="judged at 5 %")


AI6 = Claim(
    "AI6",
    STATEMENT,
    SOURCE,
    CRITERION,
    pruned,
    paper="initialization",
    grid=grid,
    judge=judge,
    says_not=SAYS_NOT,
)
