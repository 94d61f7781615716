"""The noisy tasks, per seed: what is trained on, validated on and tested on, and the posterior where it is known.

Training and validation labels carry the noise; the test set has the clean label, the noisy label, and for the mixtures
the exact posterior of the noisy label. Every seed has its own noise; digits also their own split into training and
validation images, mixtures their own draw.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.claims.data.digits import digits
from pruneproof.claims.data.label_noise import noisy_labels, noisy_posterior
from pruneproof.claims.data.synthetic import mixture
from pruneproof.claims.engine.cell import Cell

DIGITS_TRAIN = 1000  # the other 437 training images are the validation set
MIXTURE_TEST = 5000


@dataclass(frozen=True)
class Part:
    """Inputs (R, n, features) with clean and noisy labels (R, n), one entry per seed; posterior (R, n, C) or None."""

    inputs: Tensor
    clean: Tensor
    noisy: Tensor
    posterior: Tensor | None = None


@dataclass(frozen=True)
class Task:
    """The three parts of a task."""

    train: Part
    validation: Part
    test: Part


def noisy_task(cell: Cell) -> Task:
    """The task of a cell.

    Arguments:
        cell: `task` ("digits", "linear" or "xor"), `noise` (share), `kind`, `seeds`; for mixtures `examples`,
            `features` and `nu`.

    Example:
        >>> task = noisy_task({"task": "digits", "noise": 0.4, "kind": "flipped", "seeds": [0, 1]})
        >>> task.train.inputs.shape, float((task.train.noisy != task.train.clean).float().mean())
        (torch.Size([2, 1000, 64]), 0.4...)
    """
    draw = _digits if cell["task"] == "digits" else _mixture
    parts = [draw(cell, torch.Generator().manual_seed(10_007 * seed + 1)) for seed in cell["seeds"]]
    train, validation, test = (_stacked([seed[place] for seed in parts]) for place in range(3))
    return Task(train, validation, test)


def _digits(cell: Cell, generator: torch.Generator) -> tuple[Part, Part, Part]:
    split = digits()
    scale = split.train_x.max()  # pixels in [0, 1]
    order = torch.randperm(len(split.train_y), generator=generator)
    chosen = (order[:DIGITS_TRAIN], order[DIGITS_TRAIN:])
    parts = [(split.train_x[place] / scale, split.train_y[place]) for place in chosen]
    parts.append((split.test_x / scale, split.test_y))
    train, validation, test = (_noisy(cell, inputs, labels, None, generator) for inputs, labels in parts)
    return train, validation, test


def _mixture(cell: Cell, generator: torch.Generator) -> tuple[Part, Part, Part]:
    sizes = (cell["examples"], MIXTURE_TEST, MIXTURE_TEST)
    samples = [mixture(cell["task"], size, generator, features=cell["features"], nu=cell["nu"]) for size in sizes]
    train, validation, test = (_noisy(cell, *sample, generator) for sample in samples)
    return train, validation, test


def _noisy(cell: Cell, inputs: Tensor, labels: Tensor, posterior: Tensor | None, generator: torch.Generator) -> Part:
    classes = 10 if cell["task"] == "digits" else 2
    noisy = noisy_labels(labels, cell["noise"], cell["kind"], classes, generator)
    known = None if posterior is None else noisy_posterior(posterior, cell["noise"], cell["kind"])
    return Part(inputs, labels, noisy, known)


def _stacked(parts: list[Part]) -> Part:
    posteriors = [part.posterior for part in parts if part.posterior is not None]
    columns = zip(*((part.inputs, part.clean, part.noisy) for part in parts), strict=True)
    inputs, clean, noisy = (torch.stack(column) for column in columns)
    return Part(inputs, clean, noisy, torch.stack(posteriors) if posteriors else None)
