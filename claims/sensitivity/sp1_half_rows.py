"""SP1: does a pruned half-row keep its sum as often as S1 to S4 promise, by fresh draws?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.kernels import sensitivities
from pruneproof.prune.sensitivity import draws, errors
from pruneproof.prune.sensitivity.draws import Drawing
from pruneproof.prune.sensitivity.half_rows import Block
from pruneproof.theory.statistics.exact_tests import falsified

from .setting import ALPHA, PUBLICATION, count, hidden, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    "A half-row pruned by sensitivity keeps its sum within $1 ± ε$ with probability at least $1 − δ'$ (Rand, prefix "
    "hybrid, Poisson), or surely (Det)."
)
SOURCE = f"{PUBLICATION}; S1 to S4 in theory/theorems/sensitivity/proof.md"
CRITERION = (
    f"For every instance, δ' and sampled variant, the exact binomial test does not refute δ' at α = {ALPHA:g}; the law "
    f"of Rand on the block instance is not rejected at α = {ALPHA:g}; Det never misses on S. If no negative control "
    "ε/4 is refuted: inconclusive."
)
SAYS_NOT = "That ε is small: see its median, and the slack."
SYMBOLS = (
    "a half-row is the positive or the negative part of a neuron's weights, ε the relative error that S1 to S4 "
    "compute for its budget, δ' the probability of failure that they are given, and S the sample that the "
    "sensitivities come from."
)

VARIANTS = ("rand", "hybrid", "poisson", "det", "symmetric")
SAMPLED = VARIANTS[:3]
DELTAS = (0.2, 0.05, 0.01)
POINT = 0  # fixed before the draw
BLOCKS = 20
BATCH = 2000


@dataclass(frozen=True)
class VariantRow:
    """One variant of one half-row at one δ′.

    Args:
        delta: δ′, the promised probability of a miss.
        seed: Of the draws and of the network.
        variant: One of `VARIANTS`.
        epsilon: The ε that the variant promises.
        failures: Draws in which the sum missed 1 ± ε.
        trials: Draws.
        control_failures: Draws in which it missed 1 ± ε/4, the negative control.
        slack: ε over the observed (1 − δ′) quantile of the error.
        law: p-value of the exact law of Rand on the block instance, elsewhere None.
    """

    delta: float
    seed: int
    variant: str
    epsilon: float
    failures: int
    trials: int
    control_failures: int
    slack: float
    law: float | None


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Instances × δ′; every variant in one cell."""
    digits = {"data": digits_label()}
    perceptrons = [("mlp", 0), ("mlp", 1), ("mlp", 2), ("lenet", 1)]
    instances = {("block", 0): Cell()} | dict.fromkeys(perceptrons, digits)
    fractions = (0.5,) if scale is Scale.QUICK else (0.1, 0.25, 0.5, 0.75)
    number = count(scale, 4000, 20_000, 200_000)
    return [
        own | {"instance": name, "layer": layer, "delta": delta, "fraction": fraction, "draws": number, "seed": seed}
        for (name, layer), own in instances.items()
        for delta in DELTAS
        for fraction in fractions
        for seed in range(seeds or 1)
    ]


@stable_id("pruneproof.claims.sensitivity.rows:measure", revision=3)
def measure(cell: Cell) -> list[VariantRow]:
    """Draw the half-row again and again; count how often ẑ misses ε, and ε/4 (the negative control)."""
    block = _block(cell)
    size = int((block.weight[0] > 0).sum())
    return [_variant(name, block, cell["fraction"] * size, cell) for name in VARIANTS]


def _block(cell: Cell) -> Block:
    """One half-row: 20 equal blocks, or the first row of a layer with its W⁺."""
    if cell["instance"] == "block":
        points = torch.eye(BLOCKS, dtype=torch.float64).repeat_interleave(8, dim=1)
        weight = torch.ones(1, 160, dtype=torch.float64)
    else:
        matrix, points = hidden(
            cell["instance"], cell["data"], cell["seed"], cell["layer"], sample(cell["data"], cell["seed"])
        )
        weight = matrix[:1].clamp(min=0)
        points = points[(points @ weight[0]) > 0]
    return Block(0, slice(0, 1), weight, sensitivities(weight, points), points)


def _variant(name: str, block: Block, budget: float, cell: Cell) -> VariantRow:
    log, share = math.log(2 / cell["delta"]), torch.tensor([math.floor(budget)], dtype=torch.float64)
    order = errors.ranking(block)
    epsilon = errors.ERRORS[name](block, order, share, log, 1.0)
    generator = torch.Generator().manual_seed(cell["seed"])
    signed = _relative_errors(name, block, share, epsilon, Drawing(log, 1.0, generator), cell)
    at_point = signed[:, POINT].abs() if name in SAMPLED else signed.abs().amax(1)
    quantile = float(np.quantile(at_point.numpy(), 1 - cell["delta"]))
    return VariantRow(
        delta=cell["delta"],
        seed=cell["seed"],
        variant=name,
        epsilon=float(epsilon),
        failures=int((at_point > epsilon * (1 + 1e-9)).sum()),  # 1e-9: rounding of sums of some hundred terms
        trials=len(at_point),
        control_failures=int((at_point > epsilon / 4).sum()),
        slack=float(epsilon) / max(quantile, 1e-12),
        law=_law(signed[:, POINT], int(share), cell) if name == "rand" else None,
    )


