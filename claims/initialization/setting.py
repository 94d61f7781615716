"""Where the claims are measured: a network, its data and its recipe, by name.

`cnn` runs anywhere. `resnet20` and `vgg16` follow the published protocol on CIFAR-10 (160 epochs, batch 128, rate 0.1
divided by ten at 80 and 120, momentum 0.9, decay 1e-4, flips and shifts) and are offered when a data root holds
CIFAR-10 and a GPU is present.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from pruneproof.claims.data.cifar import find_cifar10, flipped_and_shifted, read_cifar10
from pruneproof.claims.data.digits import digits
from pruneproof.claims.training.single import Augment
from pruneproof.claims.training.trainer import Recipe

from .cifar_networks import resnet20, vgg16
from .networks import digits_cnn


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

    Arguments:
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


SETTINGS = {
    "cnn": Setting(digits_cnn, digit_images, DIGITS_RECIPE, rewind=10),
    "resnet20": Setting(resnet20, cifar_images, _CIFAR_RECIPE, rewind=1000, augment=flipped_and_shifted),
    "vgg16": Setting(vgg16, cifar_images, _CIFAR_RECIPE, rewind=1000, augment=flipped_and_shifted),
}


def large_networks() -> tuple[str, ...]:
    """The settings that need CIFAR-10 and a GPU, if both are there."""
    return ("resnet20", "vgg16") if torch.cuda.is_available() and find_cifar10() is not None else ()
