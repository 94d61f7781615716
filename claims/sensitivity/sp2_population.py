"""SP2: do a conformal C and Clopper–Pearson cover the population as often as they promise, over resampled data?"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pruneproof.claims.claim import Claim, Origin, Outcome, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.kernels import sensitivities
from pruneproof.prune import certify_population, select
from pruneproof.prune.scores import magnitude
from pruneproof.prune.sensitivity.population import ratios, stretch
from pruneproof.theory.statistics.exact_tests import falsified

from .setting import ALPHA, PUBLICATION, count, hidden, images, trained

BETA, CONFIDENCE_ERROR = 0.1, 0.1
HELD_OUT = 99
ROWS = 16  # rows of the layer, to bound the time

STATEMENT = (
    "The guarantee extends from the sample to the population: a new point's shares exceed the conformal $C$ times the "
    "sensitivities with probability at most $β$; Clopper–Pearson bounds the disagreement of a fixed pruned network."
)
SOURCE = f"{PUBLICATION}, whose condition on the population is replaced by S5 in theory/theorems/sensitivity/proof.md"
CRITERION = (
    f"Over resampled (S, V, x), misses are not refuted as more frequent than β = {BETA} (conformal) and "
    f"{CONFIDENCE_ERROR} (Clopper–Pearson) at α = {ALPHA:g}, while the negative controls are."
)
SAYS_NOT = "That the sensitivities on S bound new points by themselves: the share outside C = 1 is printed."
SYMBOLS = (
    "a share is what one weight contributes to a neuron's sum at one point, its sensitivity the largest share on the "
    "sample S; $C$ is computed from held-out points V so that a new point x exceeds it with probability at most $β$."
)


@dataclass(frozen=True)
class CoverageRow:
    """Independent repetitions of one rule.

    Args:
        kind: `"conformal"` or `"clopper-pearson"`.
        seed: Of the resampling.
        failures: Repetitions in which the truth was missed.
        trials: Repetitions.
        control_failures: Misses of the negative control (β three times too large; the estimate itself as a bound).
        outside_sample: Conformal only: new points whose shares exceed the sensitivities on S alone.
        truth: Clopper–Pearson only: the true rate of disagreement.
    """

    kind: str
    seed: int
    failures: int
    trials: int
    control_failures: int
    outside_sample: int | None = None
    truth: float | None = None


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Independent repetitions in a few cells."""
    repeats = count(scale, 250, 1000, 5000)
    return [
        {"kind": kind, "repeats": repeats, "seed": seed, "network": "mlp", "data": digits_label()}
        for kind in ("conformal", "clopper-pearson")
        for seed in range(seeds or count(scale, 4, 4, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.population:measure", revision=3)
def measure(cell: Cell) -> list[CoverageRow]:
    """Resample, apply the rule, look whether the truth is covered."""
    return [_conformal(cell) if cell["kind"] == "conformal" else _clopper_pearson(cell)]


def _conformal(cell: Cell) -> CoverageRow:
    """S, V and a new x without replacement from all images: V and x are exchangeable given S."""
    split = images(cell["data"])
    weight, points = hidden(cell["network"], cell["data"], 0, 1, torch.cat([split.train_x, split.test_x]))
    weight = weight[:ROWS]
    generator = torch.Generator().manual_seed(1000 + cell["seed"])
    missed = outside = control = 0
    for _ in range(cell["repeats"]):
        order = torch.randperm(len(points), generator=generator)
        chosen, held_out, new = points[order[:128]], points[order[128 : 128 + HELD_OUT]], points[order[-1:]]
        scores = sensitivities(weight, chosen)
        ratio = float(ratios(weight, scores, new))
        missed += ratio > stretch(weight, scores, held_out, beta=BETA)
        control += ratio > stretch(weight, scores, held_out, beta=3 * BETA)
        outside += ratio > 1
    return CoverageRow(
        "conformal", cell["seed"], int(missed), cell["repeats"], int(control), outside_sample=int(outside)
    )


def _clopper_pearson(cell: Cell) -> CoverageRow:
    """All images as the population; points with replacement; the true rate of disagreement is known."""
    split = images(cell["data"])
    model = trained(cell["network"], cell["data"], 0)
    pruned = _pruned_by_magnitude(model, 0.15)
    inputs = torch.cat([split.train_x, split.test_x])
    with torch.no_grad():
        truth = float((model(inputs).argmax(1) != pruned(inputs).argmax(1)).double().mean())
    generator = torch.Generator().manual_seed(2000 + cell["seed"])
    missed = control = 0
    for _ in range(cell["repeats"]):
        points = inputs[torch.randint(len(inputs), (200,), generator=generator)]
        record = certify_population(model, pruned, points, alpha=CONFIDENCE_ERROR)
        missed += record.disagreement_bound < truth
        control += record.disagreements / record.points < truth
    return CoverageRow("clopper-pearson", cell["seed"], int(missed), cell["repeats"], int(control), truth=truth)


def _pruned_by_magnitude(model: nn.Module, density: float) -> nn.Module:
    """Any pruning will do for this claim."""
    return select(magnitude(model), density=density).apply_(copy.deepcopy(model))


def judge(rows: Sequence[Row]) -> Outcome:
    """Coverage not refuted; the negative controls refuted."""
    tried = read_rows(CoverageRow, rows)
    table: list[Row] = []
    broken = powerless = False
    for kind, level in (("conformal", BETA), ("clopper-pearson", CONFIDENCE_ERROR)):
        chosen = [row for row in tried if row.kind == kind]
        failures, trials = sum(row.failures for row in chosen), sum(row.trials for row in chosen)
        controls = sum(row.control_failures for row in chosen)
        broken |= falsified(failures, trials, level, ALPHA)
        powerless |= not falsified(controls, trials, level, ALPHA)
        table.append(
            {
                "rule": kind,
                "promised": level,
                "missed": failures / trials,
                "negative control missed": controls / trials,
            }
        )
    verdict = Verdict.VIOLATED if broken else Verdict.INCONCLUSIVE if powerless else Verdict.HOLDS
    outside = [(row.outside_sample, row.trials) for row in tried if row.outside_sample is not None]
    measured = {f"{line['rule']}: missed": line["missed"] for line in table}
    measured["new points outside C = 1 (the sample alone)"] = sum(o for o, _ in outside) / sum(n for _, n in outside)
    scope = f"second layer of the digits perceptron, |S| = 128, |V| = {HELD_OUT}; α = {ALPHA:g} per test"
    return Outcome(verdict, measured, tuple(sorted({row.seed for row in tried})), scope, table)


SP2 = Claim(
    "SP2",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