def _relative_errors(name: str, block: Block, share: Tensor, epsilon: Tensor, law: Drawing, cell: Cell) -> Tensor:
    """(ẑ−z)/z at every point of S, (draws, points); one draw for the deterministic variants."""
    sums, observed = block.weight @ block.points.T, []
    left = cell["draws"] if name in SAMPLED else 1
    while left:
        many = min(left, BATCH)
        weight, scores = (t.expand(many, -1) for t in (block.weight, block.sensitivity))
        copies = Block(0, slice(0, many), weight, scores, block.points)
        factors = draws.FACTORS[name](copies, errors.ranking(copies), share.expand(many), epsilon, law)
        points = block.points[: POINT + 1] if name in SAMPLED else block.points
        observed.append((weight * factors) @ points.T / sums[:, : len(points)] - 1)
        left -= many
    return torch.cat(observed)


def _law(relative: Tensor, m: int, cell: Cell) -> float | None:
    """The p-value of ẑm/(kz) ~ Bin(m, 1/k) on the block instance (chi-square, rare counts pooled)."""
    if cell["instance"] != "block":
        return None
    counts = ((1 + relative) * m / BLOCKS).round().long()
    expected = stats.binom.pmf(np.arange(m + 1), m, 1 / BLOCKS) * len(counts)
    observed = np.bincount(counts.numpy(), minlength=m + 1).astype(float)
    common = expected >= 5
    table = [(observed[common], expected[common]), (observed[~common].sum(), expected[~common].sum())]
    statistic = sum(float(np.sum((o - e) ** 2 / e)) for o, e in table)
    return float(stats.chi2.sf(statistic, int(common.sum())))


def judge(rows: Sequence[Row]) -> Outcome:
    """No promise refuted at ALPHA; the exact law not rejected at ALPHA; the negative control refuted somewhere."""
    tried = read_rows(VariantRow, rows)
    sampled = [row for row in tried if row.variant in SAMPLED]
    broken = [row for row in sampled if falsified(row.failures, row.trials, row.delta, ALPHA)]
    surely = [row for row in tried if row.variant not in SAMPLED and row.failures]
    laws = [row.law for row in tried if row.law is not None]
    controls = [row for row in sampled if falsified(row.control_failures, row.trials, row.delta, ALPHA)]
    verdict = Verdict.HOLDS if controls else Verdict.INCONCLUSIVE
    if broken or surely or min(laws, default=1.0) <= ALPHA:
        verdict = Verdict.VIOLATED
    measured = {
        "half-rows × δ' refuted": f"{len(broken)} of {len(sampled)}",
        "deterministic bounds missed": len(surely),
        "smallest p of the exact law": min(laws, default=1.0),
        "negative controls ε/4 refuted": f"{len(controls)} of {len(sampled)}",
        **{f"median slack of {name}": _median([row.slack for row in _of(tried, name)]) for name in SAMPLED},
    }
    table: list[Row] = [
        {
            "variant": name,
            "median ε": _median([row.epsilon for row in _of(tried, name)]),
            "failures": sum(row.failures for row in _of(tried, name)),
            "draws": sum(row.trials for row in _of(tried, name)),
        }
        for name in VARIANTS
    ]
    scope = f"half-rows of digits perceptrons, the block instance; {len(sampled)} tests, α = {ALPHA:g} each"
    return Outcome(verdict, measured, tuple(sorted({row.seed for row in tried})), scope, table)


def _of(rows: Sequence[VariantRow], variant: str) -> list[VariantRow]:
    return [row for row in rows if row.variant == variant]


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Observed frequency of failures against δ′; how much larger ε is than it had to be."""
    tried = read_rows(VariantRow, rows)

    def draw_failures(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for position, name in enumerate(SAMPLED):
            chosen = _of(tried, name)
            rates = [max(row.failures / row.trials, 0.5 / row.trials) for row in chosen]
            shifted = [row.delta * (1 + 0.06 * (position - 1)) for row in chosen]
            axes.plot(shifted, rates, "o", alpha=0.6, label=name)
        levels = sorted({row.delta for row in tried})
        axes.plot(levels, levels, "k--", label="promised")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("δ′")
        axes.set_ylabel("frequency of failures")
        axes.legend(fontsize="small")

    def draw_slack(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        axes.hist([[min(row.slack, 100.0) for row in _of(tried, name)] for name in SAMPLED], label=SAMPLED)
        axes.set_xlabel("ε / observed (1 − δ′) quantile of the error")
        axes.set_ylabel("half-rows")
        axes.legend(fontsize="small")

    caption = "Each point: one half-row at one point of S, fresh draws. Never seen is drawn at half a draw."
    return [
        Figure("Failures against δ′", caption, draw_failures),
        Figure("Slack", "1 would be tight; values above 100 are drawn at 100.", draw_slack),
    ]


SP1 = Claim(
    "SP1",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=figures,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
