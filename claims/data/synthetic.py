"""Tasks made by a generator: Gaussian mixtures with a known posterior, and classes of a random tanh network.

The mixtures are the linear and the XOR task of Arora et al. (UAI 2023).
Linear: label a ∈ {0, 1} with probability ½, x ~ N(aν·1, I_D); P(1 | x) = σ(ν 1ᵀx − ν²D/2), Bayes error
Φ(−ν√D/2). XOR: the two halves of x are two independent linear mixtures with labels a and b, the label
is a ⊕ b; with their posteriors α and β, P(1 | x) = α(1 − β) + β(1 − α), and with e the Bayes error of
one half, that of the task is 2e(1 − e), since deciding each half by itself is optimal.

The network's tasks: x ~ N(0, I), the label is the largest of its centred outputs.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import erfc, sqrt
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

Mixture = Literal["linear", "xor"]


class Sample(NamedTuple):
    """Examples of a mixture: inputs (n, D) float32, labels (n,) int64, posterior (n, 2) float64."""

    inputs: Tensor
    labels: Tensor
    posterior: Tensor


def mixture(
    task: Mixture, examples: int, generator: torch.Generator, *, features: int = 100, nu: float = 0.5
) -> Sample:
    """Draw examples with their exact posterior.

    Args:
        task: "linear" or "xor".
        examples: n ≥ 1.
        generator: the source of randomness.
        features: D, even for "xor".
        nu: distance ν of the means per coordinate.

    Raises:
        InvalidValueError: for an unknown task, an odd D with "xor", or sizes that are not positive.

    Example:
        >>> sample = mixture("linear", 1000, torch.Generator().manual_seed(0), features=4, nu=1.0)
        >>> sample.inputs.shape, bool((sample.posterior.sum(1) - 1).abs().max() < 1e-12)
        (torch.Size([1000, 4]), True)
    """
    _check(task, examples, features)
    parts = 1 if task == "linear" else 2
    bits = torch.randint(2, (examples, parts), generator=generator)
    noise = torch.randn(examples, features, generator=generator, dtype=torch.float64)
    inputs = (noise + nu * bits.repeat_interleave(features // parts, 1)).float()
    one = _one(inputs.double().view(examples, parts, -1), nu)
    return Sample(inputs, bits.sum(1) % 2, torch.stack([1 - one, one], 1))


def bayes_error(task: Mixture, *, features: int = 100, nu: float = 0.5) -> float:
    """The smallest error of any classifier.

    Example:
        >>> round(bayes_error("linear"), 5), round(bayes_error("xor"), 5)
        (0.00621, 0.07413)
    """
    _check(task, 1, features)
    parts = 1 if task == "linear" else 2
    half = erfc(nu * sqrt(features / parts) / 2 / sqrt(2)) / 2
    return half if task == "linear" else 2 * half * (1 - half)


def _one(parts: Tensor, nu: float) -> Tensor:
    """P(1 | x), (n,), from the parts of x, (n, parts, D/parts)."""
    bit = torch.sigmoid(nu * parts.sum(2) - nu**2 * parts.shape[2] / 2)
    if bit.shape[1] == 1:
        return bit[:, 0]
    first, second = bit.unbind(1)
    return first * (1 - second) + second * (1 - first)


def _check(task: str, examples: int, features: int) -> None:
    if task not in ("linear", "xor") or examples < 1 or features < 1 or (task == "xor" and features % 2):
        raise InvalidValueError(
            "mixture: the task must be 'linear' or 'xor', with at least one example and feature, an even number of "
            f"features for 'xor', got {task!r}, {examples} examples and {features} features. Change one of them."
        )


def teacher(widths: Sequence[int], examples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a teacher, then examples that it labels; outputs are centred over the examples so that no class dominates.

    Args:
        widths: layer widths, input first, classes last, e.g. `(16, 32, 10)`; weights are N(0, 4/fan-in).
        examples: n ≥ 2.
        generator: draws the teacher first, so one seed gives one teacher whatever n is.

    Returns:
        Inputs (n, widths[0]) float32 and labels (n,) int64.

    Raises:
        InvalidValueError: for fewer than two layers of units, two examples or two classes.

    Example:
        >>> inputs, labels = teacher((16, 32, 10), 4000, torch.Generator().manual_seed(0))
        >>> tuple(inputs.shape), len(labels.unique())
        ((4000, 16), 10)
    """
    if len(widths) < 2 or min(widths) < 1 or widths[-1] < 2 or examples < 2:
        raise InvalidValueError(
            "teacher: positive widths from the input to at least two classes and two examples are needed, got "
            f"{tuple(widths)} and {examples}. Pass for example (16, 32, 10) and 4000."
        )
    layers = [
        2 * fan_in**-0.5 * torch.randn(fan_in, fan_out, generator=generator, dtype=torch.float64)
        for fan_in, fan_out in pairwise(widths)
    ]
    inputs = torch.randn(examples, widths[0], generator=generator, dtype=torch.float64)
    hidden = inputs
    for layer in layers[:-1]:
        hidden = torch.tanh(hidden @ layer)
    outputs = hidden @ layers[-1]
    return inputs.float(), (outputs - outputs.mean(0)).argmax(1)
