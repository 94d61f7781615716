"""Every method at one budget without retraining: what SP5, SP9 and SP10 compare.

The three claims hold sensitivity-informed pruning against data-free methods: row sampling (SP5), magnitude by layer
(SP9), magnitude over all weights (SP10). They share cells, judgement and picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pruneproof.claims.claim import Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import Comparison, conclude, mean, paired_difference
from pruneproof.prune import certify

from .plots import Compared, draw_differences
from .setting import DATA_FREE, INFORMED, NAMES, count, data_of, images, pruned_copy, sample, seeds_of, trained

METHODS = (*INFORMED, *DATA_FREE)
RADIUS = 0.5 / 16
CERTIFIED = 8  # test images whose ball is certified
RULE = (
    "For every network, density and {methods}, the 95 % interval of the paired difference in mean output error on the "
    "test images, sipp best − method, lies below 0. Not reproduced if a difference lies above 0 after Holm's "
    "correction over all of them; else inconclusive. Settled after runs with other seeds (docs/pilots.md)."
)


@dataclass(frozen=True)
class MethodRow:
    """One method at one budget, without retraining.

    Args:
        network: Name in `setting.NAMES`.
        density: Fraction of weights kept.
        seed: Of the network and of the draws.
        method: One of `METHODS`.
        error: Mean absolute error of the outputs on the test images.
        accuracy: Share of test images classified correctly.
        certified: Share of the first test images with certified agreement on their ball.
    """

    network: str
    density: float
    seed: int
    method: str
    error: float
    accuracy: float
    certified: float


def method_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × seeds; all methods in one cell."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "image lenet")
    densities = (0.5,) if scale is Scale.QUICK else (0.1, 0.3, 0.5, 0.7, 0.9)
    return [
        {"network": network, "data": data, "density": density, "seed": seed}
        for network, data in data_of(networks).items()
        for density in densities
        for seed in seeds_of(network, seeds or count(scale, 5, 6, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.data_free:measure", revision=3)
def measure_methods(cell: Cell) -> list[MethodRow]:
    """Output error and accuracy on the test images, and the share of balls on which agreement is certified."""
    model, split = trained(cell["network"], cell["data"], cell["seed"]), images(cell["data"])
    points = sample(cell["data"], cell["seed"])
    rows: list[MethodRow] = []
    for method in METHODS:
        pruned, _ = pruned_copy(method, model, points, cell["density"], cell["seed"])
        pruned = pruned.eval()
        with torch.no_grad():
            outputs = pruned(split.test_x)
            error = float((outputs - model(split.test_x)).abs().mean())
        certified = certify(model, pruned, split.test_x[:CERTIFIED], radius=RADIUS).certified
        rows.append(
            MethodRow(
                network=cell["network"],
                density=cell["density"],
                seed=cell["seed"],
                method=method,
                error=error,
                accuracy=float((outputs.argmax(1) == split.test_y).double().mean()),
                certified=float(certified.double().mean()),
            )
        )
    return rows


def judge_methods(rows: Sequence[Row], others: Sequence[str]) -> Outcome:
    """`sipp best` below some data-free methods in output error, paired over seeds, at every density.

    Args:
        rows: Stored rows.
        others: The data-free methods that are judged.
    """
    tried = read_rows(MethodRow, rows)
    settings = sorted({(row.network, row.density) for row in tried})
    table: list[Row] = [
        {
            "network": network,
            "density": density,
            "method": method,
            "error": mean([row.error for row in _of(tried, network, density, method)]).value,
            "accuracy": mean([row.accuracy for row in _of(tried, network, density, method)]).value,
            "certified": mean([row.certified for row in _of(tried, network, density, method)]).value,
        }
        for network, density in settings
        for method in METHODS
    ]
    networks = ", ".join(NAMES[name] for name in dict.fromkeys(network for network, _ in settings))
    scope = f"{networks}; no retraining; balls of radius {RADIUS}"
    return conclude(list(_compared(tried, others).values()), (row.seed for row in tried), scope, table=table)


def _compared(rows: Sequence[MethodRow], others: Sequence[str]) -> Compared:
    compared: Compared = {}
    for network, density in sorted({(row.network, row.density) for row in rows}):
        errors = {m: {row.seed: row.error for row in _of(rows, network, density, m)} for m in ("sipp best", *others)}
        for other in others:
            name = f"{network}, density {density}: error of sipp best − {other}"
            difference = paired_difference(errors["sipp best"], errors[other])
            compared[network, density, other] = Comparison(name, difference, below=0.0)
    return compared


def _of(rows: Sequence[MethodRow], network: str, density: float, method: str) -> list[MethodRow]:
    return [row for row in rows if (row.network, row.density, row.method) == (network, density, method)]


def error_figures(rows: Sequence[Row], others: Sequence[str]) -> list[Figure]:
    """The differences that are judged, against density.

    Args:
        rows: Stored rows.
        others: The data-free methods that are judged.
    """
    draw = draw_differences(_compared(read_rows(MethodRow, rows), others), "difference in mean output error")
    caption = (
        "Paired mean difference in output error on the test images, sipp best − method, 95 % intervals; below the "
        "dotted line SiPP is better. The scale is linear between ± 0.01, logarithmic beyond."
    )
    return [Figure("Output error without retraining", caption, draw)]
