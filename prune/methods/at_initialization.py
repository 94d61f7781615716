"""Pruning in one call: each method is a score, a scope and a schedule, and returns masks.

The model is never changed: apply masks once with `masks.apply_(model)` or for good with `masks.enforce(model)`.
A density that must empty a layer, because it keeps fewer weights than there are layers, is refused before any work;
whether a method cut the network all the same is told by `connectivity`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, PruneproofError, UnsupportedError, require_type
from pruneproof.prune import scores
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import BatchNormMode, Inputs, Readout
from pruneproof.prune.models.layers import Layer, layers_of
from pruneproof.prune.models.parameters import Patterns, chosen_weights, unwrapped
from pruneproof.prune.scores._objective import Batch, Loss
from pruneproof.prune.selection.budget import kept_count, row_count
from pruneproof.prune.selection.pattern import read_pattern, require_pattern_budget
from pruneproof.prune.selection.progressive import prune_progressively
from pruneproof.prune.selection.schedules import exponential
from pruneproof.prune.selection.selection import select

SYNFLOW_ITERATIONS = 100  # of the published method
GRASP_TEMPERATURE = 200.0  # of the published implementations


def magnitude(
    model: nn.Module,
    *,
    density: float | None = None,
    scope: str = "global",
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights of largest absolute value.

    **Arguments:**

    - `model`: any module with a linear or convolution weight.
    - `density`: the kept fraction of the weights that `include` and `exclude` leave, in (0, 1]; may be left out if
      `scope` is a pattern, whose density n/m it must otherwise equal.
    - `scope`: `"global"`, `"layer"`, `"row"`, `"erk"` or a pattern such as `"2:4"`, as in `select`; a row is what one
      output reads, whichever way the layer stores its weight.
    - `include`, `exclude`: shell patterns of the weights to prune and to leave dense, as names of parameters or of
      modules, which cover their parameters: `exclude=["lm_head", "*.embed*"]`. Others than the weights to prune have
      no mask.

    **Returns:** `Masks` with exactly the nearest whole number of kept weights.

    **Raises:** `PruneproofError` for a density outside (0, 1] or so small that a layer (or a row) must empty, and for a
    pattern that matches nothing or leaves nothing.

    Example:
        >>> magnitude(nn.Linear(10, 10), density=0.1).count
        10
    """
    layers, _ = _check_budget("magnitude", model, density, scope, include, exclude)
    return _selected(scores.magnitude(model), layers, density, scope)


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

    **Arguments:** those of `magnitude`, and

    - `generator`: the only source of randomness; it advances.

    **Returns:** `Masks`; with `scope="layer"` all layers have one density, with `"erk"` the Erdős–Rényi-kernel ones.

    **Raises:** `PruneproofError` as `magnitude` does.

    Example:
        >>> random(nn.Linear(10, 10), density=0.1, generator=torch.Generator().manual_seed(0)).count
        10
    """
    layers, _ = _check_budget("random", model, density, scope, include, exclude)
    return _selected(scores.random(model, generator), layers, density, scope)


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
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights whose removal changes the loss most, by SNIP's first-order score, in one shot.

    **Arguments:** those of `magnitude` and of `scores.snip`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> snip(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    layers, _ = _check_budget("snip", model, density, scope, include, exclude)
    result = scores.snip(model, loss, batch, batch_norm=batch_norm, chunk=chunk, readout=readout)
    return _selected(result, layers, density, scope)


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
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights whose removal would lower the gradient norm most, by GraSP's score, in one shot.

    **Arguments:** those of `magnitude` and of `scores.grasp`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    layers, _ = _check_budget("grasp", model, density, scope, include, exclude)
    result = scores.grasp(
        model, loss, batch, temperature=temperature, batch_norm=batch_norm, chunk=chunk, readout=readout
    )
    return _selected(result, layers, density, scope)


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
    include: Patterns = (),
    exclude: Patterns = (),
) -> Masks:
    """Keep the weights of largest absolute GraSP score, in one shot.

    **Arguments:** those of `grasp`.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as `grasp` does.

    Example:
        >>> batch = (torch.randn(6, 4), torch.arange(6) % 3)
        >>> grasp_abs(nn.Linear(4, 3), nn.functional.cross_entropy, batch, density=0.5).count
        6
    """
    layers, _ = _check_budget("grasp_abs", model, density, scope, include, exclude)
    result = scores.grasp_abs(
        model, loss, batch, temperature=temperature, batch_norm=batch_norm, chunk=chunk, readout=readout
    )
    return _selected(result, layers, density, scope)


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

    **Arguments:** those of `magnitude` and of `scores.synflow`, and

    - `iterations`: the number of times that the flow is computed, at densities `density^(k/iterations)`;
      1 with a pattern, which has one density.

    **Returns:** `Masks`. **Raises:** `PruneproofError` as both do.

    Source: SynFlow (Tanaka et al. 2020) as stated in Frankle et al. 2021.

    Example:
        >>> synflow(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (1, 4), density=0.25).count
        12
    """
    layers, final = _check_budget("synflow", model, density, scope, include, exclude)
    if read_pattern(scope, where="synflow") is not None and iterations != 1:
        required, remedy = "iterations=1 with a pattern, which has one density", "pass iterations=1, or another scope"
        raise PruneproofError("synflow", required=required, received=iterations, remedy=remedy)
    if iterations == 1:
        result = scores.synflow(model, input_shape, readout=readout)
        return _selected(result, layers, density, scope)
    schedule, names = exponential(final, iterations), {layer.name for layer in layers}
    if scope == "row" and any(layer.stored_by_inputs for layer in layers):
        name = next(layer.name for layer in layers if layer.stored_by_inputs)
        raise UnsupportedError(
            f'synflow: scope "row" with several iterations is not defined for {name}, which is stored inputs first. '
            f'Pass iterations=1, or leave it dense by exclude=["{name}"].'
        )

    def score(network: nn.Module) -> dict[str, Tensor]:
        every = scores.synflow(network, input_shape, readout=readout)
        return {name: values for name, values in every.items() if name in names}

    return prune_progressively(model, score, schedule, scope=scope)[-1]


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
    layers, _ = _check_budget("wanda", model, density, scope, include, exclude)
    return _selected(scores.wanda(model, inputs), layers, density, scope)


