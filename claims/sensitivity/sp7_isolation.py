"""SP7: do sensitivities find connections that can be trained in isolation, at initialisation and rewound?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import paired
from pruneproof.claims.training.single import accuracy, train
from pruneproof.prune import Masks, random, select, sipp, snip
from pruneproof.prune import magnitude as magnitude_masks
from pruneproof.prune.sensitivity.measuring import layers
from pruneproof.prune.sensitivity.measuring import measure as measured_layer

from .setting import NAMES, PUBLICATION, RECIPE, count, images, sample, trained, untrained

STATEMENT = "Sensitivities find connections that can be trained in isolation."
SOURCE = PUBLICATION
CRITERION = (
    "At every density, SiPP's masks (Det, one global threshold), taken at initialisation and from the trained network "
    "with weights rewound, reach after training a test accuracy above that of random masks: the one-sided 95 % lower "
    "limit of the paired difference exceeds 0 for both. Differences from SNIP and magnitude, and sensitivities at one "
    "density per layer, are printed."
)
SAYS_NOT = "That no other mask trains as well: SNIP's and magnitude's rows stand beside it."

METHODS = ("sipp", "sipp by layer", "sipp rewound", "magnitude", "magnitude rewound", "snip", "random")
JUDGED = (("sipp", "random"), ("sipp rewound", "random"))
PRINTED = (
    ("sipp", "snip"),
    ("sipp by layer", "random"),
    ("sipp", "magnitude"),
    ("sipp rewound", "magnitude rewound"),
)
DENSITY = 0.05


@dataclass(frozen=True)
class TrainedRow:
    """A network trained under a mask from its initial weights.

    Args:
        density: Fraction of weights kept.
        method: One of `METHODS`.
        seed: Of the network, the draws and the order of the data.
        accuracy: On the test images, per cent.
        kept: Weights kept.
    """

    density: float
    method: str
    seed: int
    accuracy: float
    kept: int


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Methods × seeds on the perceptron."""
    return [
        {"network": "mlp", "density": density, "method": method, "seed": seed}
        for density in ((DENSITY,) if scale is Scale.QUICK else (0.02, DENSITY, 0.2))
        for method in METHODS
        for seed in range(seeds or count(scale, 5, 10, 20))
    ]


@stable_id("pruneproof.claims.sensitivity.isolation:measure")
def measure(cell: Cell) -> list[TrainedRow]:
    """Take the mask, go back to the initial weights, train what is kept."""
    split = images()
    model = untrained(cell["network"], cell["seed"])
    masks = _masks(cell, model)
    train(masks.apply_(model), split.train_x, split.train_y, RECIPE, seed=cell["seed"], masks=masks)
    reached = 100 * accuracy(model, split.test_x, split.test_y)
    return [TrainedRow(cell["density"], cell["method"], cell["seed"], reached, masks.count)]


def _masks(cell: Cell, model: nn.Module) -> Masks:
    split, density = images(), cell["density"]
    generator = torch.Generator().manual_seed(cell["seed"])
    source = trained(cell["network"], cell["seed"]) if cell["method"].endswith("rewound") else model
    match cell["method"].removesuffix(" rewound"):
        case "sipp":
            return sipp(source, sample(cell["seed"]), density=density, variant="det").masks
        case "sipp by layer":
            points = sample(cell["seed"])
            scores = {layer.name: measured_layer(source, points, layer).scores for layer in layers(source)[0]}
            return select(scores, density=density, scope="layer")
        case "magnitude":
            return magnitude_masks(source, density=density)
        case "snip":
            batch = torch.randperm(len(split.train_x), generator=generator)[:100]
            data = (split.train_x[batch], split.train_y[batch])
            return snip(source, nn.functional.cross_entropy, data, density=density)
        case _:
            return random(source, density=density, generator=generator)


def judge(rows: Sequence[Row]) -> Outcome:
    """SiPP's masks, at initialisation and rewound, above random ones; the others are printed."""
    tried = read_rows(TrainedRow, rows)
    densities = sorted({row.density for row in tried})
    deltas: dict[str, list[float]] = {}
    tests: list[list[float]] = []
    for density in densities:
        levels = {m: {row.seed: row.accuracy for row in _of(tried, density, m)} for m in METHODS}
        for method, control in (*JUDGED, *PRINTED):
            delta = paired(levels[method], levels[control])
            deltas[f"density {density}: {method} − {control}"] = delta
            tests += [delta] if (method, control) in JUDGED else []
    verdict = Verdict.HOLDS if all(low > 0 for _, low, _ in tests) else Verdict.INCONCLUSIVE
    if any(high < 0 for _, _, high in tests):
        verdict = Verdict.NOT_REPRODUCED
    table: list[Row] = []
    for density in densities:
        for method in METHODS:
            reached = [row.accuracy for row in _of(tried, density, method)]
            table.append({"density": density, "method": method, "accuracy, %": sum(reached) / len(reached)})
    scope = f"{NAMES['mlp']}, {RECIPE.epochs} epochs from the initial weights, Det masks, one-sided 95 %"
    return Outcome(verdict, deltas, tuple(sorted({row.seed for row in tried})), scope, table)


def _of(rows: Sequence[TrainedRow], density: float, method: str) -> list[TrainedRow]:
    return [row for row in rows if (row.density, row.method) == (density, method)]


SP7 = Claim(
    "SP7",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    says_not=SAYS_NOT,
)
