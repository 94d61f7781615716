"""Classification tasks made by a random tanh network: x ~ N(0, I), label the largest of its centred outputs."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...errors import PruneproofError


def teacher(widths: Sequence[int], examples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a teacher, then examples that it labels; outputs are centred over the examples so that no class dominates.

    Arguments:
        widths: layer widths, input first, classes last, e.g. `(16, 32, 10)`; weights are N(0, 4/fan-in).
        examples: n ≥ 2.
        generator: draws the teacher first, so one seed gives one teacher whatever n is.

    Returns:
        Inputs (n, widths[0]) float32 and labels (n,) int64.

    Raises:
        PruneproofError: for fewer than two layers of units, two examples or two classes.

    Example:
        >>> inputs, labels = teacher((16, 32, 10), 4000, torch.Generator().manual_seed(0))
        >>> tuple(inputs.shape), len(labels.unique())
        ((4000, 16), 10)
    """
    if len(widths) < 2 or min(widths) < 1 or widths[-1] < 2 or examples < 2:
        required = "positive widths from the input to at least two classes, and two examples"
        raise PruneproofError(
            "teacher", required=required, received=(widths, examples), remedy="e.g. (16, 32, 10), 4000"
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
