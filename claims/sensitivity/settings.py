"""Networks and data of the sensitivity claims: digits with pixels in [0, 1], and what is trained on them."""

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.digits import Split, digits
from pruneproof.claims.training.single import train
from pruneproof.claims.training.trainer import Recipe
from pruneproof.prune import prunable

SOURCE = "Baykal et al., arXiv 1910.05422"
ALPHA = 1e-9  # false-alarm rate of each exact test in a theorem's claim
SAMPLE = 128  # points of S
WIDTHS = {"mlp": (64, 256, 128, 10), "lenet": (64, 300, 100, 10)}
RECIPE = Recipe(epochs=20, batch=64, rate=0.1, momentum=0.9)
NAMES = {
    "mlp": "the digits perceptron 64–256–128–10",
    "lenet": "the digits perceptron 64–300–100–10 (LeNet-300-100's widths)",
    "cnn": "a digits CNN (conv8–conv16, 3 × 3, BatchNorm, max pooling, linear)",
}


@cache
def images() -> Split:
    """All digits, pixels in [0, 1] (16 grey levels)."""
    split = digits()
    top = split.train_x.max()
    return Split(split.train_x / top, split.train_y, split.test_x / top, split.test_y)


def untrained(network: str, seed: int) -> nn.Sequential:
    """A network as it starts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if network == "cnn":
            return nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
                nn.Linear(256, 10),
            )  # fmt: skip
        layers = [m for fan_in, fan_out in pairwise(WIDTHS[network]) for m in (nn.Linear(fan_in, fan_out), nn.ReLU())]
        return nn.Sequential(*layers[:-1])


@cache
def trained(network: str, seed: int) -> nn.Sequential:
    """The network after training; kept for the other cells of this process, so nobody may change it."""
    split = images()
    model = untrained(network, seed)
    train(model, split.train_x, split.train_y, RECIPE, seed=seed)
    return model.eval()


def sample(seed: int) -> Tensor:
    """S: training images drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    inputs = images().train_x
    return inputs[torch.randperm(len(inputs), generator=generator)[:SAMPLE]]


def hidden(network: str, seed: int, layer: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of the layer-th linear layer of a trained perceptron, and what it meets, in float64."""
    model = trained(network, seed)
    linear = [index for index, module in enumerate(model) if isinstance(module, nn.Linear)][layer]
    with torch.no_grad():
        met = model[:linear](inputs)
    weight = list(prunable(model).values())[layer]
    return weight.detach().double(), met.double()


def count(scale: Scale, quick: int, standard: int, full: int) -> int:
    """A number that grows with the scale."""
    return {Scale.QUICK: quick, Scale.STANDARD: standard, Scale.FULL: full}[scale]
