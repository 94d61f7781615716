"""AI2: does every method at initialisation stay below magnitude pruning after training?"""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate

from .comparison import by_density, conditions_of, difference, early, early_rows, late, late_rows, named, outcome
from .measure import METHODS, early_cells, late_cells, pruned
from .setting import PUBLICATION

STATEMENT = "Every method at initialisation stays below magnitude pruning after training."
SOURCE = PUBLICATION
CRITERION = (
    "At every density, for SNIP, GraSP, SynFlow and magnitude at initialisation: the 95 % interval of the paired mean "
    "difference in test accuracy (magnitude after training, retrained by the whole recipe) − (the method) lies above "
    "0. Not reproduced if a difference lies below 0 after Holm's correction over all of them; else inconclusive. The "
    "lottery ticket rewound to 5 % of training is printed."
)
SAYS_NOT = "That they differ at equal cost: pruning after training spends twice the training steps."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every method at initialisation, and magnitude after training."""
    methods = early_cells(scale, seeds, [(method, "none") for method in METHODS])
    return methods + late_cells(scale, seeds)


def judge(rows: Sequence[Row]) -> Outcome:
    """Magnitude after training minus each method, paired over seeds."""
    tried, after = early_rows(rows), late_rows(rows)
    levels = {
        at: {method: early(tried, at, method) for method in METHODS}
        | {variant: late(after, at, variant) for variant in ("after", "ticket", "dense")}
        for at in conditions_of(after)
    }
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    for condition, level in levels.items():
        for variant in ("after", "ticket"):
            for method in METHODS:
                delta = difference(level[variant], level[method])
                if delta is None:
                    continue
                name = named(condition, f"{variant} − {method}")
                printed[name] = delta
                if variant == "after":
                    comparisons.append(Comparison(name, delta, above=0.0))
    return outcome(comparisons, printed, after, by_density(levels))


AI2 = Claim(
    "AI2",
    STATEMENT,
    SOURCE,
    CRITERION,
    pruned,
    paper="initialization",
    grid=grid,
    judge=judge,
    says_not=SAYS_NOT,
)
