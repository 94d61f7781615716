"""The small residual networks of the scaling law, pruned iteratively one seed at a time.

A 3 × 3 convolution, `depth` residual blocks of `width` channels at the full size of the image, the average over all
places, and a linear layer; BatchNorm after every convolution. Perceptrons are trained many at a time instead.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pruneproof.claims.engine.cell import Cell
from pruneproof.claims.training.single import GlobalAverage, accuracy, train
from pruneproof.claims.training.trainer import Recipe
from pruneproof.prune import imp, reinitialize


class Block(nn.Module):
    """Two 3 × 3 convolutions with BatchNorm, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_normalized(width, width), nn.ReLU(), *_normalized(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) → the same shape."""
        return torch.relu(x + self.body(x))


def residual_network(width: int, depth: int, seed: int) -> nn.Module:
    """A residual network for images (batch, 1, h, w) and ten classes, drawn from a seed.

    Example:
        >>> residual_network(8, 2, seed=0)(torch.zeros(1, 1, 14, 14)).shape
        torch.Size([1, 10])
    """
    with torch.random.fork_rng(devices=[]):
        layers = [*_normalized(1, width), nn.ReLU(), *(Block(width) for _ in range(depth))]
        net = nn.Sequential(*layers, GlobalAverage(), nn.Flatten(), nn.Linear(width, 10))
    net = reinitialize(net, generator=torch.Generator().manual_seed(seed))
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _normalized(fan_in: int, fan_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out)


def pruned_levels(
    cell: Cell, seed: int, recipe: Recipe, train_set: tuple[Tensor, Tensor], test_set: tuple[Tensor, Tensor]
) -> Iterator[tuple[float, int, float]]:
    """Density, weights kept and test error of every level of one seed, the dense network first.

    Args:
        cell: `width`, `depth`, `rewind_epochs`, `share`, `levels`, and `device` if that is not the CPU.
        seed: Of the weights and of the order of the data.
        recipe: The training of every level.
        train_set: Images as rows (n, pixels) of a square image, and labels (n,).
        test_set: Likewise.
    """
    device = cell.get("device", "cpu")
    parts = ((_square(x).to(device), y.to(device)) for x, y in (train_set, test_set))
    (inputs, labels), (test_inputs, test_labels) = parts
    net = residual_network(cell["width"], cell["depth"], seed).to(device)
    per_epoch = -(-len(labels) // recipe.batch)

    def run(model: nn.Module, start: int, stop: int) -> None:
        train(model, inputs, labels, recipe, seed=seed, start=start, stop=stop)

    densities = [(1 - cell["share"]) ** level for level in range(1, cell["levels"] + 1)]
    rounds = imp(net, run, densities, iterations=recipe.epochs * per_epoch, rewind_to=cell["rewind_epochs"] * per_epoch)
    for density, level in zip([1.0, *densities], rounds, strict=True):
        yield density, level.masks.count, 1 - accuracy(net, test_inputs, test_labels)


def _square(rows: Tensor) -> Tensor:
    side = round(rows.shape[1] ** 0.5)
    return rows.view(-1, 1, side, side).contiguous(memory_format=torch.channels_last)
