"""Pruning at initialisation in one call: each method is a score, a scope and a schedule, and returns masks.

The model is never changed: apply masks once with `masks.apply_(model)` or for good with `masks.enforce(model)`.
A density that must empty a layer, because it keeps fewer weights than there are layers, is refused before any work;
whether a method cut the network all the same is told by `connectivity`.
"""

from collections.abc import Sequence

import torch
from torch import nn

from pruneproof.errors import PruneproofError, require_type
from pruneproof.prune import scores
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import BatchNormMode, Inputs, Readout
from pruneproof.prune.models.parameters import prunable
from pruneproof.prune.scores._objective import Batch, Loss
from pruneproof.prune.selection.budget import kept_count
from pruneproof.prune.selection.pattern import read_pattern, require_pattern_budget
from pruneproof.prune.selection.progressive import prune_progressively
from pruneproof.prune.selection.schedules import exponential, one_shot
from pruneproof.prune.selection.selection import select

SYNFLOW_ITERATIONS = 100  # of the published method
GRASP_TEMPERATURE = 200.0  # of the published implementations


def magnitude(model: nn.Module, *, density: float | None = None, scope: str = "global") -> Masks:
    """Keep the weights of largest absolute value.

    **Arguments:**

    - `model`: any module with a linear or convolution weight.
    - `density`: the kept fraction of all prunable weights, in (0, 1]; may be left out if `scope` is a pattern, whose
      density n/m it must otherwise equal.
    - `scope`: `"global"`, `"layer"`, `"erk"` or a pattern such as `"2:4"`, as in `select`.

    **Returns:** `Masks` with exactly the nearest whole number of kept weights.

    **Raises:** `PruneproofError` for a density outside (0, 1] or so small that a layer must empty.

    Example:
        >>> magnitude(nn.Linear(10, 10), density=0.1).count
        10
    """
    _check_density("magnitude", model, density, scope)
    return select(scores.magnitude(model), density=density, scope=scope)


def random(
    model: nn.Module, *, density: float | None = None, generator: torch.Generator, scope: str = "global"
) -> Masks:
    """Keep weights drawn uniformly at random: the control that every method must beat.

    **Arguments:** those of `magnitude`, and

    - `generator`: the only source of randomness; it advances.

    **Returns:** `Masks`; with `scope="layer"` all layers have one density, with `"erk"` the Erdős–Rényi-kernel ones.

    **Raises:** `PruneproofError` as `magnitude` does.

    Example:
        >>> random(nn.Linear(10, 10), density=0.1, generator=torch.Generator().manual_seed(0)).count
        10
    """
    _check_density("random", model, density, scope)
    return select(scores.random(model, generator), density=density, scope=scope)


def snip(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> Masks:
    """Keep the weights whose removal changes the loss most, by SNIP's first-order score, in one shot.

    **Arguments:** those of `magnitude` and of `scores.snip`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> snip(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    _check_density("snip", model, density, scope)
    result = scores.snip(model, loss, batch, batch_norm=batch_norm, chunk=chunk, readout=readout)
    return select(result, density=density, scope=scope)


def grasp(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    temperature: float = GRASP_TEMPERATURE,
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> Masks:
    """Keep the weights whose removal would lower the gradient norm most, by GraSP's score, in one shot.

    **Arguments:** those of `magnitude` and of `scores.grasp`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    _check_density("grasp", model, density, scope)
    result = scores.grasp(
        model, loss, batch, temperature=temperature, batch_norm=batch_norm, chunk=chunk, readout=readout
    )
    return select(result, density=density, scope=scope)


def grasp_abs(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    temperature: float = GRASP_TEMPERATURE,
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> Masks:
    """Keep the weights of largest absolute GraSP score, in one shot.

    **Arguments:** those of `grasp`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as `grasp` does.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp_abs(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    _check_density("grasp_abs", model, density, scope)
    result = scores.grasp_abs(
        model, loss, batch, temperature=temperature, batch_norm=batch_norm, chunk=chunk, readout=readout
    )
    return select(result, density=density, scope=scope)


def synflow(
    model: nn.Module,
    input_shape: Sequence[int] | Inputs,
    *,
    density: float | None = None,
    scope: str = "global",
    iterations: int = SYNFLOW_ITERATIONS,
    readout: Readout | None = None,
) -> Masks:
    """Keep the weights that carry most flow, rescored along an exponential schedule; needs no data.

    **Arguments:** those of `magnitude` and of `scores.synflow`, and

    - `iterations`: the number of times that the flow is computed, at densities `density^(k/iterations)`;
      1 with a pattern, which has one density.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Source: SynFlow (Tanaka et al. 2020) as stated in Frankle et al. 2021.

    Example:
        >>> synflow(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (1, 4), density=0.25).count
        12
    """
    final = _check_density("synflow", model, density, scope)
    if read_pattern(scope, where="synflow") is not None and iterations != 1:
        required, remedy = "iterations=1 with a pattern, which has one density", "pass iterations=1, or another scope"
        raise PruneproofError("synflow", required=required, received=iterations, remedy=remedy)
    schedule = exponential(final, iterations) if iterations != 1 else one_shot(final)
    levels = prune_progressively(
        model, lambda network: scores.synflow(network, input_shape, readout=readout), schedule, scope=scope
    )
    return levels[-1]


def _check_density(where: str, model: nn.Module, density: float | None, scope: str) -> float:
    """Refuse a density that cannot be kept, before any work; returns it, or the one that a pattern fixes."""
    require_type(where, model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    weights = {name: weight for name, weight in prunable(model).items() if weight.numel()}
    pattern = read_pattern(scope, where=where)
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where=where)
        return pattern[0] / pattern[1]
    total = sum(weight.numel() for weight in weights.values())
    kept = kept_count(density, total, where=where)
    if kept < len(weights):
        remedy = f"pass a density of at least {len(weights) / total:.3g}"
        required = f"at least one weight for each of {len(weights)} layers"
        raise PruneproofError(where, required=required, received=f"{kept} of {total} weights", remedy=remedy)
    assert density is not None  # or kept_count would have refused it
    return density
