"""SP8: are networks highly compressed with minimal loss, if pruning by sensitivity is followed by retraining?

One-shot: prune the trained network once, retrain. Cascade: prune in rounds of equal ratio, retraining after each.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean, paired_difference
from pruneproof.claims.training.single import accuracy, train
from pruneproof.prune import Masks, magnitude, random, sipp

from .setting import NAMES, PUBLICATION, count, data_of, images, recipe_of, sample, seeds_of, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "Networks pruned by sensitivity and retrained are highly compressed with minimal loss of accuracy."
SOURCE = f"{PUBLICATION}, abstract"
CRITERION = (
    "At 10 % density, for every network, cascade pruning by the mixture (hybrid) with retraining loses at most half a "
    "point of test accuracy: the 95 % interval of the mean loss against the dense network lies below 0.5 points (ten "
    "times and half a point are ours). Not reproduced if a loss lies above it after Holm's correction; else "
    "inconclusive. One-shot pruning, the other densities, truncation alone (det), magnitude and random pruning are "
    "printed."
)
SAYS_NOT = "That magnitude pruning by the same schedule loses more: its rows stand beside it."

METHODS = ("sipp hybrid", "sipp det", "magnitude", "random")
JUDGED = "sipp hybrid"
DENSITY = 0.1
LOSS = 0.5  # points
ROUNDS = 3  # of a cascade
SCHEDULES = ("one-shot", "cascade")


@dataclass(frozen=True)
class RetrainedRow:
    """A trained network after pruning and retraining.

    Args:
        network: Name in `setting.NAMES`.
        data: Name, number and hash of its images.
        density: Fraction of weights kept.
        method: One of `METHODS`.
        schedule: One of `SCHEDULES`.
        seed: Of the network, the draws and the order of the data.
        accuracy: On the test images, per cent.
        dense: That of the dense network.
        kept: Weights kept.
    """

    network: str
    data: str
    density: float
    method: str
    schedule: str
    seed: int
    accuracy: float
    dense: float
    kept: int


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × methods × schedules × seeds; random pruning in one shot only.

    At quick LeNet at the density that is judged, cascades only, and only of the method that is judged and magnitude.
    """
    quick = scale is Scale.QUICK
    networks = ("lenet",) if quick else ("lenet", "cnn", "image lenet", "image cnn")
    densities = (DENSITY,) if quick else (0.3, DENSITY, 0.05, 0.02)
    fewer = (DENSITY, 0.02)  # on the images that the user brings
    return [
        {"network": network, "data": data, "density": density, "method": method, "schedule": schedule, "seed": seed}
        for network, data in data_of(networks).items()
        for density in (fewer if network.startswith("image ") else densities)
        for method in ((JUDGED, "magnitude") if quick else METHODS)
        for schedule in (("cascade",) if quick else SCHEDULES)
        if (method, schedule) != ("random", "cascade")
        for seed in seeds_of(network, seeds or count(scale, 3, 6, 20))
    ]


@stable_id("sensitivity/prune-retrain", revision=2)
def measure(cell: Cell) -> list[RetrainedRow]:
    """Prune and retrain by the schedule; test."""
    data, seed = cell["data"], cell["seed"]
    split, points = images(data), sample(data, seed)
    model: nn.Module = copy.deepcopy(trained(cell["network"], data, seed))
    dense = 100 * accuracy(model, split.test_x, split.test_y)
    rounds = ROUNDS if cell["schedule"] == "cascade" else 1
    generator = torch.Generator().manual_seed(seed)
    kept = 0
    for position in range(1, rounds + 1):
        density = cell["density"] ** (position / rounds)
        model, masks = _pruned(model, cell["method"], density, points, generator)
        train(model, split.train_x, split.train_y, recipe_of(data), seed=seed + position, masks=masks)
        kept = masks.count
    reached = 100 * accuracy(model, split.test_x, split.test_y)
    return [RetrainedRow(**cell, accuracy=reached, dense=dense, kept=kept)]


def _pruned(
    model: nn.Module, method: str, density: float, points: Tensor, generator: torch.Generator
) -> tuple[nn.Module, Masks]:
    """A pruned network, its weights rescaled where the method draws them, and its masks."""
    model.eval()
    if method.startswith("sipp"):
        variant = method.removeprefix("sipp ")
        result = sipp(model, points, density=density, variant=variant, generator=generator)
        return result.model, result.masks
    masks = magnitude(model, density=density) if method == "magnitude" else random(
        model, density=density, generator=generator
    )  # fmt: skip
    return masks.apply_(model), masks


def judge(rows: Sequence[Row]) -> Outcome:
    """Points of accuracy that a method loses against the dense network."""
    tried = read_rows(RetrainedRow, rows)
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    settings = list(dict.fromkeys((row.network, row.density, row.method, row.schedule) for row in tried))
    for network, density, method, schedule in settings:
        chosen = _of(tried, network, density, method, schedule)
        dense, reached = ({row.seed: getattr(row, name) for row in chosen} for name in ("dense", "accuracy"))
        name = f"{network}, density {density}: points lost by {method}, {schedule}"
        printed[name] = paired_difference(dense, reached)
        if (density, method, schedule) == (DENSITY, JUDGED, "cascade"):
            comparisons.append(Comparison(name, printed[name], below=LOSS))
    table: list[Row] = [
        {
            "network": network,
            "density": density,
            "method": method,
            "schedule": schedule,
            "accuracy, %": mean([row.accuracy for row in _of(tried, network, density, method, schedule)]),
            "weights kept": _of(tried, network, density, method, schedule)[0].kept,
        }
        for network, density, method, schedule in settings
    ]
    networks = ", ".join(NAMES[name] for name in dict.fromkeys(row.network for row in tried))
    scope = f"{networks}; retraining by the recipe of training after each round, cascades of {ROUNDS} rounds"
    return conclude(comparisons, (row.seed for row in tried), scope, dict(printed), table)


def _of(rows: Sequence[RetrainedRow], network: str, density: float, method: str, schedule: str) -> list[RetrainedRow]:
    wanted = (network, density, method, schedule)
    return [row for row in rows if (row.network, row.density, row.method, row.schedule) == wanted]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Accuracy after retraining against density, one panel per network."""
    tried = read_rows(RetrainedRow, rows)
    networks = list(dict.fromkeys(row.network for row in tried))

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8, 3.4)
        panels = canvas.subplots(1, len(networks), squeeze=False)[0]
        for axes, network in zip(panels, networks, strict=True):
            for index, method in enumerate(METHODS):
                for schedule, style in zip(SCHEDULES, ("--", "-"), strict=True):
                    at = sorted({row.density for row in tried if (row.method, row.schedule) == (method, schedule)})
                    reached = [(d, _of(tried, network, d, method, schedule)) for d in at]
                    levels = [(d, mean([row.accuracy for row in chosen]).value) for d, chosen in reached if chosen]
                    if levels:
                        label = f"{method}, {schedule}"
                        axes.plot(*zip(*levels, strict=True), style, color=f"C{index}", marker="o", label=label)
            axes.set_xscale("log")
            shown = sorted({row.density for row in tried if row.network == network})
            axes.set_xticks(shown, [f"{density:g}" for density in shown])
            axes.minorticks_off()
            axes.set_xlabel("density")
            axes.set_ylabel("test accuracy, %")
            axes.set_title(network, fontsize="small")
        panels[0].legend(fontsize="x-small")

    caption = "Test accuracy after pruning and retraining, mean over seeds; solid: cascades, dashed: one shot."
    return [Figure("Pruning and retraining", caption, draw)]


SP8 = Claim(
    "SP8",
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
