"""SP4: is the mixture of sampling and truncation never worse than either part?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import Comparison, conclude, mean, paired_difference
from pruneproof.prune import sipp

from .plots import Compared, draw_differences
from .setting import NAMES, PUBLICATION, count, data_of, images, sample, seeds_of, trained

STATEMENT = "The adaptive mixture is never worse than sampling or truncation alone."
SOURCE = f"{PUBLICATION} (SiPPHybrid); S3 in theory/theorems/sensitivity/proof.md"
CRITERION = (
    "In every cell the bound Σ cost·ε of `best` is at most that of every variant at the same budget (proved); and at "
    "every density at which `best` keeps the dense accuracy within 5 points, for every network and variant, the 95 % "
    "interval of the paired difference in output error on test images, best − variant, lies below 1 % of the size of "
    "the outputs (both margins are ours). Not reproduced if a difference lies above it after Holm's correction over "
    "all of them, or a bound of `best` is above another's; else inconclusive. Settled after runs with other seeds "
    "(docs/pilots.md)."
)
SAYS_NOT = "That a smaller bound means a smaller error: the second half of the criterion is an observation."
SYMBOLS = (
    "rand draws weights with probabilities in proportion to their sensitivities, poisson keeps each with a "
    "probability of its own, det keeps the largest, hybrid keeps the largest and draws from the rest, and is fitted "
    "to the sample in rows of which its bound says nothing; best is the plan of the least bound among these and those "
    "that choose half-row by half-row. ε is the relative error of a "
    "half-row (SP1), its cost the mean sum that ε is relative to, times the row's effect on the outputs."
)

MARGIN = 0.01  # of the mean absolute output
KEPT = 5.0  # points of accuracy that pruning may cost where variants are compared
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
        size: Mean absolute output of the original network there.
        lost: Accuracy lost there, in points.
        vacuous: Share of half-rows whose ε says nothing.
    """

    network: str
    density: float
    seed: int
    variant: str
    merit: float
    epsilon: float
    error: float
    size: float
    lost: float
    vacuous: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × seeds."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "cnn", "image lenet")
    densities = (0.3, 0.7) if scale is Scale.QUICK else (0.1, 0.3, 0.5, 0.7, 0.9)
    return [
        {"network": network, "data": data, "density": density, "seed": seed}
        for network, data in data_of(networks).items()
        for density in densities
        for seed in seeds_of(network, seeds or count(scale, 4, 6, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.mixture:measure", revision=4)
def measure(cell: Cell) -> list[VariantRow]:
    """Every variant at one budget: its bound, its median ε, and the output error on test images."""
    model, split = trained(cell["network"], cell["data"], cell["seed"]), images(cell["data"])
    inputs, labels = split.test_x[:TESTED], split.test_y[:TESTED]
    with torch.no_grad():
        target = model(inputs)
    correct = float((target.argmax(1) == labels).double().mean())
    rows: list[VariantRow] = []
    for variant in VARIANTS:
        generator = torch.Generator().manual_seed(cell["seed"])
        result = sipp(
            model, sample(cell["data"], cell["seed"]), density=cell["density"], variant=variant, generator=generator
        )
        with torch.no_grad():
            outputs = result.model(inputs)
        epsilon = torch.cat([bound.epsilon.flatten() for bound in result.bounds.values()])
        rows.append(
            VariantRow(
                network=cell["network"],
                density=cell["density"],
                seed=cell["seed"],
                variant=variant,
                merit=result.merit,
                epsilon=float(epsilon.median()),
                error=float((outputs - target).abs().mean()),
                size=float(target.abs().mean()),
                lost=100 * (correct - float((outputs.argmax(1) == labels).double().mean())),
                vacuous=result.vacuous,
            )
        )
    return rows


def judge(rows: Sequence[Row]) -> Outcome:
    """The bound of `best` is the least in every cell; its error is not above another's by more than the margin."""
    tried = read_rows(VariantRow, rows)
    settings, comparisons, worse = _settings(tried), list(_compared(tried).values()), _worse_bounds(tried)
    networks = ", ".join(NAMES[name] for name in dict.fromkeys(network for network, _ in settings))
    made = conclude(
        comparisons,
        (row.seed for row in tried),
        f"{networks}, no retraining, {len(_kept(tried))} of {len(settings)} settings judged",
        {
            "cells where the bound of best is above another's": worse,
            **{each.name: each.estimate for each in comparisons},
        },
        [_line(tried, *place, variant) for place in settings for variant in VARIANTS],
    )
    return replace(made, verdict=Verdict.NOT_REPRODUCED) if worse else made


def _worse_bounds(rows: Sequence[VariantRow]) -> int:
    """In how many cells, variant by variant, the bound of `best` is above another's."""
    best = {(row.network, row.density, row.seed): row.merit for row in rows if row.variant == "best"}
    return sum(best[row.network, row.density, row.seed] > row.merit for row in rows)


def _compared(rows: Sequence[VariantRow]) -> Compared:
    """The error of `best` less that of every other variant, of the size of the outputs, where accuracy is kept."""
    compared: Compared = {}
    for network, density in _kept(rows):
        errors = {v: {row.seed: row.error / row.size for row in _of(rows, network, density, v)} for v in VARIANTS}
        for variant in VARIANTS[:-1]:
            name = f"{network}, density {density}: error of best − {variant}, of the outputs"
            difference = paired_difference(errors["best"], errors[variant])
            compared[network, density, variant] = Comparison(name, difference, below=MARGIN)
    return compared


def _settings(rows: Sequence[VariantRow]) -> list[tuple[str, float]]:
    return sorted({(row.network, row.density) for row in rows})


def _kept(rows: Sequence[VariantRow]) -> list[tuple[str, float]]:
    """Networks and densities at which `best` loses little accuracy."""
    return [at for at in _settings(rows) if mean([row.lost for row in _of(rows, *at, "best")]).value <= KEPT]


def _line(rows: Sequence[VariantRow], network: str, density: float, variant: str) -> Row:
    chosen = _of(rows, network, density, variant)
    return {
        "network": network,
        "density": density,
        "variant": variant,
        "median ε": mean([row.epsilon for row in chosen]).value,
        "output error": mean([row.error for row in chosen]).value,
        "points lost": mean([row.lost for row in chosen]).value,
        "vacuous half-rows": mean([row.vacuous for row in chosen]).value,
    }


def _of(rows: Sequence[VariantRow], network: str, density: float, variant: str) -> list[VariantRow]:
    return [row for row in rows if (row.network, row.density, row.variant) == (network, density, variant)]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The differences that are judged, against density."""
    draw = draw_differences(_compared(read_rows(VariantRow, rows)), "difference in error, of the outputs")
    caption = (
        "Paired mean difference in output error on test images, 95 % intervals, at every density at which best keeps "
        f"the accuracy; above 0 the other variant is better, and the dotted line is the margin, {MARGIN:.0%} of the "
        f"outputs. The scale is linear between ± {MARGIN:g}, logarithmic beyond."
    )
    return [Figure("The mixture against its parts", caption, draw)]


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
    symbols=SYMBOLS,
)
