"""Gradient descent of the two-layer network of the paper, watched at every iteration on its own training data.

f(x) = (s/N) Σ a_r tanh(w_r·x), a_r = ±1 fixed, w_r trained on ½‖r‖², r = f(X) − y. The strength s is the scaling: √N
gives the factor 1/√N of P1 (`ntk`), a constant gives the mean of N neurons (`mean`). The step is a fraction of
N/(s²‖X‖²): for s = √N that is the largest step P1 admits, and for every s the first step contracts alike. Neuron r's
outputs, whose plain average is the dense network, are Φ_r = s·a_r·tanh(X w_r)/√m.

Only pre-activations Z = XWᵀ are kept: Z ← Z − step·(s/N)·X Xᵀ(r aᵀ ∘ tanh′(Z)). Cost: O(m·min(d, group)·N) an
iteration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from .tasks import Task

MEAN_STRENGTH = 8.0
SCALINGS = ("ntk", "mean")


@dataclass(frozen=True)
class Network:
    """A two-layer network before training.

    **Arguments**

    - `weights`: (N, d) float64, W at the start. `signs`: (N,) float64, each ±1.
    - `strength`: s, √N for the scaling of P1.
    """

    weights: Tensor
    signs: Tensor
    strength: float


@dataclass(frozen=True)
class Moment:
    """The network after t iterations: hidden activations (m, N) and residual f(X) − y (m,); overwritten by the next
    iteration."""

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


def step_size(task: Task, net: Network) -> float:
    """The largest step that is taken: the step N/(s²‖X‖²) in weight space; 1/‖X‖² for the scaling of P1.

    Example:
        >>> step_size(Task(torch.eye(2).double(), torch.ones(2), 2), Network(torch.zeros(4, 2), torch.ones(4), 2.0))
        1.0
    """
    return len(net.weights) / (net.strength**2 * float(torch.linalg.matrix_norm(task.inputs, 2)) ** 2)


def descend(task: Task, net: Network, iterations: int, fraction: float = 1.0) -> Iterator[Moment]:
    """Yield the network after 0, 1, …, `iterations` gradient steps of a fraction of `step_size`.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> one = Task(torch.ones(1, 1).double(), torch.ones(1).double(), 1)
        >>> losses = [float(moment.residual.square()) for moment in descend(one, network(64, 1, "ntk", generator), 9)]
        >>> losses == sorted(losses, reverse=True)
        True
    """
    scale = net.strength / len(net.weights)
    rate = fraction * step_size(task, net) * scale
    preactivations = task.inputs @ net.weights.T
    for t in range(iterations + 1):
        hidden = preactivations.tanh()
        residual = scale * (hidden @ net.signs) - task.labels
        yield Moment(t, hidden, residual)
        if t == iterations:
            return  # the last moment stays as it was
        slopes = hidden.square_().neg_().add_(1).mul_(residual[:, None]).mul_(net.signs)
        preactivations.sub_(_correlate(task, slopes), alpha=rate)


def trained(task: Task, net: Network, iterations: int, fraction: float = 1.0) -> Moment:
    """The network after `iterations` gradient steps.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> one = Task(torch.ones(1, 1).double(), torch.ones(1).double(), 1)
        >>> float(trained(one, network(64, 1, "ntk", generator), 200).residual.abs()) < 1e-6
        True
    """
    return max(descend(task, net, iterations, fraction), key=lambda moment: moment.t)


def _correlate(task: Task, slopes: Tensor) -> Tensor:
    """X Xᵀ·slopes, group by group where examples of different groups are orthogonal."""
    x, group = task.inputs, task.group
    if group == len(x):
        return x @ (x.T @ slopes)
    blocks = torch.stack([x[i : i + group, i : i + group] for i in range(0, len(x), group)])
    return torch.bmm(blocks @ blocks.mT, slopes.view(-1, group, slopes.shape[1])).view_as(slopes)


def features(moment: Moment, net: Network) -> Tensor:
    """Neuron outputs Φ (N, m), scaled by 1/√m so that ℓ is half the mean squared residual.

    Example:
        >>> net = Network(torch.zeros(2, 1), torch.tensor([1.0, -1.0]), 3.0)
        >>> features(Moment(0, torch.tensor([[0.5, 0.25]]), torch.zeros(1)), net).tolist()
        [[1.5], [-0.75]]
    """
    return (moment.hidden * (net.signs * (net.strength / sqrt(len(moment.hidden))))).T.contiguous()
