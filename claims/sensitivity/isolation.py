"""SP7: do sensitivities find connections that can be trained in isolation? At initialisation and rewound."""

from collections.abc import Sequence

import torch

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.claims.estimates import interval, paired
from pruneproof.claims.training.single import accuracy, train
from pruneproof.prune import Masks, random, select, sipp, snip
from pruneproof.prune import magnitude as magnitude_masks
from pruneproof.prune.sensitivity.measuring import layers
from pruneproof.prune.sensitivity.measuring import measure as measured

from .settings import NAMES, RECIPE, SOURCE, count, images, sample, trained, untrained

METHODS = ("sipp", "sipp by layer", "sipp rewound", "magnitude", "magnitude rewound", "snip", "random")
DENSITY = 0.05


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Methods × seeds on the perceptron."""
    return [
        {"network": "mlp", "density": density, "method": method, "seed": seed}
        for density in ((DENSITY,) if scale is Scale.QUICK else (0.02, DENSITY, 0.2))
        for method in METHODS
        for seed in range(seeds or count(scale, 5, 10, 20))
    ]


@stable_id("pruneproof.claims.sensitivity.isolation:measure")
def measure(cell: Cell) -> list[Row]:
    """Take the mask, go back to the initial weights, train what is kept."""
    split = images()
    model = untrained(cell["network"], cell["seed"])
    masks = _masks(cell, model)
    train(masks.apply_(model), split.train_x, split.train_y, RECIPE, seed=cell["seed"], masks=masks)
    return [{"accuracy": 100 * accuracy(model, split.test_x, split.test_y), "kept": masks.count}]


def _masks(cell: Cell, model: torch.nn.Module) -> Masks:
    split, density = images(), cell["density"]
    generator = torch.Generator().manual_seed(cell["seed"])
    source = trained(cell["network"], cell["seed"]) if cell["method"].endswith("rewound") else model
    match cell["method"].removesuffix(" rewound"):
        case "sipp":
            return sipp(source, sample(cell["seed"]), density=density, variant="det").masks
        case "sipp by layer":
            points = sample(cell["seed"])
            scores = {layer.name: measured(source, points, layer).scores for layer in layers(source)[0]}
            return select(scores, density=density, scope="layer")
        case "magnitude":
            return magnitude_masks(source, density=density)
        case "snip":
            batch = torch.randperm(len(split.train_x), generator=generator)[:100]
            data = (split.train_x[batch], split.train_y[batch])
            return snip(source, torch.nn.functional.cross_entropy, data, density=density)
        case _:
            return random(source, density=density, generator=generator)


def judge(rows: Sequence[Row]) -> Outcome:
    """SiPP's masks, at initialisation and rewound, above random ones; the others are printed."""
    densities = sorted({float(r["density"]) for r in rows})
    deltas: dict[str, list[float]] = {}
    tests: list[list[float]] = []
    for density in densities:
        levels = {m: {int(r["seed"]): float(r["accuracy"]) for r in rows if (r["method"], r["density"]) == (m, density)}
                  for m in METHODS}  # fmt: skip
        for method, control in (("sipp", "random"), ("sipp rewound", "random")):
            deltas[f"density {density}: {method} − {control}"] = paired(levels[method], levels[control])
            tests.append(deltas[f"density {density}: {method} − {control}"])
        for method, control in (
            ("sipp", "snip"),
            ("sipp by layer", "random"),
            ("sipp", "magnitude"),
            ("sipp rewound", "magnitude rewound"),
        ):
            deltas[f"density {density}: {method} − {control}"] = paired(levels[method], levels[control])
    verdict = Verdict.HOLDS if all(low > 0 for _, low, _ in tests) else Verdict.INCONCLUSIVE
    if any(high < 0 for _, _, high in tests):
        verdict = Verdict.NOT_REPRODUCED
    table = [
        {"density": density, "method": m, "accuracy, %": interval(
            [float(r["accuracy"]) for r in rows if (r["method"], r["density"]) == (m, density)])[0]}
        for density in densities for m in METHODS
    ]  # fmt: skip
    scope = f"{NAMES['mlp']}, {RECIPE.epochs} epochs from the initial weights, Det masks, one-sided 95 %"
    return Outcome(verdict, deltas, tuple(sorted({int(r["seed"]) for r in rows})), scope, table)


SP7 = Claim(
    "SP7",
    "Sensitivities find connections that can be trained in isolation.",
    SOURCE,
    "At every density, SiPP's masks (Det, one global threshold), taken at initialisation and from the trained network "
    "with weights rewound, reach after training a test accuracy above that of random masks: the one-sided 95 % lower "
    "limit of the paired difference exceeds 0 for both. Differences from SNIP and magnitude, and sensitivities at one "
    "density per layer, are printed.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    says_not="That no other mask trains as well: SNIP's and magnitude's rows stand beside it.",
)
