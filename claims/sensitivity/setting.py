"""Networks, data and pruning methods of the sensitivity claims: images with pixels in [0, 1]."""

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.data.digits import Split
from pruneproof.claims.data.images import brought_label, digits_label, read_images
from pruneproof.claims.training.single import train
from pruneproof.claims.training.trainer import Recipe
from pruneproof.prune import prunable, reinitialize, select, sipp
from pruneproof.prune.scores import magnitude
from pruneproof.prune.sensitivity.method import HalfRowBounds

PUBLICATION = "Baykal et al., arXiv 1910.05422"
ALPHA = 1e-9  # false-alarm rate of each exact test in a theorem's claim
SAMPLE = 128  # points of S
WIDTHS = {"mlp": (64, 256, 128, 10), "lenet": (64, 300, 100, 10), "image lenet": (784, 300, 100, 10)}
IMAGES = 10_000  # of those that the user brings networks are trained on, the same for all seeds
IMAGE_SEEDS = 4  # at most, of networks for these
NAMES = {
    "mlp": "the digits perceptron 64–256–128–10",
    "lenet": "the digits perceptron 64–300–100–10 (LeNet-300-100's widths)",
    "cnn": "a digits CNN (conv8–conv16, 3 × 3, BatchNorm, max pooling, linear)",
    "image lenet": f"LeNet-300-100 (784–300–100–10) on {IMAGES:,} images",
    "image cnn": f"a CNN on {IMAGES:,} images (conv16–conv32, 3 × 3, stride 2, BatchNorm, max pooling, linear)",
}
INFORMED = ("sipp best", "sipp det", "sipp poisson")
DATA_FREE = ("magnitude", "magnitude by layer", "uniform", "l1 rows", "l2 rows")


def data_of(networks: Sequence[str]) -> dict[str, str]:
    """The networks of a list that can be trained here, each with the name of its images in a cell.

    Args:
        networks: Names in `NAMES`; those on images that the user brings are left out if there are none.
    """
    labels = {network: brought_label() if network.startswith("image ") else digits_label() for network in networks}
    return {network: label for network, label in labels.items() if label is not None}


def seeds_of(network: str, count: int) -> range:
    """Fresh seeds of a network, fewer on the images that the user brings."""
    return fresh_seeds(min(count, IMAGE_SEEDS) if network.startswith("image ") else count)


def recipe_of(data: str) -> Recipe:
    """How a network is trained on these images, and retrained."""
    epochs, batch = (20, 64) if data == digits_label() else (6, 128)
    return Recipe(epochs, batch, rate=0.1, momentum=0.9)


@cache
def images(data: str) -> Split:
    """All digits, or some of the images that the user brings, flat, pixels in [0, 1].

    Args:
        data: The name of the images in a cell.
    """
    train_x, train_y, test_x, test_y = read_images(data)
    drawn = torch.randperm(len(train_y), generator=torch.Generator().manual_seed(0))[:IMAGES]
    chosen = slice(None) if data == digits_label() else drawn
    return Split(train_x[chosen].flatten(1), train_y[chosen], test_x.flatten(1), test_y)


def untrained(network: str, seed: int) -> nn.Sequential:
    """A network as it starts, drawn from a generator of its own."""
    with torch.random.fork_rng(devices=[]):
        built = _built(network)
    return cast(nn.Sequential, reinitialize(built, generator=torch.Generator().manual_seed(seed)))


def _built(network: str) -> nn.Sequential:
    if network == "cnn":
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
            nn.Linear(256, 10),
        )  # fmt: skip
    if network == "image cnn":
        return nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(288, 10),
        )  # fmt: skip
    layers = [m for fan_in, fan_out in pairwise(WIDTHS[network]) for m in (nn.Linear(fan_in, fan_out), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@cache
def trained(network: str, data: str, seed: int) -> nn.Sequential:
    """The network after training; kept for the other cells of this process, so nobody may change it."""
    split = images(data)
    model = untrained(network, seed)
    train(model, split.train_x, split.train_y, recipe_of(data), seed=seed)
    return model.eval()


def sample(data: str, seed: int) -> Tensor:
    """S: training images drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    inputs = images(data).train_x
    return inputs[torch.randperm(len(inputs), generator=generator)[:SAMPLE]]


def hidden(network: str, data: str, seed: int, layer: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of a linear layer of a trained perceptron, and the layer's inputs, in float64.

    Args:
        network: `"mlp"` or `"lenet"`.
        data: The name of its images in a cell.
        seed: Of the trained network.
        layer: Which linear layer, from 0.
        inputs: Inputs of the network, (n, 64).

    Returns:
        The weight (rows, columns) and what the layer reads (n, columns).
    """
    model = trained(network, data, seed)
    linear = [index for index, module in enumerate(model) if isinstance(module, nn.Linear)][layer]
    with torch.no_grad():
        layer_inputs = model[:linear](inputs)
    weight = list(prunable(model).values())[layer]
    return weight.detach().double(), layer_inputs.double()


def count(scale: Scale, quick: int, standard: int, full: int) -> int:
    """A number that grows with the scale.

    Example:
        >>> count(Scale.STANDARD, 1, 5, 20)
        5
    """
    return {Scale.QUICK: quick, Scale.STANDARD: standard, Scale.FULL: full}[scale]


def pruned_copy(
    method: str, model: nn.Module, points: Tensor, density: float, seed: int
) -> tuple[nn.Module, Mapping[str, HalfRowBounds] | None]:
    """Prune a copy of a network without retraining.

    Args:
        method: One of `INFORMED` and `DATA_FREE`.
        model: The network; it is not changed.
        points: The sample S, (|S|, features), from which sensitivities are measured.
        density: Fraction of weights to keep.
        seed: Of the draws.

    Returns:
        The pruned copy, and the bounds of its half-rows where the method gives any.
    """
    generator = torch.Generator().manual_seed(seed)
    if method in INFORMED:
        variant = method.removeprefix("sipp ")
        result = sipp(model, points, density=density, variant=variant, generator=generator)
        return result.model, result.bounds
    pruned = copy.deepcopy(model)
    if method.startswith("magnitude"):
        scope = "layer" if method.endswith("layer") else "global"
        return select(magnitude(pruned), density=density, scope=scope).apply_(pruned), None
    power = {"uniform": 0, "l1 rows": 1, "l2 rows": 2}[method]
    for weight in prunable(pruned).values():
        weight.data.copy_(_row_sampled(weight.detach().flatten(1), power, density, generator).reshape_as(weight))
    return pruned, None


def _row_sampled(weight: Tensor, power: int, density: float, generator: torch.Generator) -> Tensor:
    """Keep entries of each row with chances ∝ |w|^power, `density` of them expected, divided by the chance."""
    size = weight.abs().double() ** power * (weight != 0)
    low, high = torch.zeros(len(weight), 1, dtype=torch.float64), 1e6 / size.amax(1, keepdim=True).clamp(min=1e-300)
    for _ in range(80):
        middle = 0.5 * (low + high)
        short = (middle * size).clamp(max=1.0).mean(1, keepdim=True) < density
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    chance = (high * size).clamp(max=1.0)
    kept = torch.rand(weight.shape, generator=generator, dtype=torch.float64) < chance
    return torch.where(kept, weight / chance, 0.0).to(weight.dtype)
