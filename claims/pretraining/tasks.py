"""The controlled tasks: data whose conditioning worsens as they grow, data whose conditioning does not; two kinds of
labels.

- `generic`: random directions in R⁴⁰. With m examples ‖X‖² ≈ m/40, so κ grows in proportion to m.
- `conditioned`: groups of eight examples, each group in eight directions of its own, X = U·diag(s) within a group with
U orthogonal and the squares s² evenly spread over [0.1, 1]. The spectrum of the data, and with it κ, is the same at
any m.

Every example has ‖x‖ ≤ 1, as P1 asks. Labels are ±1: `random` coin flips, or the signs of a `teacher` of ten neurons.
"""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

DIMENSION = 40
GROUP, SPECTRUM = 8, (0.1, 1.0)
FAMILIES = ("generic", "conditioned")
LABELS = ("random", "teacher")


class Task(NamedTuple):
    """Training examples (m, d) with labels ±1 (m,), float64; `group` consecutive examples at a time may correlate."""

    inputs: Tensor
    labels: Tensor
    group: int


def task(family: str, labels: str, m: int, generator: torch.Generator) -> Task:
    """Draw m examples of a family, labelled.

    **Arguments**

    - `family`: `"generic"` or `"conditioned"`. `labels`: `"random"` or `"teacher"`.
    - `m`: number of examples, a multiple of eight if conditioned.
    - `generator`: all randomness.

    Example:
        >>> inputs, labels, group = task("conditioned", "teacher", 16, torch.Generator().manual_seed(0))
        >>> inputs.shape, bool((inputs.norm(dim=1) <= 1).all()), sorted(set(labels.tolist())), group
        (torch.Size([16, 16]), True, [-1.0, 1.0], 8)
    """
    inputs, group = (_generic(m, generator), m) if family == "generic" else (_conditioned(m, generator), GROUP)
    if labels == "random":
        return Task(inputs, 2 * torch.randint(2, (m,), generator=generator).double() - 1, group)
    return Task(inputs, _teacher(inputs, generator), group)


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
