"""SP4: is the mixture of sampling and truncation never worse than either part?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import paired
from pruneproof.prune import sipp

from .plots import mean_line
from .setting import NAMES, PUBLICATION, count, images, sample, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "The adaptive mixture is never worse than sampling or truncation alone."
SOURCE = f"{PUBLICATION} (SiPPHybrid); S3 in theory/theorems/sensitivity/proof.md"
CRITERION = (
    "In every cell the bound Σ cost·ε of `best` is at most that of every variant at the same budget (proved); and for "
    "no network, density and variant does the one-sided 95 % lower limit of the paired difference in mean output error "
    "on test images, best − variant, exceed 0."
)
SAYS_NOT = "That a smaller bound means a smaller error: the second half of the criterion is an observation."

VARIANTS = ("rand", "det", "hybrid", "poisson", "best")
TESTED = 200  # test images for the measured error


@dataclass(frozen=True)
class VariantRow:
    """One variant of sensitivity pruning at one budget.

    Args:
        network: Name in `setting.NAMES`.
        density: Fraction of weights kept.
        seed: Of the network and of the draws.
        variant: One of `VARIANTS`.
        merit: The bound Σ cost·ε.
        epsilon: Median ε of the half-rows.
        error: Mean absolute error of the outputs on test images.
        vacuous: Share of half-rows whose ε says nothing.
    """

    network: str
    density: float
    seed: int
    variant: str
    merit: float
    epsilon: float
    error: float
    vacuous: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × seeds."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "cnn")
    densities = (0.3, 0.7) if scale is Scale.QUICK else (0.1, 0.3, 0.5, 0.7, 0.9)
    return [
        {"network": network, "density": density, "seed": seed}
        for network in networks
        for density in densities
        for seed in range(seeds or count(scale, 4, 5, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.mixture:measure")
def measure(cell: Cell) -> list[VariantRow]:
    """Every variant at one budget: its bound, its median ε, and the output error on test images."""
    model, inputs = trained(cell["network"], cell["seed"]), images().test_x[:TESTED]
    with torch.no_grad():
        target = model(inputs)
    rows: list[VariantRow] = []
    for variant in VARIANTS:
        generator = torch.Generator().manual_seed(cell["seed"])
        result = sipp(model, sample(cell["seed"]), density=cell["density"], variant=variant, generator=generator)
        with torch.no_grad():
            error = float((result.model(inputs) - target).abs().mean())
        epsilon = torch.cat([bound.epsilon.flatten() for bound in result.bounds.values()])
        rows.append(
            VariantRow(
                network=cell["network"],
                density=cell["density"],
                seed=cell["seed"],
                variant=variant,
                merit=result.merit,
                epsilon=float(epsilon.median()),
                error=error,
                vacuous=result.vacuous,
            )
        )
    return rows


def judge(rows: Sequence[Row]) -> Outcome:
    """The bound of `best` is the least in every cell; its output error is not above any other's, paired over seeds."""
    tried = read_rows(VariantRow, rows)
    cells = sorted({(row.network, row.density, row.seed) for row in tried})
    settings = sorted({cell[:2] for cell in cells})
    merit = {(row.network, row.density, row.seed, row.variant): row.merit for row in tried}
    worse = sum(merit[*cell, "best"] > merit[*cell, variant] for cell in cells for variant in VARIANTS[:-1])
    deltas: dict[str, list[float]] = {}
    for network, density in settings:
        errors = {v: {row.seed: row.error for row in _of(tried, network, density, v)} for v in VARIANTS}
        for variant in VARIANTS[:-1]:
            name = f"{network}, density {density}: error of best − {variant}"
            deltas[name] = paired(errors["best"], errors[variant])
    refuted = [name for name, (_, low, _) in deltas.items() if low > 0]
    table: list[Row] = [
        {
            "network": network,
            "density": density,
            "variant": variant,
            "median ε": _mean([row.epsilon for row in _of(tried, network, density, variant)]),
            "output error": _mean([row.error for row in _of(tried, network, density, variant)]),
            "vacuous half-rows": _mean([row.vacuous for row in _of(tried, network, density, variant)]),
        }
        for network, density in settings
        for variant in VARIANTS
    ]
    scope = f"{', '.join(NAMES[name] for name in sorted({cell[0] for cell in cells}))}, no retraining"
    scope += f"; refuted: {', '.join(refuted)}" if refuted else ""
    return Outcome(
        Verdict.NOT_REPRODUCED if refuted or worse else Verdict.HOLDS,
        {"cells where the bound of best is above another's": worse, **deltas},
        tuple(sorted({cell[2] for cell in cells})),
        scope,
        table,
    )


def _of(rows: Sequence[VariantRow], network: str, density: float, variant: str) -> list[VariantRow]:
    return [row for row in rows if (row.network, row.density, row.variant) == (network, density, variant)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Median ε of the half-rows against density, per variant."""
    tried = [row for row in read_rows(VariantRow, rows) if row.network == "mlp"]

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for name in VARIANTS:
            mean_line(axes, [(row.density, row.epsilon) for row in tried if row.variant == name], name)
        axes.axhline(1, color="k", linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel("density")
        axes.set_ylabel("median ε of the half-rows")
        axes.legend(fontsize="small")

    return [Figure("ε against budget", "Digits perceptron. Above the dotted line a bound says nothing.", draw)]


SP4 = Claim(
    "SP4",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
)
