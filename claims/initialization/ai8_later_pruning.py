"""AI8: does magnitude pruning improve when it happens later in training?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate, mean

from .comparison import conditions_of, difference, early, early_rows, named, outcome
from .measure import EarlyRow, early_cells, pruned
from .plots import BAND, COLOURS, LABELS, errorbar
from .setting import PUBLICATION, SETTINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "Magnitude pruning improves when it happens later in training."
SOURCE = PUBLICATION
CRITERION = (
    "At 5 % density, for every network, pruned after half the steps of training against pruned at once, each trained "
    "by the whole recipe after pruning: for magnitude the 95 % interval of the paired mean difference in test accuracy "
    "lies above 0. Not reproduced if one lies below 0 after Holm's correction; else inconclusive. Earlier steps, SNIP "
    "and SynFlow are printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = (
    "That pruning later is better at equal cost: a network pruned after half the steps has been trained for as many "
    "more. Nor anything about SNIP and SynFlow, which are measured and not judged."
)

JUDGED = "magnitude"
METHODS = (JUDGED, "snip", "synflow")
SHARES = {Scale.QUICK: (), Scale.STANDARD: (0.1, 0.25, 0.5), Scale.FULL: (0.1, 0.25, 0.5, 0.75)}  # of half the steps


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Pruning at once and after half the steps, the digits CNN also at steps between, with the whole recipe again.

    At quick only what is judged.
    """
    methods = (JUDGED,) if scale is Scale.QUICK else METHODS
    at_once = early_cells(scale, seeds, [(method, "none") for method in methods], everywhere=False)
    later = [(cell, SETTINGS[cell["network"]].half) for cell in at_once]
    steps = [(cell, round(half * share)) for cell, half in later for share in SHARES[scale] if cell["network"] == "cnn"]
    return at_once + [{**cell, "at": at, "restart": True} for cell, at in steps + later]


def judge(rows: Sequence[Row]) -> Outcome:
    """Pruned at a step minus pruned at once, paired over seeds."""
    tried = early_rows(rows)
    printed, comparisons, table = dict[str, Estimate](), list[Comparison](), list[Row]()
    for condition in conditions_of(tried):
        for method in METHODS:
            for at in _steps(tried, condition):
                level = _level(tried, condition, method, at)
                if not level:
                    continue
                table.append(
                    {"network": condition[0], "method": method, "step": at, "accuracy, %": mean([*level.values()])}
                )
                delta = difference(level, _level(tried, condition, method, 0)) if at else None
                if delta is None:
                    continue
                name = named(condition, f"{method}: step {at} − step 0")
                printed[name] = delta
                if (method, at) == (JUDGED, SETTINGS[condition[0]].half):
                    comparisons.append(Comparison(name, delta, above=0.0))
    return outcome(comparisons, printed, tried, table)


def _steps(rows: Sequence[EarlyRow], condition: tuple[str, float]) -> list[int]:
    return sorted({row.at for row in rows if (row.network, row.density) == condition})


def _level(rows: Sequence[EarlyRow], condition: tuple[str, float], method: str, at: int) -> dict[int, float]:
    return early(rows, condition, method, at=at, restart=True if at else None)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy against the step at which the network is pruned."""
    tried = early_rows(rows)

    def draw(canvas: "Canvas") -> None:
        conditions = conditions_of(tried)
        canvas.set_size_inches(4.2 * max(1.5, len(conditions)), 3.6)
        for axes, condition in zip(canvas.subplots(1, len(conditions), squeeze=False)[0], conditions, strict=True):
            for name in METHODS:
                reached = {at: _level(tried, condition, name, at) for at in _steps(tried, condition)}
                levels = {at: mean([*level.values()]) for at, level in reached.items() if level}
                if levels:
                    color = COLOURS[name]
                    errorbar(axes, list(levels), [*levels.values()], label=LABELS[name], marker="o", color=color)
            axes.set_title(condition[0], fontsize="small")
            axes.set_xlabel("step at which the network is pruned")
            axes.set_ylabel("test accuracy, %")
            axes.legend()

    caption = f"At 5 % density, the whole recipe after pruning. {BAND.capitalize()}."
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
