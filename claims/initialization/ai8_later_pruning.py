"""AI8: does magnitude pruning improve when it happens later in training?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate, decide, mean

from .comparison import difference, early, early_rows, named, outcome
from .measure import EarlyRow, early_cells, pruned
from .plots import BAND, COLOURS, LABELS, errorbar
from .setting import DENSITY, PUBLICATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "Magnitude pruning improves when it happens later in training."
SOURCE = PUBLICATION
CRITERION = (
    "At 5 % density, pruned after 100 steps of training against pruned at once, each trained by the whole recipe "
    "after pruning: for magnitude the 95 % interval of the paired mean difference in test accuracy lies above 0. Not "
    "reproduced if it lies below 0; else inconclusive. Earlier steps, SNIP and SynFlow are printed. Settled after runs "
    "with other seeds (docs/pilots.md)."
)
SAYS_NOT = (
    "That pruning later is better at equal cost: a network pruned at step 100 has been trained for 100 steps more. Nor "
    "anything about SNIP and SynFlow, which are printed."
)

METHODS = ("magnitude", "snip", "synflow")
LAST = 100  # of the 200 steps of the recipe
STEPS = {Scale.QUICK: (LAST,), Scale.STANDARD: (10, 25, 50, LAST), Scale.FULL: (10, 25, 50, 75, LAST, 150)}
CONDITION = ("cnn", DENSITY)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Pruning at once, and after some steps of training with the whole recipe again."""
    early = early_cells(scale, seeds, [(method, "none") for method in METHODS], everywhere=False)
    at_once = [cell for cell in early if cell["network"] == "cnn"]
    return at_once + [{**cell, "at": at, "restart": True} for at in STEPS[scale] for cell in at_once]


def judge(rows: Sequence[Row]) -> Outcome:
    """Pruned at a step minus pruned at once, paired over seeds."""
    tried = early_rows(rows)
    printed, comparisons = dict[str, Estimate](), list[Comparison]()
    for method in METHODS:
        for at in _steps(tried)[1:]:
            delta = difference(_level(tried, method, at), _level(tried, method, 0))
            if delta is None:
                continue
            name = named(CONDITION, f"{method}: step {at} − step 0")
            printed[name] = delta
            if (method, at) == ("magnitude", LAST):
                comparisons.append(Comparison(name, delta, above=0.0))
    table: list[Row] = [
        {"method": method, "step": at, "accuracy, %": mean([*values.values()])}
        for method in METHODS
        for at in _steps(tried)
        if (values := _level(tried, method, at))
    ]
    return outcome(decide(comparisons), printed, tried, table)


def _steps(rows: Sequence[EarlyRow]) -> list[int]:
    return sorted({row.at for row in rows})


def _level(rows: Sequence[EarlyRow], method: str, at: int) -> dict[int, float]:
    return early(rows, CONDITION, method, at=at, restart=True if at else None)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy against the step at which the network is pruned."""
    tried = early_rows(rows)

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for name in METHODS:
            levels = [mean([*_level(tried, name, at).values()]) for at in _steps(tried)]
            errorbar(axes, _steps(tried), levels, label=LABELS[name], marker="o", color=COLOURS[name])
        axes.set_xlabel("step at which the network is pruned")
        axes.set_ylabel("test accuracy, %")
        axes.legend()

    caption = f"Digits CNN at 5 %, the whole recipe of 200 steps after pruning. {BAND.capitalize()}."
    return [Figure("Pruning later", caption, draw)]


AI8 = Claim(
    "AI8",
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
