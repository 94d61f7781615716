"""The controlled tasks, the two-layer network under gradient descent, and when it is looked at.

Tasks. `generic`: random directions in R⁴⁰; with m examples ‖X‖² ≈ m/40, so κ grows in proportion to m. `conditioned`:
groups of eight examples, each group in eight directions of its own, X = U·diag(s) within a group with U orthogonal and
the squares s² evenly spread over [0.1, 1]; the spectrum of the data, and with it κ, is the same at any m. Every example
has ‖x‖ ≤ 1, as P1 asks. Labels are ±1: `random` coin flips, or the signs of a `teacher` of ten neurons.

Network. f(x) = (s/N) Σ a_r tanh(w_r·x), a_r = ±1 fixed, w_r trained on ½‖r‖², r = f(X) − y. The strength s is the
scaling: √N gives the factor 1/√N of P1 (`ntk`), a constant gives the mean of N neurons (`mean`). The step is a fraction
of N/(s²‖X‖²): for s = √N that is the largest step P1 admits, and for every s the first step contracts alike. Neuron
r's outputs, whose plain average is the dense network, are Φ_r = s·a_r·tanh(X w_r)/√m.

Only pre-activations Z = XWᵀ are kept: Z ← Z − step·(s/N)·X Xᵀ(r aᵀ ∘ tanh′(Z)). Cost: O(m·min(d, group)·N) an
iteration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

RATIO = 1.2
DIMENSION = 40
GROUP, SPECTRUM = 8, (0.1, 1.0)
FAMILIES = ("generic", "conditioned")
LABELS = ("random", "teacher")
MEAN_STRENGTH = 8.0
SCALINGS = ("ntk", "mean")
SCALING_NAMES = {"ntk": "1/√N", "mean": "1/N"}


class ControlledTask(NamedTuple):
    """Training examples with labels.

    Args:
        inputs: (m, d) float64.
        labels: (m,) float64, each ±1.
        group: This many consecutive examples at a time may correlate; others are orthogonal.
    """

    inputs: Tensor
    labels: Tensor
    group: int


def controlled_task(family: str, labels: str, m: int, generator: torch.Generator) -> ControlledTask:
    """Draw m examples of a family, labelled.

    Args:
        family: One of `FAMILIES`.
        labels: One of `LABELS`.
        m: Number of examples, a multiple of eight if conditioned.
        generator: All randomness.

    Example:
        >>> inputs, labels, group = controlled_task("conditioned", "teacher", 16, torch.Generator().manual_seed(0))
        >>> inputs.shape, bool((inputs.norm(dim=1) <= 1).all()), sorted(set(labels.tolist())), group
        (torch.Size([16, 16]), True, [-1.0, 1.0], 8)
    """
    inputs, group = (_generic(m, generator), m) if family == "generic" else (_conditioned(m, generator), GROUP)
    if labels == "random":
        return ControlledTask(inputs, 2 * torch.randint(2, (m,), generator=generator).double() - 1, group)
    return ControlledTask(inputs, _teacher(inputs, generator), group)


def _generic(m: int, generator: torch.Generator) -> Tensor:
    inputs = torch.randn(m, DIMENSION, generator=generator, dtype=torch.float64)
    return inputs / (inputs.norm(dim=1, keepdim=True) * (1 + 1e-12))  # a hair inside the unit ball, rounding included


def _conditioned(m: int, generator: torch.Generator) -> Tensor:
    rotations = torch.linalg.qr(torch.randn(m // GROUP, GROUP, GROUP, generator=generator, dtype=torch.float64)).Q
    lengths = torch.linspace(*SPECTRUM, GROUP, dtype=torch.float64).sqrt()
    return torch.block_diag(*(rotations * lengths * (1 - 1e-12)))


def _teacher(inputs: Tensor, generator: torch.Generator) -> Tensor:
    first = torch.randn(10, inputs.shape[1], generator=generator, dtype=torch.float64)
    second = torch.randn(10, generator=generator, dtype=torch.float64)
    scale = 2 / sqrt(float(inputs.square().sum(1).mean()))
    outputs = torch.tanh(scale * inputs @ first.T) @ second
    return torch.where(outputs >= 0, 1.0, -1.0).double()


@dataclass(frozen=True)
class Network:
    """A two-layer network before training.

    Args:
        weights: (N, d) float64, W at the start.
        signs: (N,) float64, each ±1.
        strength: s, √N for the scaling of P1.
    """

    weights: Tensor
    signs: Tensor
    strength: float


@dataclass(frozen=True)
class Snapshot:
    """The network after some iterations; overwritten by the next iteration.

    Args:
        t: Number of iterations.
        hidden: Hidden activations (m, N).
        residual: f(X) − y, (m,).
    """

    t: int
    hidden: Tensor
    residual: Tensor


def network(width: int, dimension: int, scaling: str, generator: torch.Generator) -> Network:
    """Draw W ~ N(0, 1) and random signs.

    Example:
        >>> network(16, 3, "ntk", torch.Generator().manual_seed(0)).strength
        4.0
    """
    weights = torch.randn(width, dimension, generator=generator, dtype=torch.float64)
    signs = 2 * torch.randint(2, (width,), generator=generator).double() - 1
    return Network(weights, signs, sqrt(width) if scaling == "ntk" else MEAN_STRENGTH)


def step_size(task: ControlledTask, net: Network) -> float:
    """The largest step that is taken: the step N/(s²‖X‖²) in weight space; 1/‖X‖² for the scaling of P1.

    Example:
        >>> both = ControlledTask(torch.eye(2).double(), torch.ones(2), 2)
        >>> step_size(both, Network(torch.zeros(4, 2), torch.ones(4), 2.0))
        1.0
    """
    return len(net.weights) / (net.strength**2 * float(torch.linalg.matrix_norm(task.inputs, 2)) ** 2)


def descend(task: ControlledTask, net: Network, iterations: int, fraction: float = 1.0) -> Iterator[Snapshot]:
    """Yield the network after 0, 1, …, `iterations` gradient steps of a fraction of `step_size`.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> one = ControlledTask(torch.ones(1, 1).double(), torch.ones(1).double(), 1)
        >>> net = network(64, 1, "ntk", generator)
        >>> losses = [float(snapshot.residual.square()) for snapshot in descend(one, net, 9)]
        >>> losses == sorted(losses, reverse=True)
        True
    """
    scale = net.strength / len(net.weights)
    rate = fraction * step_size(task, net) * scale
    preactivations = task.inputs @ net.weights.T
    for t in range(iterations + 1):
        hidden = preactivations.tanh()
        residual = scale * (hidden @ net.signs) - task.labels
        yield Snapshot(t, hidden, residual)
        if t == iterations:
            return  # the last snapshot stays as it was
        slopes = hidden.square_().neg_().add_(1).mul_(residual[:, None]).mul_(net.signs)
        preactivations.sub_(_correlate(task, slopes), alpha=rate)


def trained(task: ControlledTask, net: Network, iterations: int, fraction: float = 1.0) -> Snapshot:
    """The network after `iterations` gradient steps.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> one = ControlledTask(torch.ones(1, 1).double(), torch.ones(1).double(), 1)
        >>> float(trained(one, network(64, 1, "ntk", generator), 200).residual.abs()) < 1e-6
        True
    """
    return max(descend(task, net, iterations, fraction), key=lambda snapshot: snapshot.t)


def _correlate(task: ControlledTask, slopes: Tensor) -> Tensor:
    """X Xᵀ·slopes, group by group where examples of different groups are orthogonal."""
    x, group = task.inputs, task.group
    if group == len(x):
        return x @ (x.T @ slopes)
    blocks = torch.stack([x[i : i + group, i : i + group] for i in range(0, len(x), group)])
    return torch.bmm(blocks @ blocks.mT, slopes.view(-1, group, slopes.shape[1])).view_as(slopes)


def features(snapshot: Snapshot, net: Network) -> Tensor:
    """Neuron outputs Φ (N, m), scaled by 1/√m so that ℓ is half the mean squared residual.

    Example:
        >>> net = Network(torch.zeros(2, 1), torch.tensor([1.0, -1.0]), 3.0)
        >>> features(Snapshot(0, torch.tensor([[0.5, 0.25]]), torch.zeros(1)), net).tolist()
        [[1.5], [-0.75]]
    """
    return (snapshot.hidden * (net.signs * (net.strength / sqrt(len(snapshot.hidden))))).T.contiguous()


def checkpoints(last: int, ratio: float = RATIO) -> list[int]:
    """When a network under training is pruned and measured: every iteration at first, then at a constant ratio.

    Args:
        last: The last iteration.
        ratio: Between neighbours, so that a threshold is known within that ratio.

    Returns:
        0, 1, 2, … and then each `ratio` times the one before, up to `last`.

    Example:
        >>> checkpoints(20)
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20]
    """
    times = [0]
    while times[-1] < last:
        times.append(min(last, max(times[-1] + 1, round(times[-1] * ratio))))
    return times
