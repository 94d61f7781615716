"""AI1, AI2 and AI8: methods at initialisation against random pruning, against pruning after training, and later."""

from collections.abc import Sequence

from pruneproof.claims.claim import Claim, Outcome
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import SeedMean, above, accuracies, below, difference, estimate, verdict

from .figures import curves, densities_by_layer, later_curve
from .grid import DENSITY, LATER_METHODS, after_cells, later_cells, method_cells, pruned
from .tables import accuracy_table
from .variants import CONTROLS, METHODS

NETWORK = "the digits CNN (conv16–conv32–conv32, 14,288 prunable weights, 20 epochs) at 5 % density"
SOURCE = "Frankle, Dziugaite, Roy, Carbin 2021, Pruning Neural Networks at Initialization: Why Are We Missing the Mark?"
EQUIVALENCE = 2.5  # points


def judge_against_random(rows: Sequence[Row]) -> Outcome:
    """AI1: each method minus each of two random controls, paired."""
    levels = {name: _early(rows, name) for name in (*METHODS, *CONTROLS)}
    deltas = {
        f"{method} − {control}": difference(levels[method], levels[control])
        for method in METHODS
        for control in ("random", "random uniform")
    }
    printed = {f"{method} − random ERK": difference(levels[method], levels["random ERK"]) for method in METHODS}
    tests = [above(delta, 0.0) for delta in deltas.values()]
    return _outcome(tests, deltas, accuracy_table(rows, ("none",)), printed)


def judge_against_after(rows: Sequence[Row]) -> Outcome:
    """AI2: magnitude after training minus each method, paired."""
    late = {name: _late(rows, name) for name in ("after", "ticket", "dense")}
    levels = {name: _early(rows, name) for name in METHODS} | late
    deltas = {f"after − {method}": difference(late["after"], levels[method]) for method in METHODS}
    printed = {f"ticket − {method}": difference(late["ticket"], levels[method]) for method in METHODS}
    table = [_level(name, estimate(values)) for name, values in levels.items()]
    return _outcome([above(delta, 0.0) for delta in deltas.values()], deltas, table, printed)


def judge_later(rows: Sequence[Row]) -> Outcome:
    """AI8: pruning after 100 of 200 steps minus pruning at once, paired; magnitude gains, the others do not move."""
    deltas = {
        f"{method}: step 100 − step 0": difference(_early(rows, method, at=100), _early(rows, method))
        for method in LATER_METHODS
    }
    restarted = {
        f"{method}: step 100, whole recipe again − step 0": difference(
            _early(rows, method, at=100, restart=True), _early(rows, method)
        )
        for method in LATER_METHODS
    }
    gain, *others = deltas.values()
    tests = [above(gain, 0.0), *(_equivalent(delta) for delta in others)]
    steps = sorted({int(row["at"]) for row in rows})
    table = [
        _level(f"{method}, step {at}", estimate(_early(rows, method, at=at)))
        for method in LATER_METHODS
        for at in steps
    ]
    return _outcome(tests, deltas, table, restarted)


def _equivalent(delta: SeedMean) -> bool | None:
    """Both one-sided tests within ± 2.5 points; refuted if the interval lies outside on one side."""
    sides = above(delta, -EQUIVALENCE), below(delta, EQUIVALENCE)
    return False if False in sides else True if all(sides) else None


def _early(rows: Sequence[Row], method: str, *, at: int = 0, restart: bool | None = None) -> dict[int, float]:
    place = {"network": "cnn", "density": DENSITY, "at": at, "restart": restart}
    return accuracies(rows, kind="early", method=method, ablation="none", **place)


def _late(rows: Sequence[Row], variant: str) -> dict[int, float]:
    return accuracies(rows, kind="late", network="cnn", density=DENSITY, variant=variant)


def _level(name: str, level: SeedMean) -> Row:
    mean, low, high = level.interval
    return {"variant": name, "accuracy, %": mean, "low": low, "high": high, "seeds": len(level.seeds)}


def _outcome(
    tests: Sequence[bool | None], deltas: dict[str, SeedMean], table: list[Row], printed: dict[str, SeedMean]
) -> Outcome:
    seeds = sorted({seed for delta in deltas.values() for seed in delta.seeds})
    unresolved = [delta.detectable for delta, test in zip(deltas.values(), tests, strict=True) if test is None]
    power = f"; undecided at {len(seeds)} seeds: differences below {max(unresolved):.1f} points" if unresolved else ""
    measured = {name: delta.interval for name, delta in {**deltas, **printed}.items()}
    return Outcome(verdict(tests), measured, tuple(seeds), f"On {NETWORK}{power}.", table)


AI1 = Claim(
    "AI1",
    "At the same density, every method that prunes at initialisation beats random pruning.",
    SOURCE,
    f"On {NETWORK}: for SNIP, GraSP, SynFlow and magnitude, the one-sided 95 % lower bound of the paired mean "
    "difference in test accuracy exceeds 0 against random pruning over all weights and against random pruning at "
    "one density per layer. The difference from random pruning at Erdős–Rényi-kernel densities is printed, not "
    "asserted.",
    pruned,
    paper="initialization",
    grid=method_cells,
    judge=judge_against_random,
    figures=lambda rows: [curves(rows, "none"), densities_by_layer(rows)],
    says_not="That a method beats a random mask with well-chosen layer densities: see the ERK rows.",
)
AI2 = Claim(
    "AI2",
    "Every method at initialisation stays below magnitude pruning after training.",
    SOURCE,
    f"On {NETWORK}: for SNIP, GraSP, SynFlow and magnitude at initialisation, the one-sided 95 % lower bound of the "
    "paired mean of (magnitude after training, retrained by the whole recipe) − (the method) exceeds 0. The lottery "
    "ticket rewound to step 10 is printed.",
    pruned,
    paper="initialization",
    grid=after_cells,
    judge=judge_against_after,
    says_not="Pruning after training spends twice the training steps.",
)
AI8 = Claim(
    "AI8",
    "Magnitude pruning improves when it happens later in training; SNIP and SynFlow show no such trend.",
    SOURCE,
    f"On {NETWORK}, pruned after 100 of 200 steps against pruned at once, trained for 200 steps in all: for "
    "magnitude the one-sided 95 % lower bound of the paired mean difference exceeds 0; for SNIP and SynFlow both "
    f"one-sided 95 % bounds lie within ± {EQUIVALENCE} points.",
    pruned,
    paper="initialization",
    grid=later_cells,
    judge=judge_later,
    figures=lambda rows: [later_curve(rows)],
    says_not="That pruning later hurts: a network pruned at step 100 has only the recipe's lower learning rates "
    "left to recover with. The same network trained by the whole recipe again is printed beside it.",
)
