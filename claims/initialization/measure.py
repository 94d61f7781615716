"""One cell of the claims: prune a network by some method, ablate the mask, train, test; and the cells that are asked.

Cells with equal parameters are computed once for all claims. `quick` asks for 5 % density, the other scales for all of
`DENSITIES`; these also ask for the CNN on the images that the user brings, and `full` for ResNet-20 and VGG-16 on
CIFAR-10 if the data root has it.

The perceptrons of AI7 are one batched program per seed: seventeen replicates of 64–100–100–10 share initial values and
data order and differ in their masks; stacking them costs a fraction of a loop over them
(`bench/test_bench_scores.py` has the ratio).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.engine.cell import Cell, stable_id
from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.single import accuracy, train
from pruneproof.claims.training.trainer import Trainer
from pruneproof.prune import (
    Connectivity,
    Masks,
    balanced_batch,
    connectivity,
    invert,
    prune_progressively,
    scores,
    select,
    shuffle,
)
from pruneproof.prune import random as random_masks
from pruneproof.prune.methods.at_initialization import SYNFLOW_ITERATIONS
from pruneproof.prune.selection import schedules

from .setting import (
    DENSITIES,
    DENSITY,
    DIGITS_RECIPE,
    MLP_INPUT,
    MLP_SIZES,
    SETTINGS,
    Images,
    Setting,
    digit_images,
    digits_mlp,
    networks_with_data,
    redrawn,
)

METHODS = ("snip", "grasp", "synflow", "magnitude")  # of the paper
ABLATED = ("snip", "synflow", "magnitude", "grasp_abs")  # judged in AI3–AI5; GraSP proper is printed
CONTROLS = {"random": "global", "random uniform": "layer", "random ERK": "erk"}
ABLATIONS = ("shuffle", "reinitialize", "invert")
WITHIN = "shuffle within live units"
VARIANTS = ("none", "shuffle", WITHIN, "reinitialize")  # of the perceptron
_SHUFFLE, _REDRAW, _CONTROL, _WITHIN = 7001, 7002, 7003, 7004  # added to a seed, so that its draws differ

Score = Callable[[nn.Module], dict[str, Tensor]]


@dataclass(frozen=True)
class EarlyRow:
    """A network pruned at some step and trained under its mask.

    Args:
        kind: `"early"`.
        network: Name in `SETTINGS`.
        data: Name, number and hash of its images.
        method: One of `METHODS`, `"grasp_abs"` or one of `CONTROLS`.
        ablation: `"none"` or one of `ABLATIONS`.
        density: Fraction of weights kept.
        seed: Of initial weights, scoring batch, data order and draws.
        at: Step at which the network was pruned.
        accuracy: Share of test images classified correctly, in [0, 1].
        kept: Weights kept.
        layers: Fraction kept in each layer.
        live: Units of each layer on a path from input to output.
        cut: Layers without any such unit.
        restart: True if the whole recipe was trained after pruning, None if only its remaining steps.
    """

    kind: str
    network: str
    data: str
    method: str
    ablation: str
    density: float
    seed: int
    at: int
    accuracy: float
    kept: int
    layers: dict[str, float]
    live: dict[str, int]
    cut: list[str]
    restart: bool | None = None


@dataclass(frozen=True)
class LateRow:
    """A network pruned by magnitude after training, or a lottery ticket from such a mask.

    Args:
        kind: `"late"`.
        network: Name in `SETTINGS`.
        data: Name, number and hash of its images.
        density: Fraction of weights kept.
        seed: Of initial weights, data order and draws.
        variant: `"dense"`, `"after"`, `"ticket"`, `"ticket shuffle"` or `"ticket reinitialize"`.
        accuracy: Share of test images classified correctly, in [0, 1].
        kept: Weights kept.
        layers: Fraction kept in each layer.
        live: Units of each layer on a path from input to output.
        cut: Layers without any such unit.
    """

    kind: str
    network: str
    data: str
    density: float
    seed: int
    variant: str
    accuracy: float
    kept: int
    layers: dict[str, float]
    live: dict[str, int]
    cut: list[str]


@dataclass(frozen=True)
class PerceptronRow:
    """A perceptron trained under a mask.

    Args:
        kind: `"perceptrons"`.
        data: Name, number and hash of the digits.
        density: Fraction of weights kept.
        seed: Of initial weights, scoring batch, data order and draws.
        method: One of `METHODS`, or `"random ERK"`.
        variant: One of `VARIANTS`.
        accuracy: Share of test images classified correctly, in [0, 1].
        kept: Weights kept.
        live: Units of each layer on a path from input to output, before training.
    """

    kind: str
    data: str
    density: float
    seed: int
    method: str
    variant: str
    accuracy: float
    kept: int
    live: dict[str, int]


@stable_id("pruneproof.claims.initialization.grid:pruned", revision=1)
def pruned(cell: Cell) -> list[EarlyRow] | list[LateRow] | list[PerceptronRow]:
    """Measure one cell of any of the claims.

    Args:
        cell: `kind` is "early", "late" or "perceptrons"; the other parameters are those of the row of that kind.
    """
    kinds = {"early": _pruned_early, "late": _pruned_late, "perceptrons": _pruned_perceptrons}
    return kinds[cell["kind"]](cell)


def early_cells(
    scale: Scale, seeds: int | None, variants: Sequence[tuple[str, str]], *, everywhere: bool = True
) -> list[Cell]:
    """Methods pruned at initialisation.

    Args:
        scale: Which densities, networks and how many seeds.
        seeds: Number of seeds, or None for that of the scale.
        variants: (method, ablation) pairs.
        everywhere: Whether to ask for all densities of the scale, or for 5 % only.
    """
    return [
        point | {"kind": "early", "method": method, "ablation": ablation, "at": 0}
        for point in _points(scale, seeds)
        for method, ablation in variants
        if everywhere or point["density"] == DENSITY
    ]


def ablation_cells(scale: Scale, seeds: int | None, ablation: str) -> list[Cell]:
    """The methods as published and under an ablation, and random pruning: AI3, AI4, AI5. GraSP proper at 5 % only."""
    cells = early_cells(scale, seeds, [("random", "none"), *product(ABLATED, ("none", ablation))])
    if scale is Scale.QUICK:
        return cells
    return cells + early_cells(scale, seeds, list(product(["grasp"], ("none", ablation))), everywhere=False)


def late_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """Magnitude after training and lottery tickets: AI2, AI6."""
    return [point | {"kind": "late"} for point in _points(scale, seeds)]


def _points(scale: Scale, seeds: int | None) -> list[Cell]:
    """Network with its data, density and seed, 5 % first."""
    densities = (DENSITY,) if scale is Scale.QUICK else tuple(sorted(DENSITIES, key=lambda d: (d != DENSITY, d)))
    return [
        {"network": network, "data": SETTINGS[network].data(), "density": density, "seed": seed}
        for network, count in networks_with_data(scale, seeds).items()
        for density in densities
        for seed in fresh_seeds(count)
    ]


def _pruned_early(cell: Cell) -> list[EarlyRow]:
    """Train to step `at`, prune, ablate, train to the end, or by the whole recipe again if `restart`."""
    setting, seed = SETTINGS[cell["network"]], int(cell["seed"])
    images = setting.images(cell["data"])
    model = _trained(setting, images, setting.build(seed), seed, stop=cell["at"])
    batch = balanced_batch(images.train_x, images.train_y, generator=torch.Generator().manual_seed(seed))
    inverted = cell["ablation"] == "invert"
    control = seed + _CONTROL
    masks = masks_of(model, cell["method"], cell["density"], batch, images.shape, seed=control, inverted=inverted)
    model, masks = ablated(model, masks, cell["ablation"], seed)
    start = 0 if cell.get("restart") else cell["at"]
    trained = _trained(setting, images, model, seed, masks=masks, start=start)
    return [EarlyRow(**cell, **_recorded(images, trained, masks))]


def _pruned_late(cell: Cell) -> list[LateRow]:
    """Magnitude after training, and lottery tickets from its masks: a row for each, and for the dense network.

    `after` is retrained by the whole recipe from its trained weights (learning-rate rewinding); `ticket` returns to the
    weights after the setting's rewinding step and trains on; so do both ablations of the ticket.
    """
    setting, seed = SETTINGS[cell["network"]], int(cell["seed"])
    images = setting.images(cell["data"])
    early, dense = copy.deepcopy(_dense(cell["network"], cell["data"], seed))
    masks = select(scores.magnitude(dense), density=cell["density"])
    everything = Masks({name: torch.ones_like(mask) for name, mask in masks.items()})
    rows = [LateRow(**cell, variant="dense", **_recorded(images, dense, everything))]
    after = _trained(setting, images, dense, seed, masks=masks)
    rows.append(LateRow(**cell, variant="after", **_recorded(images, after, masks)))
    for ablation in ("none", "shuffle", "reinitialize"):
        ticket, kept = ablated(copy.deepcopy(early), masks, ablation, seed)
        _trained(setting, images, ticket, seed, masks=kept, start=setting.rewind)
        variant = "ticket" if ablation == "none" else f"ticket {ablation}"
        rows.append(LateRow(**cell, variant=variant, **_recorded(images, ticket, kept)))
    return rows


@cache
def _dense(network: str, data: str, seed: int) -> tuple[nn.Module, nn.Module]:
    """The network at the step that tickets rewind to, and at its end; for all densities, so nobody may change them."""
    setting = SETTINGS[network]
    images = setting.images(data)
    early = _trained(setting, images, setting.build(seed), seed, stop=setting.rewind)
    return early, _trained(setting, images, copy.deepcopy(early), seed, start=setting.rewind)


def masks_of(
    model: nn.Module,
    method: str,
    density: float,
    batch: tuple[Tensor, Tensor],
    input_shape: Sequence[int],
    *,
    seed: int,
    inverted: bool = False,
) -> Masks:
    """The masks of a method at a density.

    Args:
        model: The network; it is not changed.
        method: One of `METHODS`, `"grasp_abs"` or one of `CONTROLS`.
        density: Fraction of weights to keep.
        batch: Inputs and classes for SNIP and GraSP.
        input_shape: Shape of a batch of one input, for SynFlow.
        seed: Of the random controls.
        inverted: Keep the lowest scores, at every iteration of SynFlow.
    """
    if method in CONTROLS:
        generator = torch.Generator().manual_seed(seed)
        return random_masks(model, density=density, generator=generator, scope=CONTROLS[method])
    if method == "synflow":
        densities = schedules.exponential(density, SYNFLOW_ITERATIONS)
        flow: Score = lambda net: scores.synflow(net, input_shape)  # noqa: E731
        return prune_progressively(model, _inverting(flow) if inverted else flow, densities)[-1]
    one_shot: dict[str, Score] = {
        "snip": lambda net: scores.snip(net, cross_entropy, batch),
        "grasp": lambda net: scores.grasp(net, cross_entropy, batch),
        "grasp_abs": lambda net: scores.grasp_abs(net, cross_entropy, batch),
        "magnitude": scores.magnitude,
    }
    score = one_shot[method](model)
    return select(invert(score) if inverted else score, density=density)


def _inverting(score: Score) -> Score:
    return lambda net: invert(score(net))


def ablated(model: nn.Module, masks: Masks, ablation: str, seed: int) -> tuple[nn.Module, Masks]:
    """The model and masks after shuffling or re-initialising; inversion happens when scores are selected."""
    if ablation == "shuffle":
        return model, shuffle(masks, generator=torch.Generator().manual_seed(seed + _SHUFFLE))
    if ablation == "reinitialize":
        return redrawn(model, seed + _REDRAW), masks
    return model, masks


def _trained(
    setting: Setting,
    images: Images,
    model: nn.Module,
    seed: int,
    *,
    masks: Masks | None = None,
    start: int = 0,
    stop: int | None = None,
) -> nn.Module:
    return train(
        model,
        images.train_x,
        images.train_y,
        setting.recipe,
        seed=seed,
        masks=masks,
        start=start,
        stop=stop,
        augment=setting.augment,
    )


def _recorded(images: Images, model: nn.Module, masks: Masks) -> dict[str, Any]:
    """What is recorded of a trained network: test accuracy, kept weights, layer densities, live units."""
    path = connectivity(model, masks, images.shape)
    return {
        "accuracy": accuracy(model, images.test_x, images.test_y),
        "kept": masks.count,
        "layers": {name: masks.counts[name] / mask.numel() for name, mask in masks.items()},
        "live": dict(path.live_units),
        "cut": list(path.cut),
    }


def _pruned_perceptrons(cell: Cell) -> list[PerceptronRow]:
    """Every method under every variant at one seed and density."""
    data, seed = digit_images(cell["data"]), int(cell["seed"])
    train_x, test_x = (x.reshape(len(x), -1) for x in (data.train_x, data.test_x))
    batch = balanced_batch(train_x, data.train_y, generator=torch.Generator().manual_seed(seed))
    model = digits_mlp(seed)
    names, networks = list[tuple[str, str]](), list[tuple[nn.Module, Masks]]()
    for method in ("random ERK", *METHODS):
        masks = masks_of(model, method, cell["density"], batch, MLP_INPUT, seed=seed + _CONTROL)
        path = connectivity(model, masks, MLP_INPUT)
        for variant in VARIANTS if method in METHODS else ("none",):
            names.append((method, variant))
            networks.append(_varied(model, masks, path, variant, seed))
    nets, kept = stacked(networks, seed)
    Trainer(nets, train_x, data.train_y, DIGITS_RECIPE).run(mask=kept)
    correct = (nets.probabilities(test_x).argmax(2) == data.test_y).float().mean(1).tolist()
    paths = [connectivity(network, masks, MLP_INPUT) for network, masks in networks]
    return [
        PerceptronRow(
            **cell,
            method=method,
            variant=variant,
            accuracy=score,
            kept=path.kept.count,
            live=dict(path.live_units),
        )
        for (method, variant), score, path in zip(names, correct, paths, strict=True)
    ]


def _varied(model: nn.Module, masks: Masks, path: Connectivity, variant: str, seed: int) -> tuple[nn.Module, Masks]:
    if variant == WITHIN:
        generator = torch.Generator().manual_seed(seed + _WITHIN)
        return model, shuffle(masks, generator=generator, within=path.live_positions())
    return ablated(model, masks, variant, seed)


def stacked(networks: Sequence[tuple[nn.Module, Masks]], seed: int) -> tuple[Replicates, Tensor]:
    """Perceptrons and masks as replicates.

    Args:
        networks: R networks of the sizes `MLP_SIZES`, each with its masks.
        seed: Of the order of the data.

    Returns:
        The replicates, and a bool mask (R, P) of their P parameters; biases are never masked.
    """
    nets = initial_replicates([MLP_SIZES] * len(networks), [seed] * len(networks))
    kept = torch.ones_like(nets.parameters, dtype=torch.bool)
    mask_views = nets.over(kept).weights
    for replicate, (network, masks) in enumerate(networks):
        for layer, linear in enumerate(module for module in network.modules() if isinstance(module, nn.Linear)):
            nets.weights[layer][replicate] = linear.weight.detach()
            nets.biases[layer][replicate] = linear.bias.detach()[:, None]
            mask_views[layer][replicate] = masks[f"{2 * layer}.weight"]
    return nets, kept
