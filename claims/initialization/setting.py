"""Where the claims are measured: networks with their data and recipes, by name; densities and seeds.

`cnn` runs anywhere. `resnet20` and `vgg16` follow the published protocol on CIFAR-10 (160 epochs, batch 128, rate 0.1
divided by ten at 80 and 120, momentum 0.9, decay 1e-4, flips and shifts) and are offered when a data root holds
CIFAR-10 and a GPU is present.

Weights are drawn by Kaiming's normal rule, variance 2 / fan-in; biases and BatchNorm start as torch starts them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.cifar import find_cifar10, flipped_and_shifted, read_cifar10
from pruneproof.claims.data.digits import digits
from pruneproof.claims.training.single import Augment
from pruneproof.claims.training.trainer import Recipe
from pruneproof.prune.methods.ablations import reinitialize

PUBLICATION = (
    "Frankle, Dziugaite, Roy, Carbin 2021, Pruning Neural Networks at Initialization: Why Are We Missing the Mark?"
)
NETWORKS = {
    "cnn": "the digits CNN (conv16–conv32–conv32, 14,288 prunable weights, 20 epochs)",
    "resnet20": "ResNet-20 on CIFAR-10 (270,896 prunable weights, 160 epochs)",
    "vgg16": "VGG-16 on CIFAR-10 (14,715,584 prunable weights, 160 epochs)",
}
DENSITY = 0.05  # the density of `quick`, and of the claims about one density
DENSITIES = (0.2, 0.1, DENSITY, 0.02)
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 6, Scale.FULL: 30}
FEW = 3  # seeds of the networks that need a GPU
MLP_SIZES = (64, 100, 100, 10)
MLP_INPUT = (1, 64)
_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: maximum over 2 × 2


@dataclass(frozen=True)
class Images:
    """Training and test images (n, channels, height, width), channels-last, standardised together, with labels."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Setting:
    """A network with its data.

    Args:
        build: seed → network.
        images: the data, read once per process.
        recipe: how it is trained.
        rewind: the step that lottery tickets rewind to.
        augment: changes training batches, or None.
    """

    build: Callable[[int], nn.Module]
    images: Callable[[], Images]
    recipe: Recipe
    rewind: int
    augment: Augment | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a batch of one image."""
        return (1, *self.images().train_x.shape[1:])


DIGITS_RECIPE = Recipe(epochs=20, batch=144, rate=0.1, momentum=0.9, decay=1e-4, drops=(10, 15))
_CIFAR_RECIPE = Recipe(epochs=160, batch=128, rate=0.1, momentum=0.9, decay=1e-4, drops=(80, 120))


@cache
def digit_images() -> Images:
    """The bundled digits, zero mean and unit variance over all training pixels."""
    split = digits()
    mean, deviation = split.train_x.mean(), split.train_x.std()
    train_x, test_x = (((x - mean) / deviation).reshape(-1, 1, 8, 8) for x in (split.train_x, split.test_x))
    return _channels_last(train_x, split.train_y, test_x, split.test_y)


@cache
def cifar_images() -> Images:
    """CIFAR-10 from the data root, on the GPU if there is one; zero mean and unit variance per channel."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train_x, train_y, test_x, test_y = (tensor.to(device) for tensor in read_cifar10())
    mean, deviation = train_x.mean((0, 2, 3), keepdim=True), train_x.std((0, 2, 3), keepdim=True)
    return _channels_last((train_x - mean) / deviation, train_y, (test_x - mean) / deviation, test_y)


def _channels_last(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> Images:
    first, second = (x.contiguous(memory_format=torch.channels_last) for x in (train_x, test_x))
    return Images(first, train_y, second, test_y)


def digits_cnn(seed: int) -> nn.Module:
    """conv16–conv32–conv32, 3 × 3, BatchNorm, global average, linear: 14,288 prunable weights, drawn from a seed.

    Example:
        >>> from pruneproof.prune import prunable
        >>> sum(weight.numel() for weight in prunable(digits_cnn(0)).values())
        14288
    """
    with torch.random.fork_rng(devices=[]):
        blocks = [*_block(1, 16), *_block(16, 32), *_block(32, 32)]
        net = nn.Sequential(*blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(32, 10))
    return redrawn(net, seed).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def digits_mlp(seed: int) -> nn.Module:
    """The perceptron 64–100–100–10 with ReLU: 17,400 prunable weights, drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        widths = list(pairwise(MLP_SIZES))
        layers = [module for fan_in, fan_out in widths for module in (nn.Linear(fan_in, fan_out), nn.ReLU())]
    return redrawn(nn.Sequential(*layers[:-1]), seed)


def _block(fan_in: int, fan_out: int) -> list[nn.Module]:
    return [nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]


def redrawn(net: nn.Module, seed: int) -> nn.Module:
    """A copy of the network with values drawn from a seed by the rule of this module."""
    return reinitialize(net, generator=torch.Generator().manual_seed(seed), initialize=kaiming_normal)


def kaiming_normal(module: nn.Module) -> None:
    """Reset a layer, then draw its weight by Kaiming's normal rule if it is a convolution or linear."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
        module.reset_parameters()
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with BatchNorm, added to their input (by a 1 × 1 convolution if the shape changes)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normalized_convolution(fan_in, fan_out, stride), nn.ReLU(), *_normalized_convolution(fan_out, fan_out, 1)
        )
        changed = stride > 1 or fan_in != fan_out
        self.shortcut = (
            nn.Sequential(*_normalized_convolution(fan_in, fan_out, stride, 1)) if changed else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in, h, w) → (batch, fan_out, h / stride, w / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet20(seed: int) -> nn.Module:
    """Three stages of three residual blocks, 16, 32 and 64 channels.

    Example:
        >>> resnet20(0)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    with torch.random.fork_rng(devices=[]):
        layers: list[nn.Module] = [*_normalized_convolution(3, 16, 1), nn.ReLU()]
        for fan_in, fan_out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
            layers.append(ResidualBlock(fan_in, fan_out, stride))
            layers += [ResidualBlock(fan_out, fan_out, 1) for _ in range(2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return _on_device(redrawn(net, seed))


def vgg16(seed: int) -> nn.Module:
    """Thirteen 3 × 3 convolutions with BatchNorm, four maxima over 2 × 2, global average, linear."""
    with torch.random.fork_rng(devices=[]):
        layers, fan_in = list[nn.Module](), 3
        for fan_out in _VGG16:
            layers += [*_normalized_convolution(fan_in, fan_out, 1), nn.ReLU()] if fan_out else [nn.MaxPool2d(2)]
            fan_in = fan_out or fan_in
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return _on_device(redrawn(net, seed))


def _on_device(net: nn.Module) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _normalized_convolution(fan_in: int, fan_out: int, stride: int, kernel: int = 3) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(fan_in, fan_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(fan_out)


SETTINGS = {
    "cnn": Setting(digits_cnn, digit_images, DIGITS_RECIPE, rewind=10),
    "resnet20": Setting(resnet20, cifar_images, _CIFAR_RECIPE, rewind=1000, augment=flipped_and_shifted),
    "vgg16": Setting(vgg16, cifar_images, _CIFAR_RECIPE, rewind=1000, augment=flipped_and_shifted),
}


def large_networks() -> tuple[str, ...]:
    """The settings that need CIFAR-10 and a GPU, if both are there."""
    return ("resnet20", "vgg16") if torch.cuda.is_available() and find_cifar10() is not None else ()
