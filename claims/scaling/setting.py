"""Which networks are pruned at which scale; sizes were fixed from their cost before any verdict was seen.

Teacher grid: x ∈ R¹⁶, ten classes made by a tanh network, multilayer perceptrons of several widths and depths. Digits:
the same perceptrons on 1,000 images, tested on the other 797. Pruning: 20 % a round by magnitude for 24 rounds (density
0.0047), rewinding to the second epoch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.data.digits import digits
from pruneproof.claims.data.synthetic import teacher
from pruneproof.claims.engine.cell import Cell
from pruneproof.claims.training.trainer import device_of

PUBLICATION = "Rosenfeld et al., ICML 2021"
TASKS = ("teacher", "digits")
TEACHER = (16, 32, 10)
TEACHER_TEST = 8000
DIGITS_TRAIN = 1000
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 5, Scale.FULL: 5}
WIDTHS = {Scale.QUICK: (64, 32, 16), Scale.STANDARD: (128, 64, 32, 16), Scale.FULL: (256, 128, 64, 32, 16, 8)}
DEPTHS = {Scale.QUICK: (2, 1), Scale.STANDARD: (3, 2, 1), Scale.FULL: (4, 3, 2, 1)}
LARGEST_FITTED = 32  # the extrapolation is fitted to widths up to this one
LEVELS = 24
_TRAINING = {
    Scale.QUICK: {"epochs": 30, "examples": 2000},
    Scale.STANDARD: {"epochs": 60, "examples": 4000},
    Scale.FULL: {"epochs": 200, "examples": 16_000},
}
_RECIPE = {"batch": 128, "rate": 0.1, "momentum": 0.9, "rewind_epochs": 2, "share": 0.2, "levels": LEVELS}


def network_cells(scale: Scale, seeds: int | None, task: str) -> list[Cell]:
    """One cell per network of a task, most expensive first.

    Args:
        scale: How many networks, and how long they are trained.
        seeds: Number of seeds, or None for `SEEDS`.
        task: One of `TASKS`.

    Example:
        >>> len(network_cells(Scale.STANDARD, None, "teacher"))
        12
    """
    training = _TRAINING[scale]
    own = {"task": task, "seeds": list(fresh_seeds(SEEDS[scale] if seeds is None else seeds))}
    shapes = sorted(((w, d) for w in WIDTHS[scale] for d in DEPTHS[scale]), key=lambda s: -s[0] * s[0] * s[1])
    return [_RECIPE | training | own | {"width": w, "depth": d} | device_of(scale) for w, d in shapes]


class ImageTask(NamedTuple):
    """Training and test examples, the same for all networks and seeds.

    Args:
        inputs: (n, features).
        labels: (n,) classes.
        test_inputs: (tests, features).
        test_labels: (tests,) classes.
    """

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor


def image_task(name: str, examples: int) -> ImageTask:
    """The examples of a task.

    Args:
        name: One of `TASKS`.
        examples: Training examples of the teacher; digits always have 1,000.

    Example:
        >>> image_task("digits", 0).inputs.shape
        torch.Size([1000, 64])
    """
    if name == "teacher":
        inputs, labels = teacher(TEACHER, examples + TEACHER_TEST, torch.Generator().manual_seed(0))
        return ImageTask(inputs[:examples], labels[:examples], inputs[examples:], labels[examples:])
    split = digits()
    inputs = torch.cat([split.train_x, split.test_x]) / split.train_x.max()
    labels = torch.cat([split.train_y, split.test_y])
    first, rest = slice(0, DIGITS_TRAIN), slice(DIGITS_TRAIN, None)
    return ImageTask(inputs[first], labels[first], inputs[rest], labels[rest])
