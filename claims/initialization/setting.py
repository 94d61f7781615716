"""Where the claims are measured: networks with their data and recipes, by name; densities and seeds.

`cnn` runs anywhere, on the digits. `image cnn` is trained on 10,000 images in MNIST's format that the user brings.
`resnet20` and `vgg16` follow the published protocol on CIFAR-10 (160 epochs, batch 128, rate 0.1 divided by ten at 80
and 120, momentum 0.9, decay 1e-4, flips and shifts) and are offered at `full` when a data root holds CIFAR-10.

Weights are drawn by Kaiming's normal rule, variance 2 / fan-in; biases and BatchNorm start as torch starts them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.cifar import find_cifar10, flipped_and_shifted, identify_cifar10, read_cifar10
from pruneproof.claims.data.images import brought_label, digits_label, label, read_images
from pruneproof.claims.training.single import Augment, GlobalAverage
from pruneproof.claims.training.trainer import Recipe
from pruneproof.errors import FileFormatError
from pruneproof.prune.methods.ablations import reinitialize

PUBLICATION = (
    "Frankle, Dziugaite, Roy, Carbin 2021, Pruning Neural Networks at Initialization: Why Are We Missing the Mark?"
)
NETWORKS = {
    "cnn": "the digits CNN (conv16–conv32–conv32, 14,288 prunable weights, 20 epochs)",
    "image cnn": "a CNN on 10,000 images (conv16–conv32–conv32, strides 2, 2 and 1, 14,288 prunable weights, 6 epochs)",
    "resnet20": "ResNet-20 on CIFAR-10 (270,896 prunable weights, 160 epochs)",
    "vgg16": "VGG-16 on CIFAR-10 (14,715,584 prunable weights, 160 epochs)",
}
DENSITY = 0.05  # the density of `quick`, and of the claims about one density
DENSITIES = (0.2, 0.1, DENSITY, 0.02)
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 6, Scale.FULL: 30}
IMAGE_SEEDS = 4  # at most, of the CNN on the images that the user brings
IMAGES = 10_000  # of these it is trained on, the same for all seeds
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a batch of one image."""
        return (1, *self.train_x.shape[1:])


@dataclass(frozen=True)
class Setting:
    """A network with its data.

    Args:
        build: seed → network.
        data: what the data are called in a cell, or None if they are not there.
        images: that name → the data, read once per process.
        recipe: how it is trained.
        rewind: the step that lottery tickets rewind to.
        half: half the steps of the recipe.
        augment: changes training batches, or None.
    """

    build: Callable[[int], nn.Module]
    data: Callable[[], str | None]
    images: Callable[[str], Images]
    recipe: Recipe
    rewind: int
    half: int
    augment: Augment | None = None


DIGITS_RECIPE = Recipe(epochs=20, batch=144, rate=0.1, momentum=0.9, decay=1e-4, drops=(10, 15))
_IMAGE_RECIPE = Recipe(epochs=6, batch=128, rate=0.1, momentum=0.9, decay=1e-4, drops=(3, 5))
_CIFAR_RECIPE = Recipe(epochs=160, batch=128, rate=0.1, momentum=0.9, decay=1e-4, drops=(80, 120))


@cache
def digit_images(data: str) -> Images:
    """The bundled digits, zero mean and unit variance over all training pixels."""
    return _standardised(*read_images(data))


@cache
def brought_images(data: str) -> Images:
    """`IMAGES` of the training images that the user brings and all test images, standardised like the digits."""
    split = read_images(data)
    drawn = torch.randperm(len(split.train_y), generator=torch.Generator().manual_seed(0))[:IMAGES]
    return _standardised(split.train_x[drawn], split.train_y[drawn], split.test_x, split.test_y)


def _standardised(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> Images:
    mean, deviation = train_x.mean(), train_x.std()
    return _channels_last((train_x - mean)[:, None] / deviation, train_y, (test_x - mean)[:, None] / deviation, test_y)


def cifar_label() -> str | None:
    """How a cell names the CIFAR-10 of the data root, or None if there is none."""
    return None if find_cifar10() is None else label(identify_cifar10())


@cache
def cifar_images(data: str) -> Images:
    """CIFAR-10 from the data root, on the GPU if there is one; zero mean and unit variance per channel."""
    if (found := cifar_label()) != data:
        raise FileFormatError(f"initialization: the cell needs {data}, but found {found}. Pass the same --data-root.")
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
    return _small_cnn(seed, stride=1)


def image_cnn(seed: int) -> nn.Module:
    """The same for 28 × 28 images: the first two convolutions have stride 2."""
    return _small_cnn(seed, stride=2)


def _small_cnn(seed: int, stride: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        blocks = [*_block(1, 16, stride), *_block(16, 32, stride), *_block(32, 32)]
        net = nn.Sequential(*blocks, GlobalAverage(), nn.Flatten(), nn.Linear(32, 10))
    return redrawn(net, seed).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def digits_mlp(seed: int) -> nn.Module:
    """The perceptron 64–100–100–10 with ReLU: 17,400 prunable weights, drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        widths = list(pairwise(MLP_SIZES))
        layers = [module for fan_in, fan_out in widths for module in (nn.Linear(fan_in, fan_out), nn.ReLU())]
    return redrawn(nn.Sequential(*layers[:-1]), seed)


def _block(fan_in: int, fan_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]


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
        net = nn.Sequential(*layers, GlobalAverage(), nn.Flatten(), nn.Linear(64, 10))
    return _on_device(redrawn(net, seed))


def vgg16(seed: int) -> nn.Module:
    """Thirteen 3 × 3 convolutions with BatchNorm, four maxima over 2 × 2, global average, linear."""
    with torch.random.fork_rng(devices=[]):
        layers, fan_in = list[nn.Module](), 3
        for fan_out in _VGG16:
            layers += [*_normalized_convolution(fan_in, fan_out, 1), nn.ReLU()] if fan_out else [nn.MaxPool2d(2)]
            fan_in = fan_out or fan_in
        net = nn.Sequential(*layers, GlobalAverage(), nn.Flatten(), nn.Linear(512, 10))
    return _on_device(redrawn(net, seed))


def _on_device(net: nn.Module) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _normalized_convolution(fan_in: int, fan_out: int, stride: int, kernel: int = 3) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(fan_in, fan_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(fan_out)


SETTINGS = {
    "cnn": Setting(digits_cnn, digits_label, digit_images, DIGITS_RECIPE, rewind=10, half=100),
    "image cnn": Setting(image_cnn, brought_label, brought_images, _IMAGE_RECIPE, rewind=24, half=237),
    "resnet20": Setting(resnet20, cifar_label, cifar_images, _CIFAR_RECIPE, 1000, 31_280, flipped_and_shifted),
    "vgg16": Setting(vgg16, cifar_label, cifar_images, _CIFAR_RECIPE, 1000, 31_280, flipped_and_shifted),
}


def networks_with_data(scale: Scale, seeds: int | None) -> dict[str, int]:
    """The networks that can be trained at a scale, with the number of seeds of each.

    Args:
        scale: How much to run.
        seeds: Number of seeds asked for, or None for those of the scale.
    """
    count = SEEDS[scale] if seeds is None else seeds
    numbers = {"cnn": count}
    if scale is not Scale.QUICK and brought_label() is not None:
        numbers["image cnn"] = min(IMAGE_SEEDS, count)
    if scale is Scale.FULL and cifar_label() is not None:
        numbers |= {"resnet20": min(FEW, count), "vgg16": min(FEW, count)}
    return numbers
