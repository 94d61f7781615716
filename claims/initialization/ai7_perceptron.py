"""AI7: where the claim about shuffling stops, a perceptron at 5 % density, and why."""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Outcome
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import SeedMean, accuracies, below, difference, estimate, verdict

from .figures import live_units
from .grid import DENSITY, perceptron_cells, pruned
from .methods import SOURCE
from .perceptrons import VARIANTS, WITHIN
from .variants import METHODS

BROKEN = ("snip", "grasp", "synflow")
MARGIN = 2.5  # points, the margin of AI3
NETWORK = "the perceptron 64–100–100–10 (17,400 prunable weights, 20 epochs) at 5 % density"


def judge_scope(rows: Sequence[Row]) -> Outcome:
    """Shuffled minus original: worse than the margin of AI3; within live units and live units are printed."""
    deltas = {method: _delta(rows, method, "shuffle") for method in BROKEN}
    within = {method: _delta(rows, method, WITHIN) for method in BROKEN}
    tests = [below(delta, -MARGIN) for delta in deltas.values()]
    measured: dict[str, object] = {f"{m}: shuffle − original": delta.interval for m, delta in deltas.items()}
    measured |= {f"{m}: {WITHIN} − original": delta.interval for m, delta in within.items()}
    for method in BROKEN:
        for variant in ("none", "shuffle"):
            if units := _first_layer(rows, method, variant):
                mean = round(sum(units) / len(units), 1)
                measured[f"{method}, {variant}: live units of 100 in the first layer"] = mean
    table = [
        {"method": method} | {variant: estimate(_level(rows, method, variant)).interval[0] for variant in VARIANTS}
        for method in METHODS
    ]
    return Outcome(verdict(tests), measured, deltas["snip"].seeds, f"On {NETWORK}.", table)


def _level(rows: Sequence[Row], method: str, variant: str) -> dict[int, float]:
    return accuracies(rows, kind="perceptrons", density=DENSITY, method=method, variant=variant)


def _delta(rows: Sequence[Row], method: str, variant: str) -> SeedMean:
    return difference(_level(rows, method, variant), _level(rows, method, "none"))


def _first_layer(rows: Sequence[Row], method: str, variant: str) -> list[int]:
    chosen = [r for r in rows if (r["density"], r["method"], r["variant"]) == (DENSITY, method, variant)]
    return [next(iter(row["live"].values())) for row in chosen]


AI7 = Claim(
    "AI7",
    "Where the claim about shuffling stops: on a perceptron at low density shuffling costs accuracy, because the "
    "methods concentrate the weights on few units, and shuffling spreads them over units that the density cannot "
    "feed.",
    f"{SOURCE} (the claim); its limit is ours",
    f"On {NETWORK}: for SNIP, GraSP and SynFlow the one-sided 95 % upper bound of the paired mean of (shuffled − "
    f"original) lies below −{MARGIN} points, the margin within which AI3 calls shuffling harmless. Shuffling within "
    "live units only and the number of live units are printed.",
    pruned,
    paper="initialization",
    grid=perceptron_cells,
    judge=judge_scope,
    figures=lambda rows: [live_units(rows)],
    says_not="That it stops nowhere else: these are two networks and one data set.",
)
