"""AI1: does every method that prunes at initialisation beat random pruning at the same density?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.estimates import Comparison, Estimate

from .comparison import accuracy_table, conditions_of, difference, early, early_rows, named, outcome
from .measure import CONTROLS, METHODS, early_cells, pruned
from .plots import COLOURS, LABELS, STYLES, accuracy_curves
from .setting import DENSITY, PUBLICATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "At the same density, every method that prunes at initialisation beats random pruning."
SOURCE = PUBLICATION
CRITERION = (
    "At every density, for SNIP, GraSP, SynFlow and magnitude: the 95 % interval of the paired mean difference in test "
    "accuracy lies above 0 against random pruning over all weights and against random pruning at one density per "
    "layer. Not reproduced if a difference lies below 0 after Holm's correction over all of them; else inconclusive. "
    "The difference from random pruning at Erdős–Rényi-kernel densities is printed, not judged."
)
PRINTED = "random ERK"
SAYS_NOT = "That a method beats a random mask with well-chosen layer densities: see the ERK rows."


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Every method and every random control, as published; at quick without the control that is not judged."""
    tried = [name for name in (*METHODS, *CONTROLS) if scale is not Scale.QUICK or name != PRINTED]
    return early_cells(scale, seeds, [(name, "none") for name in tried])


def judge(rows: Sequence[Row]) -> Outcome:
    """Each method minus each random control, paired over seeds."""
    tried = early_rows(rows)
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    for condition in conditions_of(tried):
        for method in METHODS:
            for control in CONTROLS:
                delta = difference(early(tried, condition, method), early(tried, condition, control))
                if delta is None:
                    continue
                name = named(condition, f"{method} − {control}")
                printed[name] = delta
                if control != PRINTED:
                    comparisons.append(Comparison(name, delta, above=0.0))
    return outcome(comparisons, printed, tried, accuracy_table(tried, ("none",)))


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy against density; the fraction kept in each layer, per method."""
    tried = [row for row in early_rows(rows) if (row.network, row.density) == ("cnn", DENSITY)]
    names = [name for name in (*METHODS, "random uniform", "random ERK") if any(row.method == name for row in tried)]

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for index, name in enumerate(names):
            chosen = [row.layers for row in tried if row.method == name]
            shares = [sum(layers[key] for layers in chosen) / len(chosen) for key in chosen[0]]
            positions = [layer + 0.8 * (index - len(names) / 2) / len(names) for layer in range(len(shares))]
            hatch = "//" if STYLES.get(name) == ":" else None
            label = LABELS.get(name, name)
            axes.bar(positions, shares, width=0.8 / len(names), label=label, color=COLOURS[name], hatch=hatch)
        axes.set_xticks(range(4), ["conv16", "conv32", "conv32", "linear"])
        axes.set_yscale("log")
        axes.set_ylabel("density of the layer")
        axes.legend(fontsize="x-small", ncols=2)

    caption = "Mean fraction kept in each layer of the digits CNN at 5 % overall; hatched: random pruning, uniform."
    return [*accuracy_curves(rows, "none"), Figure("Layer densities", caption, draw)]


AI1 = Claim(
    "AI1",
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
