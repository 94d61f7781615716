"""From the sample to the population: the factor C with which sensitivities on S bound shares at a new point (S5)."""

import math

import torch
from torch import Tensor

from pruneproof.checks import require_fraction
from pruneproof.errors import InvalidValueError

from .half_rows import blocks, floored


def ratios(weight: Tensor, sensitivity: Tensor, points: Tensor) -> Tensor:
    """R(x) = max over half-rows and weights of g_j(x)/s_j, one float64 per point; dead half-rows are kept whole: exact.

    Args:
        weight: (outputs, inputs) of one layer.
        sensitivity: (outputs, inputs), sensitivities on S.
        points: (points, inputs) ≥ 0.
    """
    floor = floored(weight, sensitivity).double()
    points = points.double()
    result = points.new_zeros(len(points))
    for block in blocks(weight.double(), floor, [points]):
        dead = sensitivity[block.rows].mul(block.weight > 0).amax(1) == 0
        inverse = torch.where(block.weight > 0, block.weight / block.sensitivity, 0.0)
        inverse[dead] = 0.0  # kept whole, so exact
        for row, half in zip(inverse, block.weight, strict=True):
            sums = points @ half
            shares = (points * row).amax(1) / torch.where(sums > 0, sums, torch.inf)
            result = torch.maximum(result, shares)
    return result


def stretch(weight: Tensor, sensitivity: Tensor, held_out: Tensor, *, beta: float) -> float:
    """The conformal C: a new point's shares exceed C times the sensitivities with probability at most β.

    Args:
        weight: (outputs, inputs) of one layer.
        sensitivity: (outputs, inputs), from `kernels.sensitivities` on S.
        held_out: (points, inputs), what the layer meets on points exchangeable with the new one
            given S.
        beta: In (0, 1), share of the population given up.

    Returns:
        C ≥ 1, or inf where fewer than (1 − β)/β points were held out: the statement is vacuous
        then.

    Raises:
        InvalidValueError: No points, or a β outside (0, 1).

    Source: S5(b) in theory/theorems/sensitivity/proof.md.

    Example:
        >>> weight, points = torch.ones(1, 2), torch.tensor([[1.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
        >>> stretch(weight, torch.full((1, 2), 0.5), points, beta=0.5)
        1.0
    """
    require_fraction("stretch", "beta", beta)
    if held_out.ndim != 2 or not len(held_out):
        raise InvalidValueError(f"stretch: held-out points must be (points, inputs), got {tuple(held_out.shape)}.")
    values = ratios(weight, sensitivity, held_out.clamp(min=0))
    if bool((held_out < 0).any()):
        values = torch.maximum(values, ratios(weight, sensitivity, (-held_out).clamp(min=0)))
    rank = math.ceil((1 - beta) * (len(values) + 1))
    return math.inf if rank > len(values) else max(1.0, float(values.sort().values[rank - 1]))
