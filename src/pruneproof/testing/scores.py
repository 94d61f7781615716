"""The laws of a score: names and shapes, order, purity, determinism, equivariance."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from pruneproof.prune.models.parameters import prunable

from .law import Law
from .purity import difference, fingerprint
from .sample_models import Batch, samples

Score = Callable[[nn.Module, Batch], Mapping[str, Tensor]]

# A reordered sum of n float64 terms moves by at most n·2⁻⁵³ of their absolute sum. The samples have n < 2000, which
# leaves a factor of 4000 for cancellation relative to the largest score of the network.
ROUNDING = 1e-9


def score_laws(score: Score, *, equivariant: bool = True) -> tuple[Law, ...]:
    """The laws that a score must obey, to be called one by one.

    Args:
        score: `(model, (inputs, targets)) -> {parameter name: tensor}`, higher is kept; a score
            that needs no data ignores the batch. A random score takes a generator of a fixed seed
            at every call.
        equivariant: Whether reordering hidden units must reorder the scores alike; false for a
            random score.

    Returns:
        The laws `names`, `order`, `purity`, `determinism` and, if asked for, `equivariance`; each
        tries the score on all `samples()`.

    Example:
        >>> from pruneproof.prune import scores
        >>> for law in score_laws(lambda model, batch: scores.magnitude(model)):
        ...     law()
    """
    laws = [
        Law(
            "names", "a floating-point tensor of the parameter's shape for each prunable weight", partial(_names, score)
        ),
        Law("order", "no score is NaN", partial(_order, score)),
        Law("purity", "scoring changes nothing in the model and draws nothing from it", partial(_purity, score)),
        Law("determinism", "two calls give the same bits", partial(_determinism, score)),
    ]
    if equivariant:
        statement = "reordering hidden units reorders the scores alike"
        laws.append(Law("equivariance", statement, partial(_equivariance, score)))
    return tuple(laws)


def _names(score: Score) -> str | None:
    for sample in samples():
        scored, weights = score(sample.model, sample.batch), prunable(sample.model)
        if list(scored) != list(weights):
            return f"{sample.name}: {list(scored)} instead of {list(weights)}"
        for name, weight in weights.items():
            if scored[name].shape != weight.shape or not scored[name].is_floating_point():
                found = f"{scored[name].dtype} of shape {tuple(scored[name].shape)}"
                return f"{sample.name}, {name}: {found}, where the weight has shape {tuple(weight.shape)}"
    return None


def _order(score: Score) -> str | None:
    for sample in samples():
        for name, values in score(sample.model, sample.batch).items():
            if values.isnan().any():
                return f"{sample.name}: NaN in {name}"
    return None


def _purity(score: Score) -> str | None:
    """In training mode throughout, where BatchNorm's statistics move, and with one layer in evaluation mode."""
    for mixed in (False, True):
        for sample in samples():
            model = sample.model
            next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
            list(model.parameters())[-1].requires_grad_(False)
            model[1].train(not mixed)
            before = fingerprint(model)
            score(model, sample.batch)
            changed = difference(before, fingerprint(model))
            if changed is not None:
                return f"{sample.name}: {changed}"
    return None


def _determinism(score: Score) -> str | None:
    for sample in samples():
        first, second = (score(sample.model, sample.batch) for _ in range(2))
        changed = difference(first, second)
        if changed is not None:
            return f"{sample.name}: {changed} between two calls"
    return None


def _equivariance(score: Score) -> str | None:
    if (wrong := _names(score)) is not None:  # such scores cannot be reordered as the weights are
        return wrong
    for sample in samples():
        order = torch.arange(sample.units).flip(0)
        scored = score(sample.model, sample.batch)
        expected = sample.reordered(scored, order)
        moved = sample.permuted(order)
        largest = max(float(values.abs().max()) for values in scored.values())
        for name, values in score(moved.model, moved.batch).items():
            error = float((values - expected[name]).abs().max())
            if not error <= ROUNDING * largest:
                return f"{sample.name}, {name}: differs by {error:.3g}, scores being at most {largest:.3g}"
    return None
