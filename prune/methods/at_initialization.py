"""Pruning in one call: each method is a score with a budget (what `select` does), and returns masks.

The model is never changed: apply masks once by `masks.apply_(model)` or for good by
`masks.enforce(model)`. A density that must empty a layer, because it keeps fewer weights than there
are layers, is refused before any work; `connectivity` says whether a method cut the network all the same.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError
from pruneproof.prune import scores
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import Inputs, Readout
from pruneproof.prune.models.parameters import Patterns
from pruneproof.prune.scores._objective import Batch, Loss, ScoringOptions
from pruneproof.prune.selection.progressive import prune_progressively
from pruneproof.prune.selection.schedules import exponential
from pruneproof.prune.selection.selection import plan

SYNFLOW_ITERATIONS = 100  # of the published method


def magnitude(
    model: nn.Module,
    *,
    density: float | None = None,
    scope: str = "global",
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights of largest absolute value.

    Args:
        model: Any module with a weight that `prunable` names.
        density: The kept fraction of the weights that are pruned, in (0, 1]. Required, except with
            a pattern as the scope, whose density n/m it must otherwise equal.
        scope: `"global"`, `"layer"`, `"row"`, `"erk"` or a pattern such as `"2:4"`, as in `select`;
            a row is what one output reads, whichever way the layer stores its weight.
        include: Shell patterns such as `"encoder.*"` of the parameters or modules to prune; a
            module stands for all its parameters. Everything if empty.
        exclude: Patterns of what stays dense. It has no mask, and the density does not count it.

    Returns:
        `Masks` with exactly the nearest whole number of kept weights.

    Raises:
        InvalidValueError: A density outside (0, 1], or so small that a layer must empty.
        PruneproofError: As `prunable` raises.

    Example:
        >>> magnitude(nn.Linear(10, 10), density=0.1).count
        10
    """
    budget = plan("magnitude", model, density, scope, include, exclude)
    return budget.masks(scores.magnitude(model, include=include, exclude=exclude))


def random(
    model: nn.Module,
    *,
    density: float | None = None,
    generator: torch.Generator,
    scope: str = "global",
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep weights drawn uniformly at random: the control that every method must beat.

    Args:
        model: As in `magnitude`.
        density: As in `magnitude`.
        generator: The only source of randomness; it advances.
        scope: As in `magnitude`; with `"layer"` all layers have one density, with `"erk"` the
            Erdős–Rényi-kernel ones.
        include: As in `magnitude`.
        exclude: As in `magnitude`.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `magnitude` raises.

    Example:
        >>> random(nn.Linear(10, 10), density=0.1, generator=torch.Generator().manual_seed(0)).count
        10
    """
    budget = plan("random", model, density, scope, include, exclude)
    return budget.masks(scores.random(model, generator=generator, include=include, exclude=exclude))


def snip(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    **options: Unpack[ScoringOptions],
) -> Masks:
    """Keep the weights whose removal changes the loss most, by SNIP's first-order score, in one shot.

    Args:
        model: As in `magnitude`.
        loss: As in `scores.snip`.
        batch: As in `scores.snip`.
        density: As in `magnitude`.
        scope: As in `magnitude`.
        **options: Those of `scores.snip`, `include` and `exclude` among them.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `magnitude` and `scores.snip` raise.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> snip(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    budget = plan("snip", model, density, scope, options.get("include", ()), options.get("exclude", ()))
    return budget.masks(scores.snip(model, loss, batch, **options))


def grasp(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    **options: Unpack[ScoringOptions],
) -> Masks:
    """Keep the weights whose removal would lower the gradient norm most, by GraSP's score, in one shot.

    Args:
        model: As in `magnitude`.
        loss: As in `scores.grasp`.
        batch: As in `scores.grasp`.
        density: As in `magnitude`.
        scope: As in `magnitude`.
        **options: Those of `scores.grasp`, `include` and `exclude` among them.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `magnitude` and `scores.grasp` raise.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    budget = plan("grasp", model, density, scope, options.get("include", ()), options.get("exclude", ()))
    return budget.masks(scores.grasp(model, loss, batch, **options))


def grasp_abs(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    density: float | None = None,
    scope: str = "global",
    **options: Unpack[ScoringOptions],
) -> Masks:
    """Keep the weights of largest absolute GraSP score, in one shot.

    Args:
        model: As in `magnitude`.
        loss: As in `scores.grasp`.
        batch: As in `scores.grasp`.
        density: As in `magnitude`.
        scope: As in `magnitude`.
        **options: Those of `scores.grasp`, `include` and `exclude` among them.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `grasp` raises.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp_abs(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    budget = plan("grasp_abs", model, density, scope, options.get("include", ()), options.get("exclude", ()))
    return budget.masks(scores.grasp_abs(model, loss, batch, **options))


def synflow(
    model: nn.Module,
    input_shape: Sequence[int] | Inputs,
    *,
    density: float | None = None,
    scope: str = "global",
    iterations: int = SYNFLOW_ITERATIONS,
    readout: Readout | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights that carry most flow, rescored along an exponential schedule; needs no data.

    Args:
        model: As in `magnitude`.
        input_shape: As in `scores.synflow`.
        density: As in `magnitude`.
        scope: As in `magnitude`.
        iterations: The number of times that the flow is computed, at densities
            `density^(k/iterations)`; 1 with a pattern, which has one density.
        readout: As in `scores.synflow`.
        include: As in `magnitude`.
        exclude: As in `magnitude`.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `magnitude` and `scores.synflow` raise.

    Source: SynFlow (Tanaka et al. 2020) as stated in Frankle et al. 2021.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> synflow(net, (1, 4), density=0.25).count
        12
    """
    budget = plan("synflow", model, density, scope, include, exclude)
    if budget.pattern is not None and iterations != 1:
        raise InvalidValueError(
            f"synflow: a pattern has one density, so it takes iterations=1, got {iterations}. "
            "Pass iterations=1, or another scope."
        )

    def score(network: nn.Module) -> dict[str, Tensor]:
        return scores.synflow(network, input_shape, readout=readout, include=include, exclude=exclude)

    if iterations == 1:
        return budget.masks(score(model))
    assert budget.density is not None
    return prune_progressively(model, score, exponential(budget.density, iterations), scope=scope)[-1]


def wanda(
    model: nn.Module,
    inputs: Inputs,
    *,
    density: float | None = None,
    scope: str = "row",
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights of largest |w|·‖x‖, x the input that the weight reads in the dense model, in one shot.

    Args:
        model: Any module whose prunable layers are called as modules; it is not changed.
        inputs: The calibration batch: a tensor, a tuple (positional) or a mapping (named).
        density: As in `magnitude`.
        scope: As in `magnitude`; the published method compares the weights of one output, `"row"`.
        include: As in `magnitude`.
        exclude: As in `magnitude`; language models usually keep `"lm_head"` dense.

    Returns:
        `Masks`.

    Raises:
        PruneproofError: As `magnitude` and `scores.wanda` raise.

    Source: Sun, Liu, Bair, Kolter 2024, "A Simple and Effective Pruning Approach for Large Language
    Models". Its code prunes int(columns × sparsity) weights of a row and keeps the highest index
    among equal scores; here a row keeps the nearest whole number to its length × density, and the
    lowest index. `calibrated` feeds each block from the pruned ones before it, as that code does,
    and leaves padding out.

    Example:
        >>> wanda(nn.Linear(10, 4), torch.randn(8, 10), density=0.5).counts
        {'weight': 20}
    """
    budget = plan("wanda", model, density, scope, include, exclude)
    return budget.masks(scores.wanda(model, inputs, include=include, exclude=exclude))
