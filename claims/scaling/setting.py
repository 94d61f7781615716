"""Which networks are pruned at which scale; sizes were fixed from their cost; see docs/pilots.md.

Teacher grid: x ∈ R¹⁶, ten classes made by a tanh network, multilayer perceptrons of several widths and depths. Digits,
beyond quick: the same perceptrons on 1,000 images, tested on the other 797. Images, beyond quick, if the user brings
MNIST or Fashion-MNIST: the same perceptrons on 4,000 images, mean-pooled to 14×14, tested on all test images; at full
also small residual networks, printed beside them. Pruning: 20 % a round by magnitude for 24 rounds (density 0.0047),
rewinding to the second epoch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.data.images import brought_label, digits_label, read_images, set_name
from pruneproof.claims.data.synthetic import teacher
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.training.trainer import device_of
from pruneproof.errors import InvalidValueError

PUBLICATION = "Rosenfeld et al., ICML 2021"
TEACHER = (16, 32, 10)
TEACHER_TEST = 8000
DIGITS_TRAIN = 1000
IMAGES_TRAIN = 4000
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 5, Scale.FULL: 5}
WIDTHS = {Scale.QUICK: (64, 32, 16), Scale.STANDARD: (128, 64, 32, 16), Scale.FULL: (256, 128, 64, 32, 16, 8)}
DEPTHS = {Scale.QUICK: (2, 1), Scale.STANDARD: (3, 2, 1), Scale.FULL: (4, 3, 2, 1)}
RESIDUAL = "residual networks"
RESIDUAL_WIDTHS, RESIDUAL_DEPTHS, RESIDUAL_SEEDS = (64, 32, 16), (2, 1), 3
LARGEST_FITTED = 32  # the extrapolation is fitted to widths up to this one
LEVELS = 24
SIZED = ((64, 2), (64, 1), (16, 2), (16, 1))  # (width, depth) of the networks that are trained on smaller sets too
PARTS = {Scale.QUICK: (1, 4), Scale.STANDARD: (1, 8, 64), Scale.FULL: (1, 2, 4, 8, 16, 32, 64)}
_TRAINING: dict[Scale, Cell] = {
    Scale.QUICK: {"epochs": 30, "examples": 2000},
    Scale.STANDARD: {"epochs": 60, "examples": 4000},
    Scale.FULL: {"epochs": 200, "examples": 16_000},
}
_IMAGES: Cell = {"epochs": 15, "examples": IMAGES_TRAIN}
_RECIPE: Cell = {"batch": 128, "rate": 0.1, "momentum": 0.9, "rewind_epochs": 2, "share": 0.2, "levels": LEVELS}
JUDGED = "on the images that the user brings (MNIST or Fashion-MNIST, beyond quick), without them on the teacher grid"


def tasks(scale: Scale) -> tuple[str, ...]:
    """The tasks that are run, the judged one first: "images" if the user brings some, "teacher", "digits".

    At full `RESIDUAL` is the images again, with residual networks.
    """
    if scale is Scale.QUICK:
        return ("teacher",)
    if brought_label() is None:
        return ("teacher", "digits")
    return ("images", "teacher", "digits", RESIDUAL) if scale is Scale.FULL else ("images", "teacher", "digits")


def network_cells(scale: Scale, seeds: int | None, task: str) -> list[Cell]:
    """One cell per network of a task, most expensive first.

    Args:
        scale: How many networks, and how long they are trained.
        seeds: Number of seeds, or None for `SEEDS`.
        task: One of `tasks`.

    Example:
        >>> len(network_cells(Scale.STANDARD, None, "teacher"))
        12
    """
    brought, residual = task in ("images", RESIDUAL), task == RESIDUAL
    training = _IMAGES if brought else _TRAINING[scale]
    count = SEEDS[scale] if seeds is None else seeds
    own: Cell = {"task": task, "seeds": list(fresh_seeds(min(RESIDUAL_SEEDS, count) if residual else count))}
    if task != "teacher":
        own["data"] = brought_label() if brought else digits_label()
    widths, depths = (RESIDUAL_WIDTHS, RESIDUAL_DEPTHS) if residual else (WIDTHS[scale], DEPTHS[scale])
    shapes = sorted(((w, d) for w in widths for d in depths), key=lambda s: -s[0] * s[0] * s[1])
    return [_RECIPE | training | own | {"width": w, "depth": d} | device_of(scale) for w, d in shapes]


def sized_cells(scale: Scale, seeds: int | None, task: str) -> list[Cell]:
    """Four networks on all examples and on parts of them, each for about as many steps.

    Args:
        scale: Which parts.
        seeds: Number of seeds, or None for `SEEDS`.
        task: "teacher" or "images".

    Example:
        >>> sorted({cell["examples"] for cell in sized_cells(Scale.STANDARD, None, "teacher")})
        [62, 500, 4000]
    """
    whole = [cell for cell in network_cells(scale, seeds, task) if (cell["width"], cell["depth"]) in SIZED]
    longer = ("epochs", "rewind_epochs")
    return [
        cell | {"examples": cell["examples"] // part} | {name: cell[name] * part for name in longer}
        for part in PARTS[scale]
        for cell in whole
    ]


def judged_task(rows: Sequence[Row]) -> str:
    """The task that is judged: the images if they were run, else the teacher grid."""
    return "images" if any(row["task"] == "images" for row in rows) else "teacher"


def task_text(rows: Sequence[Row], task: str) -> str:
    """A task in words, with the data set that was read."""
    if task == "teacher":
        return "teacher grid"
    data = next(row["data"] for row in rows if row["task"] == task)
    pooled = "" if task == "digits" else ", mean-pooled to half the size"
    return f"{set_name(data)}{pooled}"


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


def image_task(cell: Cell) -> ImageTask:
    """The examples of a cell.

    Args:
        cell: `task` ("teacher", "digits" or "images"); `examples` to train on (digits always have 1,000); for digits
            and images `data`.

    Example:
        >>> image_task({"task": "digits", "data": digits_label()}).inputs.shape
        torch.Size([1000, 64])
    """
    if cell["task"] == "teacher":
        return _teacher(cell["examples"])
    split = read_images(cell["data"])
    if cell["task"] == "digits":
        images, labels = torch.cat([split.train_x, split.test_x]), torch.cat([split.train_y, split.test_y])
        first, rest = slice(0, DIGITS_TRAIN), slice(DIGITS_TRAIN, None)
        return ImageTask(images[first].flatten(1), labels[first], images[rest].flatten(1), labels[rest])
    if cell["examples"] > len(split.train_y):
        raise InvalidValueError(
            f"measure_path: {cell['examples']} training images were asked for, but {set_name(cell['data'])} has "
            f"{len(split.train_y)}. Pass --data-root with a larger set."
        )
    order = torch.randperm(len(split.train_y), generator=torch.Generator().manual_seed(0))[: cell["examples"]]
    inputs, tests = pooled(split.train_x[order]), pooled(split.test_x)
    return ImageTask(inputs, split.train_y[order], tests, split.test_y)


def pooled(images: Tensor) -> Tensor:
    """Images (n, height, width) mean-pooled to half the size, as rows (n, features).

    Example:
        >>> pooled(torch.arange(4.0).reshape(1, 2, 2))
        tensor([[1.5000]])
    """
    return avg_pool2d(images.unsqueeze(1), 2).flatten(1)


def _teacher(examples: int) -> ImageTask:
    inputs, labels = teacher(TEACHER, examples + TEACHER_TEST, torch.Generator().manual_seed(0))
    return ImageTask(inputs[:examples], labels[:examples], inputs[examples:], labels[examples:])