def _selected(result: Mapping[str, Tensor], layers: Sequence[Layer], density: float | None, scope: str) -> Masks:
    """Select among the layers to prune; rows and groups run along the inputs of one output."""
    if scope != "row" and ":" not in scope:
        return select({layer.name: result[layer.name] for layer in layers}, density=density, scope=scope)
    by_name = {layer.name: layer for layer in layers}
    rows = {name: layer.matrix(result[name]) for name, layer in by_name.items()}
    return Masks(
        {name: by_name[name].tensor(mask) for name, mask in select(rows, density=density, scope=scope).items()}
    )


def _check_budget(
    where: str, model: nn.Module, density: float | None, scope: str, include: Patterns, exclude: Patterns
) -> tuple[list[Layer], float]:
    """The layers to prune and their density, or the one that a pattern fixes; refuses what cannot be kept."""
    require_type(where, model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    layers = layers_of(unwrapped(model), chosen_weights(model, include, exclude, where=where))
    full = [layer for layer in layers if layer.weight.numel()]
    pattern = read_pattern(scope, where=where)
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where=where)
        return layers, pattern[0] / pattern[1]
    total = sum(layer.weight.numel() for layer in full)
    kept = kept_count(density, total, where=where)
    if scope == "row":
        for layer in full:
            row_count(density, layer.matrix(layer.weight).shape[1], layer.name, where=where)
    elif kept < len(full):
        raise InvalidValueError(
            f"{where}: density {density} keeps {kept} of {total} weights, fewer than the {len(full)} layers. "
            f"Pass a density of at least {len(full) / total:.3g}."
        )
    assert density is not None  # or kept_count would have refused it
    return layers, density
