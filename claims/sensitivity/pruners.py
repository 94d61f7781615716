"""The methods that SP3 and SP5 compare, all without retraining."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruneproof.prune import prunable, select, sipp
from pruneproof.prune.scores import magnitude
from pruneproof.prune.sensitivity.method import HalfRowBounds

INFORMED = ("sipp best", "sipp det", "sipp poisson")
DATA_FREE = ("magnitude", "magnitude by layer", "uniform", "l1 rows", "l2 rows")


def pruned_copy(
    method: str, model: nn.Module, points: Tensor, density: float, seed: int
) -> tuple[nn.Module, Mapping[str, HalfRowBounds] | None]:
    """A pruned copy, and the bounds of its half-rows where the method gives any.

    **Arguments:** `method`, one of `INFORMED` and `DATA_FREE`; `points`, the sample S; `density`, kept fraction;
    `seed`, of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    if method in INFORMED:
        variant = method.removeprefix("sipp ")
        result = sipp(model, points, density=density, variant=variant, generator=generator)
        return result.model, result.bounds
    pruned = copy.deepcopy(model)
    if method.startswith("magnitude"):
        scope = "layer" if method.endswith("layer") else "global"
        return select(magnitude(pruned), density=density, scope=scope).apply_(pruned), None
    power = {"uniform": 0, "l1 rows": 1, "l2 rows": 2}[method]
    for weight in prunable(pruned).values():
        weight.data.copy_(_row_sampled(weight.detach().flatten(1), power, density, generator).reshape_as(weight))
    return pruned, None


def _row_sampled(weight: Tensor, power: int, density: float, generator: torch.Generator) -> Tensor:
    """Keep entries of each row with chances ∝ |w|^power, `density` of them expected, divided by the chance."""
    size = weight.abs().double() ** power * (weight != 0)
    low, high = torch.zeros(len(weight), 1, dtype=torch.float64), 1e6 / size.amax(1, keepdim=True).clamp(min=1e-300)
    for _ in range(80):
        middle = 0.5 * (low + high)
        short = (middle * size).clamp(max=1.0).mean(1, keepdim=True) < density
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    chance = (high * size).clamp(max=1.0)
    kept = torch.rand(weight.shape, generator=generator, dtype=torch.float64) < chance
    return torch.where(kept, weight / chance, 0.0).to(weight.dtype)
