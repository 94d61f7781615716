"""SP7: do sensitivities find connections that can be trained in isolation, at initialisation and rewound?

Networks start from Kaiming's normal weights, and masks are those of the paper's mixture (hybrid): with torch's default
weights and truncation alone, one global threshold keeps hardly any weight of the later layers (docs/pilots.md).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from pruneproof.claims.claim import Claim, Outcome, Scale, fresh_seeds
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import Comparison, conclude, mean, paired_difference
from pruneproof.claims.training.single import accuracy, train
from pruneproof.prune import Masks, connectivity, random, sipp, snip
from pruneproof.prune import magnitude as magnitude_masks

from .setting import NAMES, PUBLICATION, count, images, recipe_of, sample, untrained

STATEMENT = "Sensitivities find connections that can be trained in isolation."
SOURCE = PUBLICATION
CRITERION = (
    "At 5 and 10 % density, SiPP's masks (hybrid), taken at initialisation and from the trained network with weights "
    "rewound, reach after training a test accuracy above that of random masks over all weights: the 95 % interval of "
    "the paired difference lies above 0 for all. Not reproduced if a difference lies below 0 after Holm's correction; "
    "else inconclusive. Random masks at Erdős–Rényi-kernel densities, SNIP, magnitude and layers that masks cut off "
    "are printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = "That no other mask trains as well: SNIP's, magnitude's and random ERK's rows stand beside it."

METHODS = ("sipp", "sipp rewound", "magnitude", "magnitude rewound", "snip", "random", "random ERK")
JUDGED = (("sipp", "random"), ("sipp rewound", "random"))
PRINTED = (
    ("sipp", "random ERK"),
    ("sipp rewound", "random ERK"),
    ("sipp", "snip"),
    ("sipp", "magnitude"),
    ("sipp rewound", "magnitude rewound"),
)
DENSITIES = (0.05, 0.1)


@dataclass(frozen=True)
class TrainedRow:
    """A network trained under a mask from its initial weights.

    Args:
        density: Fraction of weights kept.
        method: One of `METHODS`.
        seed: Of the network, the draws and the order of the data.
        accuracy: On the test images, per cent.
        kept: Weights kept in each layer.
        cut: Layers without a unit on a path from input to output.
    """

    density: float
    method: str
    seed: int
    accuracy: float
    kept: list[int]
    cut: list[str]


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Methods × seeds on the perceptron; at quick one density, and only the methods that are judged."""
    quick = scale is Scale.QUICK
    return [
        {"network": "mlp", "data": digits_label(), "density": density, "method": method, "seed": seed}
        for density in (DENSITIES[:1] if quick else DENSITIES)
        for method in (sorted({name for pair in JUDGED for name in pair}) if quick else METHODS)
        for seed in fresh_seeds(seeds or count(scale, 5, 10, 20))
    ]


@stable_id("sensitivity/isolation", revision=3)
def measure(cell: Cell) -> list[TrainedRow]:
    """Take the mask, go back to the initial weights, train what is kept."""
    split = images(cell["data"])
    model = copy.deepcopy(_initial(cell["network"], cell["seed"]))
    masks = _masks(cell, model)
    train(masks.apply_(model), split.train_x, split.train_y, recipe_of(cell["data"]), seed=cell["seed"], masks=masks)
    return [
        TrainedRow(
            density=cell["density"],
            method=cell["method"],
            seed=cell["seed"],
            accuracy=100 * accuracy(model, split.test_x, split.test_y),
            kept=list(masks.counts.values()),
            cut=list(connectivity(model, masks, (1, split.train_x.shape[1])).cut),
        )
    ]


@cache
def _initial(network: str, seed: int) -> nn.Sequential:
    """The network with Kaiming's normal weights; kept for other cells of this process, so nobody may change it."""
    model = untrained(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    return model


@cache
def _trained(network: str, data: str, seed: int) -> nn.Sequential:
    """The same after training."""
    split, model = images(data), copy.deepcopy(_initial(network, seed))
    train(model, split.train_x, split.train_y, recipe_of(data), seed=seed)
    return model.eval()


def _masks(cell: Cell, model: nn.Sequential) -> Masks:
    split, density = images(cell["data"]), cell["density"]
    generator = torch.Generator().manual_seed(cell["seed"])
    source = _trained(cell["network"], cell["data"], cell["seed"]) if cell["method"].endswith("rewound") else model
    match cell["method"].removesuffix(" rewound"):
        case "sipp":
            points = sample(cell["data"], cell["seed"])
            return sipp(source, points, density=density, variant="hybrid", generator=generator).masks
        case "magnitude":
            return magnitude_masks(source, density=density)
        case "snip":
            batch = torch.randperm(len(split.train_x), generator=generator)[:100]
            data = (split.train_x[batch], split.train_y[batch])
            return snip(source, nn.functional.cross_entropy, data, density=density)
        case control:
            scope = "erk" if control.endswith("ERK") else "global"
            return random(source, density=density, generator=generator, scope=scope)


def judge(rows: Sequence[Row]) -> Outcome:
    """SiPP's masks, at initialisation and rewound, above random ones; the others are printed."""
    tried = read_rows(TrainedRow, rows)
    densities = sorted({row.density for row in tried})
    differences = {
        f"density {density}: {method} − {control}": (paired_difference(levels[method], levels[control]), judged)
        for density in densities
        if (levels := _levels(tried, density))
        for pairs, judged in ((JUDGED, True), (PRINTED, False))
        for method, control in pairs
        if {method, control} <= levels.keys()
    }
    epochs = recipe_of(digits_label()).epochs
    return conclude(
        [Comparison(name, value, above=0.0) for name, (value, judged) in differences.items() if judged],
        (row.seed for row in tried),
        f"{NAMES['mlp']} with Kaiming's weights, {epochs} epochs from the initial weights, hybrid masks",
        {name: value for name, (value, _) in differences.items()},
        [_line(tried, density, method) for density in densities for method in _levels(tried, density)],
    )


def _levels(rows: Sequence[TrainedRow], density: float) -> dict[str, dict[int, float]]:
    """Method → seed → accuracy, of the methods that were run."""
    levels = {method: {row.seed: row.accuracy for row in _of(rows, density, method)} for method in METHODS}
    return {method: level for method, level in levels.items() if level}


def _line(rows: Sequence[TrainedRow], density: float, method: str) -> Row:
    chosen = _of(rows, density, method)
    kept = [round(sum(counts) / len(chosen)) for counts in zip(*(row.kept for row in chosen), strict=True)]
    return {
        "density": density,
        "method": method,
        "accuracy, %": mean([row.accuracy for row in chosen]),
        "weights kept by layer": ", ".join(map(str, kept)),
        "runs with a layer cut off": f"{sum(bool(row.cut) for row in chosen)} of {len(chosen)}",
    }


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
