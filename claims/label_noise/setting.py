"""Which networks are pruned at which scale; sizes were fixed from their cost; see docs/pilots.md.

`quick` and `standard` shorten the published training (1000 epochs of SGD at 0.1 without momentum) to 100 epochs with
momentum 0.9, the same total step. `quick`, and at `standard` what needs many or wide networks, shrinks the mixtures to
20 features at the same Bayes error (ν√D = 5).
`full` trains the mixtures as published. Noise: mixtures 5 % (linear) and 25 % (XOR) permuted, digits 40 % flipped. If
the user brings MNIST or Fashion-MNIST, 20 % flipped on 2,000 of its images, mean-pooled to 14×14; beyond quick.

Training and validation labels carry the noise; the test set has the clean label, the noisy label, and for the mixtures
the exact posterior of the noisy label. Every seed has its own noise; digits and images also their own split into
training and validation images, mixtures their own draw.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.data.images import brought_label, digits_label, read_images, set_name
from pruneproof.claims.data.label_noise import noisy_labels, noisy_posterior
from pruneproof.claims.data.synthetic import mixture
from pruneproof.claims.engine.cell import Cell
from pruneproof.claims.training.trainer import device_of
from pruneproof.errors import InvalidValueError

ARORA = "Arora et al., UAI 2023"
HE = "He et al., Sparse double descent, ICML 2022"
MIXTURE_SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 6, Scale.FULL: 6}
DIGITS_SEEDS = {Scale.QUICK: 5, Scale.STANDARD: 20, Scale.FULL: 30}  # 360 test images: more seeds, cheap ones
MIXTURES = ("linear", "xor")
NOISE = {"linear": 0.05, "xor": 0.25}
DIGITS_NOISE, IMAGES_NOISE = 0.4, 0.2
SWEPT = (0.1, 0.2, 0.6)  # other shares of flipped digits labels, beyond quick
SWEPT_SEEDS = 4
IMAGES_SEEDS = 6
HIDDEN, IMAGES_HIDDEN = [100, 50], [200, 100]  # of digits and of images, large enough to learn the noise
WIDE = {Scale.STANDARD: [400, 200], Scale.FULL: [800, 400]}
WIDE_SEEDS = 4
WIDTHS = {Scale.QUICK: (200, 50, 10), Scale.STANDARD: (1000, 200, 50, 10), Scale.FULL: (1000, 200, 50, 10)}
SEPARATION = 5.0  # ν√D of the published mixtures
HARDER = (3.0, 2.0)  # closer mixtures, more difficult at the same dimension
REFERENCE_WIDTH = 100  # where two tasks or two probabilities are compared
DIGITS_TRAIN = 1000  # the other 437 training images are the validation set
IMAGES_TRAIN, IMAGES_VALIDATION = 2000, 2000
MIXTURE_TEST = 5000

_SHORT = {"epochs": 100, "momentum": 0.9, "rate": 0.1, "drops": []}
_PUBLISHED = {"epochs": 1000, "momentum": 0.0, "rate": 0.1, "drops": []}
_SMALL: Cell = _SHORT | {"examples": 2000, "features": 20, "batch": 256}
_MIXTURE_TRAINING: dict[Scale, Cell] = {
    Scale.QUICK: _SMALL,
    Scale.STANDARD: _SHORT | {"examples": 10_000, "features": 100, "batch": 1024},
    Scale.FULL: _PUBLISHED | {"examples": 10_000, "features": 100, "batch": 1024},
}
_MIXTURE_PATH = {"bias": False, "share": 0.2, "lowest": 0.008, "kind": "permuted"}
_PERCEPTRON: Cell = {"kind": "flipped", "bias": True, "share": 0.2, "batch": 128, "rate": 0.1, "momentum": 0.9}
_DIGITS: Cell = _PERCEPTRON | {"task": "digits", "epochs": 100, "drops": [50, 75]}
_IMAGES: Cell = _PERCEPTRON | {"task": "images", "epochs": 150, "drops": [75, 112], "examples": IMAGES_TRAIN}
_LOWEST = {Scale.QUICK: 0.01, Scale.STANDARD: 0.003, Scale.FULL: 0.003}


def digits_cell(
    scale: Scale,
    seeds: int | None,
    *,
    noise: float = DIGITS_NOISE,
    hidden: list[int] = HIDDEN,
    usual: int | None = None,
) -> Cell:
    """One digits network with its seeds.

    Args:
        scale: The lowest density, and how many seeds by default.
        seeds: Number of seeds, or None.
        noise: Share of flipped labels.
        hidden: Widths of the hidden layers.
        usual: How many seeds by default, if not as many as the scale has.

    Example:
        >>> digits_cell(Scale.QUICK, 2)["seeds"]
        [200, 201]
    """
    own: Cell = {"noise": noise, "hidden": hidden, "seeds": _numbered(usual or DIGITS_SEEDS[scale], seeds)}
    return _DIGITS | own | {"data": digits_label(), "lowest": _LOWEST[scale]} | device_of(scale)


def images_cells(scale: Scale, seeds: int | None) -> list[Cell]:
    """A network on the images that the user brings, with its seeds; none at quick or without images."""
    if scale is Scale.QUICK or brought_label() is None:
        return []
    own: Cell = {"noise": IMAGES_NOISE, "hidden": IMAGES_HIDDEN, "seeds": _numbered(IMAGES_SEEDS, seeds)}
    return [_IMAGES | own | {"data": brought_label(), "lowest": _LOWEST[scale]} | device_of(scale)]


def mixture_cell(
    scale: Scale,
    seeds: int | None,
    task: str,
    width: int,
    *,
    separation: float = SEPARATION,
    small: bool = False,
) -> Cell:
    """One two-layer bias-free network on a mixture with its seeds.

    Args:
        scale: Size of the mixture, length of training, and how many seeds by default.
        seeds: Number of seeds, or None.
        task: `"linear"` or `"xor"`.
        width: Of the hidden layer.
        separation: ν√D, the distance of the mixtures.
        small: Whether to use the 20 features and 2,000 examples of `quick` at every scale.

    Example:
        >>> mixture_cell(Scale.FULL, None, "xor", 100)["epochs"]
        1000
    """
    training = _SMALL if small else _MIXTURE_TRAINING[scale]
    own = {"task": task, "noise": NOISE[task], "hidden": [width], "seeds": _numbered(MIXTURE_SEEDS[scale], seeds)}
    own["nu"] = separation / training["features"] ** 0.5
    return training | _MIXTURE_PATH | own | device_of(scale)


def small_mixtures(scale: Scale, seeds: int | None) -> list[Cell]:
    """Mixtures of 20 features: XOR, and linear ones at ν√D = 5, beyond quick also closer."""
    closer = () if scale is Scale.QUICK else HARDER
    kinds = [("xor", SEPARATION), *(("linear", each) for each in (SEPARATION, *closer))]
    return [
        mixture_cell(scale, seeds, task, REFERENCE_WIDTH, separation=separation, small=True)
        for task, separation in kinds
    ]


def _numbered(usual: int, asked: int | None) -> list[int]:
    return list(fresh_seeds(usual if asked is None else asked))


@dataclass(frozen=True)
class Part:
    """Examples of R seeds; before they are stacked, the same without the leading dimension.

    Args:
        inputs: (R, n, features).
        clean: Clean labels (R, n).
        noisy: Noisy labels (R, n).
        posterior: Posterior of the noisy label (R, n, classes), or None where it is unknown.
    """

    inputs: Tensor
    clean: Tensor
    noisy: Tensor
    posterior: Tensor | None = None


@dataclass(frozen=True)
class NoisyTask:
    """The three parts of a task."""

    train: Part
    validation: Part
    test: Part


def noisy_task(cell: Cell) -> NoisyTask:
    """The task of a cell.

    Args:
        cell: `task` ("digits", "images", "linear" or "xor"), `noise` (share), `kind`, `seeds`; for digits and images
            `data`; for images `examples`; for mixtures `examples`, `features` and `nu`.

    Example:
        >>> task = noisy_task(
        ...     {"task": "digits", "data": digits_label(), "noise": 0.4, "kind": "flipped", "seeds": [0, 1]}
        ... )
        >>> task.train.inputs.shape, float((task.train.noisy != task.train.clean).float().mean())
        (torch.Size([2, 1000, 64]), 0.4...)
    """
    draw = _images if "data" in cell else _mixture
    parts = [draw(cell, torch.Generator().manual_seed(10_007 * seed + 1)) for seed in cell["seeds"]]
    train, validation, test = (_stacked([seed[part] for seed in parts]) for part in range(3))
    return NoisyTask(train, validation, test)


def _images(cell: Cell, generator: torch.Generator) -> tuple[Part, Part, Part]:
    split = read_images(cell["data"])
    order = torch.randperm(len(split.train_y), generator=generator)
    train = DIGITS_TRAIN if cell["task"] == "digits" else cell["examples"]
    last = None if cell["task"] == "digits" else train + IMAGES_VALIDATION
    if len(order) < (last or train):
        raise InvalidValueError(
            f"noisy_task: {last or train} training images were asked for, but {set_name(cell['data'])} has "
            f"{len(order)}. Pass --data-root with a larger set."
        )
    parts = [(split.train_x[drawn], split.train_y[drawn]) for drawn in (order[:train], order[train:last])]
    parts.append((split.test_x, split.test_y))
    train_part, validation, test = (
        _noisy(cell, _features(cell, images), labels, None, generator) for images, labels in parts
    )
    return train_part, validation, test


def _features(cell: Cell, images: Tensor) -> Tensor:
    """Pixels in [0, 1] as rows (n, features), those of 28×28 images mean-pooled to 14×14."""
    return images.flatten(1) if cell["task"] == "digits" else avg_pool2d(images.unsqueeze(1), 2).flatten(1)


def _mixture(cell: Cell, generator: torch.Generator) -> tuple[Part, Part, Part]:
    sizes = (cell["examples"], MIXTURE_TEST, MIXTURE_TEST)
    samples = [mixture(cell["task"], size, generator, features=cell["features"], nu=cell["nu"]) for size in sizes]
    train, validation, test = (_noisy(cell, *sample, generator) for sample in samples)
    return train, validation, test


def _noisy(cell: Cell, inputs: Tensor, labels: Tensor, posterior: Tensor | None, generator: torch.Generator) -> Part:
    classes = 10 if "data" in cell else 2
    noisy = noisy_labels(labels, cell["noise"], cell["kind"], classes, generator)
    known = None if posterior is None else noisy_posterior(posterior, cell["noise"], cell["kind"])
    return Part(inputs, labels, noisy, known)


def _stacked(parts: list[Part]) -> Part:
    posteriors = [part.posterior for part in parts if part.posterior is not None]
    columns = zip(*((part.inputs, part.clean, part.noisy) for part in parts), strict=True)
    inputs, clean, noisy = (torch.stack(column) for column in columns)
    return Part(inputs, clean, noisy, torch.stack(posteriors) if posteriors else None)
