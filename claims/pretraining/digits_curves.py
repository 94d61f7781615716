"""The measurement of PT5: training error of the dense and of the pruned network against pre-training iterations.

A two-layer perceptron on the real digits, f(x) = (1/N) Σ v_r tanh(w_r·x̃) with both layers trained by stochastic
gradient descent on half the mean squared error, x̃ the image with a constant input. Labels are −1 and +1 (binarised),
or one +1 among nine −1 (ten classes). At every checkpoint k of the N hidden units are chosen greedily and averaged.
"""

from math import sqrt

import torch
from torch import Tensor

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.digits import TRAIN, digits
from pruneproof.claims.data.mnist import find_mnist, read_mnist
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.kernels import Gram, greedy_select

from .checkpoints import checkpoints
from .seeds import fresh_seeds

WIDTH, KEPT = 512, 64
GAIN = 4.0  # of the inputs and of the outgoing weights: the untrained network has outputs of order one over √N
RATE, BATCH = 0.3, 32
SIZES = {
    Scale.QUICK: (50, 115, 268, 620, TRAIN),
    Scale.STANDARD: (50, 88, 154, 269, 471, 823, TRAIN),
    Scale.FULL: (50, 88, 154, 269, 471, 823, TRAIN),
}
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 20}
ITERATIONS = {Scale.QUICK: 3000, Scale.STANDARD: 6000, Scale.FULL: 20_000}
KINDS = ("binarised", "ten classes")
MNIST = "MNIST, "  # the same two kinds with the data set of the paper, if the user has it
MNIST_SIZES = (50, 200, 800, 3200, 12_800)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per kind of labels, number of images and seed; MNIST beyond `quick`, where its files are found."""
    kinds = [(m, kind) for m in sorted(SIZES[scale], reverse=True) for kind in KINDS]
    if scale is not Scale.QUICK and find_mnist() is not None:
        kinds += [(m, MNIST + kind) for m in sorted(MNIST_SIZES, reverse=True) for kind in KINDS]
    return [
        {"kind": kind, "m": m, "seed": seed, "iterations": ITERATIONS[scale]}
        for m, kind in kinds
        for seed in fresh_seeds(seeds or SEEDS[scale])
    ]


@stable_id("pruneproof.claims.pretraining.digits_curves:measure")
def measure(cell: Cell) -> list[Row]:
    """Train one network; return both errors and losses at every checkpoint."""
    images, classes = _images(cell)
    inputs = torch.cat([images, torch.ones(len(images), 1)], 1) * GAIN
    if cell["kind"].endswith("binarised"):
        targets = torch.where(classes < 5, -1.0, 1.0)[:, None]
    else:
        targets = 2 * torch.eye(10)[classes] - 1
    generator = torch.Generator().manual_seed(cell["seed"])
    first = torch.randn(WIDTH, inputs.shape[1], generator=generator)
    second = GAIN * torch.randn(WIDTH, targets.shape[1], generator=generator)
    times = checkpoints(cell["iterations"])
    curves: dict[str, list[float]] = {name: [] for name in ("dense error", "pruned error", "dense loss", "pruned loss")}
    for t in range(times[-1] + 1):
        if t in times:
            _record(curves, inputs, targets, first, second)
        batch = torch.randint(len(inputs), (BATCH,), generator=generator)
        _step(first, second, inputs[batch], targets[batch])
    return [{"t": times, "k": KEPT, **curves}]


def _images(cell: Cell) -> tuple[Tensor, Tensor]:
    """The cell's training images, flat and no longer than 1, with their classes."""
    if not cell["kind"].startswith(MNIST):
        return digits(cell["m"], seed=cell["seed"])[:2]
    images, classes, _, _ = read_mnist()
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(cell["seed"]))[: cell["m"]]
    flat = images.flatten(1)
    return flat[drawn] / flat.norm(dim=1).max(), classes[drawn]


def _step(first: Tensor, second: Tensor, x: Tensor, y: Tensor) -> None:
    """One step on half the mean squared error, in place; rates grow with N, as each neuron's share is 1/N."""
    hidden = torch.tanh(x @ first.T)
    residual = hidden @ second / WIDTH - y
    back = (residual @ second.T) * (1 - hidden.square())
    second.addmm_(hidden.T, residual, alpha=-RATE / len(x))
    first.addmm_(back.T, x, alpha=-RATE / len(x))


def _record(curves: dict[str, list[float]], x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> None:
    hidden = torch.tanh(x @ first.T)
    scale = 1 / sqrt(len(x))
    gram = Gram.from_rank_one(hidden.T * scale, second, y * scale)
    chosen = greedy_select(gram, KEPT).indices
    for name, outputs in (
        ("dense", hidden @ second / WIDTH),
        ("pruned", hidden[:, chosen] @ second[chosen] / KEPT),
    ):
        curves[f"{name} loss"].append(float((outputs - y).square().sum(1).mean()) / 2)
        curves[f"{name} error"].append(_error(outputs, y))


def _error(outputs: Tensor, y: Tensor) -> float:
    """Fraction of images on the wrong side, or with another largest output."""
    wrong = outputs * y <= 0 if y.shape[1] == 1 else (outputs.argmax(1) != y.argmax(1))[:, None]
    return float(wrong.double().mean())
