"""SP2: from the sample to the population, by a conformal C and by Clopper–Pearson, over resampled data."""

import copy
from collections.abc import Sequence

import torch

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.kernels import sensitivities
from pruneproof.prune import Masks, certify_population, select
from pruneproof.prune.scores import magnitude
from pruneproof.prune.sensitivity.population import ratios, stretch
from pruneproof.theory.statistics.exact_tests import falsified

from .settings import ALPHA, SOURCE, count, hidden, images, trained

BETA, CONFIDENCE_ERROR = 0.1, 0.1
HELD_OUT = 99
ROWS = 16  # rows of the layer, to bound the time


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Independent repetitions in a few cells."""
    repeats = count(scale, 250, 1000, 5000)
    return [
        {"kind": kind, "repeats": repeats, "seed": seed, "network": "mlp"}
        for kind in ("conformal", "clopper-pearson")
        for seed in range(seeds or count(scale, 4, 4, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.population:measure")
def measure(cell: Cell) -> list[Row]:
    """Resample, apply the rule, look whether the truth is covered."""
    return [_conformal(cell) if cell["kind"] == "conformal" else _clopper_pearson(cell)]


def _conformal(cell: Cell) -> Row:
    """S, V and a new x without replacement from all images: V and x are exchangeable given S."""
    split = images()
    weight, points = hidden(cell["network"], 0, 1, torch.cat([split.train_x, split.test_x]))
    weight = weight[:ROWS]
    generator = torch.Generator().manual_seed(1000 + cell["seed"])
    missed = outside = half = 0
    for _ in range(cell["repeats"]):
        order = torch.randperm(len(points), generator=generator)
        chosen, held_out, new = points[order[:128]], points[order[128 : 128 + HELD_OUT]], points[order[-1:]]
        scores = sensitivities(weight, chosen)
        ratio = float(ratios(weight, scores, new))
        missed += ratio > stretch(weight, scores, held_out, beta=BETA)
        half += ratio > stretch(weight, scores, held_out, beta=3 * BETA)
        outside += ratio > 1
    return {"failures": missed, "trials": cell["repeats"], "twin_failures": half, "outside_sample": outside}


def _clopper_pearson(cell: Cell) -> Row:
    """All images as the population; points with replacement; the true rate of disagreement is known."""
    split = images()
    model = trained(cell["network"], 0)
    pruned = trained_copy(model, 0.15)
    inputs = torch.cat([split.train_x, split.test_x])
    with torch.no_grad():
        truth = float((model(inputs).argmax(1) != pruned(inputs).argmax(1)).double().mean())
    generator = torch.Generator().manual_seed(2000 + cell["seed"])
    missed = twin = 0
    for _ in range(cell["repeats"]):
        points = inputs[torch.randint(len(inputs), (200,), generator=generator)]
        record = certify_population(model, pruned, points, alpha=CONFIDENCE_ERROR)
        missed += record.disagreement_bound < truth
        twin += record.disagreements / record.points < truth  # the estimate itself, as if it were a bound
    return {"failures": missed, "trials": cell["repeats"], "twin_failures": twin, "truth": truth}


def trained_copy(model: torch.nn.Module, density: float) -> torch.nn.Module:
    """The model pruned by magnitude without retraining: any pruning will do for this claim."""
    masks: Masks = select(magnitude(model), density=density)
    return masks.apply_(copy.deepcopy(model))


def judge(rows: Sequence[Row]) -> Outcome:
    """Coverage not refuted; the false twins (β three times too large, the estimate as a bound) refuted."""
    tables: list[Row] = []
    broken = powerless = False
    for kind, level in (("conformal", BETA), ("clopper-pearson", CONFIDENCE_ERROR)):
        some = [row for row in rows if row["kind"] == kind]
        failures, trials, twins = (sum(row[key] for row in some) for key in ("failures", "trials", "twin_failures"))
        broken |= falsified(failures, trials, level, ALPHA)
        powerless |= not falsified(twins, trials, level, ALPHA)
        tables.append(
            {"rule": kind, "promised": level, "missed": failures / trials, "false twin missed": twins / trials}
        )
    verdict = Verdict.VIOLATED if broken else Verdict.INCONCLUSIVE if powerless else Verdict.HOLDS
    conformal = [row for row in rows if row["kind"] == "conformal"]
    outside = sum(row["outside_sample"] for row in conformal) / sum(row["trials"] for row in conformal)
    measured = {f"{row['rule']}: missed": row["missed"] for row in tables}
    measured["new points outside C = 1 (the sample alone)"] = outside
    scope = f"second layer of the digits perceptron, |S| = 128, |V| = {HELD_OUT}; α = {ALPHA:g} per test"
    return Outcome(verdict, measured, tuple(sorted({int(r["seed"]) for r in rows})), scope, tables)


SP2 = Claim(
    "SP2",
    "The guarantee extends from the sample to the population: a new point's shares exceed the conformal $C$ times the "
    "sensitivities with probability at most $β$; Clopper–Pearson bounds the disagreement of a fixed pruned network.",
    f"{SOURCE}, whose condition on the population is replaced by S5 in theory/theorems/sensitivity/proof.md",
    f"Over resampled (S, V, x), misses are not refuted as more frequent than β = {BETA} (conformal) and "
    f"{CONFIDENCE_ERROR} (Clopper–Pearson) at α = {ALPHA:g}, while the false twins are.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    theorem=True,
    says_not="That the sensitivities on S bound new points by themselves: the share outside C = 1 is printed.",
)
