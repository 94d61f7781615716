"""The measurement of PT4: after how many iterations is the dense network good, and after how many the pruned one?

Two targets: half the mean squared residual at most 0.05, and every example on the right side. The pruned network is the
greedy average of k neurons, chosen anew at every checkpoint; k is fixed (64, 128) or grows with the data (m). One path
of choices serves all k.
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel

from .checkpoints import checkpoints
from .descent import SCALINGS, Moment, Network, descend, features, network
from .seeds import fresh_seeds
from .tasks import FAMILIES, LABELS, Task, task

WIDTH = 256
LOSS_TARGET = 0.05
FRACTION = {"generic": 1.0, "conditioned": 1 / 32}  # of the largest step: so that thresholds span many iterations
SIZES = {
    Scale.QUICK: (40, 56, 80, 112, 160, 224, 320),
    Scale.STANDARD: (56, 80, 112, 160, 224, 320, 448, 640),
    Scale.FULL: (56, 80, 112, 160, 224, 320, 448, 640, 904, 1280),
}
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 20}
ITERATIONS = {Scale.QUICK: 500, Scale.STANDARD: 1000, Scale.FULL: 5000}


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per family, kind of labels, scaling, size and seed."""
    return [
        {"family": family, "labels": labels, "scaling": scaling, "m": m, "seed": seed, "iterations": ITERATIONS[scale]}
        for m in sorted(SIZES[scale], reverse=True)  # the longest first, so that no core waits at the end
        for seed in fresh_seeds(seeds or SEEDS[scale])
        for family in FAMILIES
        for labels in LABELS
        for scaling in SCALINGS
    ]


@stable_id("pruneproof.claims.pretraining.dataset_size:measure")
def measure(cell: Cell) -> list[Row]:
    """Train once and return the first iteration at which each subject meets each target, None if it never does."""
    generator = torch.Generator().manual_seed(cell["seed"])
    data = task(cell["family"], cell["labels"], cell["m"], generator)
    net = network(WIDTH, data.inputs.shape[1], cell["scaling"], generator)
    sizes = {"k=64": 64, "k=128": 128, "k=m": cell["m"]}
    first: dict[tuple[str, str], int] = {}
    times = set(checkpoints(cell["iterations"]))
    loss = 0.0
    for moment in descend(data, net, cell["iterations"], FRACTION[cell["family"]]):
        loss = float(moment.residual.square().mean()) / 2
        _note(first, "dense", moment.t, loss, moment.residual + data.labels, data.labels)
        if moment.t in times:
            for subject, (pruned_loss, outputs) in pruned(moment, net, data, sizes).items():
                _note(first, subject, moment.t, pruned_loss, outputs, data.labels)
        if len(first) == 2 * (1 + len(sizes)):
            break
    shared = _constants(data, net)
    return [
        {"subject": subject, "target": target, "threshold": first.get((subject, target)), **shared}
        for subject in ("dense", *sizes)
        for target in ("loss", "correct")
    ]


def pruned(moment: Moment, net: Network, data: Task, sizes: dict[str, int]) -> dict[str, tuple[float, Tensor]]:
    """Loss and outputs (m,) of the greedy averages of several sizes, all from one path."""
    m = len(data.labels)
    neurons = features(moment, net)
    selection = greedy_select((neurons, data.labels / sqrt(m)), max(sizes.values()))
    sums = neurons[selection.indices].cumsum(0)
    return {name: (float(selection.losses[k - 1]), sums[k - 1] * (sqrt(m) / k)) for name, k in sizes.items()}


def _note(
    first: dict[tuple[str, str], int], subject: str, t: int, loss: float, outputs: Tensor, labels: Tensor
) -> None:
    if loss <= LOSS_TARGET:
        first.setdefault((subject, "loss"), t)
    if bool((outputs * labels > 0).all()):
        first.setdefault((subject, "correct"), t)


def _constants(data: Task, net: Network) -> dict[str, Any]:
    kernel = tangent_kernel(data.inputs.numpy(), data.labels.numpy(), net.weights.numpy(), net.signs.numpy())
    return {
        "condition": kernel.condition if kernel.eigenvalue > 0 else None,
        "eigenvalue": kernel.eigenvalue,
        "norm_squared": kernel.norm**2,
    }
