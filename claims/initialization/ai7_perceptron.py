"""AI7: where does the claim about shuffling stop, and why?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale, fresh_seeds
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean

from .comparison import MARGIN, difference
from .measure import METHODS, VARIANTS, WITHIN, PerceptronRow, pruned
from .plots import BAND, LABELS, errorbar
from .setting import DENSITIES, DENSITY, PUBLICATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

NETWORK = "the perceptron 64–100–100–10 (17,400 prunable weights, 20 epochs) at 5 % density"

STATEMENT = (
    "Where the claim about shuffling stops: on a perceptron at low density shuffling costs accuracy, because the "
    "methods concentrate the weights on few units, and shuffling spreads them over units that the density cannot "
    "feed."
)
SOURCE = f"{PUBLICATION} (the claim); its limit is ours"
CRITERION = (
    f"On {NETWORK}: for SNIP, GraSP and SynFlow the 95 % interval of the paired mean of (shuffled − original) lies "
    f"below −{MARGIN} points, the margin within which AI3 calls shuffling harmless. Not reproduced if one lies above "
    "it after Holm's correction; else inconclusive. Shuffling within live units only and the number of live units are "
    "printed."
)
SAYS_NOT = "That it stops nowhere else: this is one perceptron on one data set."

JUDGED = ("snip", "grasp", "synflow")
SEEDS = {Scale.QUICK: 5, Scale.STANDARD: 10, Scale.FULL: 30}


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """All methods and variants of a seed in one cell."""
    count = SEEDS[scale] if seeds is None else seeds
    densities = (DENSITY,) if scale is Scale.QUICK else DENSITIES
    return [
        {"kind": "perceptrons", "data": digits_label(), "density": density, "seed": seed}
        for density in densities
        for seed in fresh_seeds(count)
    ]


def judge(rows: Sequence[Row]) -> Outcome:
    """Shuffled minus original: worse than the margin of AI3; within live units and live units are printed."""
    tried = [row for row in read_rows(PerceptronRow, rows) if row.density == DENSITY]
    shuffled, within = _deltas(tried, "shuffle"), _deltas(tried, WITHIN)
    comparisons = [Comparison(name, delta, below=-MARGIN) for name, delta in shuffled.items()]
    measured: dict[str, object] = {**shuffled, **within}
    for method in JUDGED:
        for variant in ("none", "shuffle"):
            if units := _live_units(tried, method, variant):
                measured[f"{method}, {variant}: live units of 100 in the first layer"] = mean(units)
    table: list[Row] = [
        {"method": method}
        | {v: round(mean([*_level(tried, method, v).values()]).value, 2) for v in VARIANTS if _level(tried, method, v)}
        for method in METHODS
    ]
    made = conclude(comparisons, (row.seed for row in tried), f"On {NETWORK}", measured, table)
    return replace(made, scope=f"{made.scope}.")


def _deltas(rows: Sequence[PerceptronRow], variant: str) -> dict[str, Estimate]:
    deltas = {m: difference(_level(rows, m, variant), _level(rows, m, "none")) for m in JUDGED}
    return {f"{method}: {variant} − original": delta for method, delta in deltas.items() if delta is not None}


def _level(rows: Sequence[PerceptronRow], method: str, variant: str) -> dict[int, float]:
    return {row.seed: 100 * row.accuracy for row in rows if (row.method, row.variant) == (method, variant)}


def _live_units(rows: Sequence[PerceptronRow], method: str, variant: str) -> list[float]:
    """Of the first layer, one number per seed."""
    return [float(next(iter(row.live.values()))) for row in rows if (row.method, row.variant) == (method, variant)]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy of the perceptron under each variant, beside the live units of its first layer."""
    tried = [row for row in read_rows(PerceptronRow, rows) if row.density == DENSITY]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 3.2)
        left, right = canvas.subplots(1, 2)
        for index, variant in enumerate(VARIANTS):
            positions = [position + 0.2 * (index - 1.5) for position in range(len(METHODS))]
            levels = [mean([*_level(tried, name, variant).values()]) for name in METHODS]
            errorbar(left, positions, levels, label=variant, marker="o", linestyle="")
            right.bar(positions, [mean(_live_units(tried, name, variant)).value for name in METHODS], width=0.2)
        for axes, label in ((left, "test accuracy, %"), (right, "live units of 100, first layer")):
            axes.set_xticks(range(len(METHODS)), [LABELS[name] for name in METHODS], fontsize="small")
            axes.set_ylabel(label)
        canvas.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")

    caption = f"Perceptron 64–100–100–10 at 5 %. Shuffling spreads the weights over units it cannot feed; {BAND}."
    return [Figure("Where the claim stops", caption, draw)]


AI7 = Claim(
    "AI7",
    STATEMENT,
    SOURCE,
    CRITERION,
    pruned,
    paper="initialization",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    origin=Origin.DERIVED,
)
