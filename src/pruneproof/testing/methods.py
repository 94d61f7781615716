"""The laws of a pruning method: exact counts, names, purity, determinism, nestedness, equivariance."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.parameters import prunable
from pruneproof.prune.selection.budget import kept_count

from .law import Law
from .purity import difference, fingerprint
from .sample_models import Batch, samples

Method = Callable[[nn.Module, Batch, float], Masks]

DENSITIES = (1.0, 0.8, 0.5, 0.21, 0.1)


def method_laws(method: Method, *, nested: bool = True, equivariant: bool = True) -> tuple[Law, ...]:
    """The laws that a pruning method must obey, to be called one by one.

    Args:
        method: `(model, (inputs, targets), density) -> Masks`. A random method takes a generator of
            a fixed seed at every call.
        nested: Whether what a lower density keeps must be kept at a higher one too; false for a
            method that scores again on the way down.
        equivariant: Whether reordering hidden units must reorder the masks alike; false for a
            random method. No score may then tie at the threshold on the samples.

    Returns:
        The laws `counts`, `names`, `purity`, `determinism` and, if asked for, `nestedness`,
        `equivariance`.

    Example:
        >>> from pruneproof.prune import magnitude
        >>> for law in method_laws(lambda model, batch, density: magnitude(model, density=density)):
        ...     law()
    """
    laws = [
        Law("counts", "the nearest whole number to density × total is kept, halves up", partial(_counts, method)),
        Law("names", "one mask of the parameter's shape for each prunable weight", partial(_names, method)),
        Law("purity", "pruning changes nothing in the model and draws nothing from it", partial(_purity, method)),
        Law("determinism", "two calls give the same masks", partial(_determinism, method)),
    ]
    if nested:
        laws.append(
            Law("nestedness", "a lower density keeps nothing that a higher one prunes", partial(_nested, method))
        )
    if equivariant:
        statement = "reordering hidden units reorders the masks alike"
        laws.append(Law("equivariance", statement, partial(_equivariance, method)))
    return tuple(laws)


def _counts(method: Method) -> str | None:
    for sample in samples():
        total = sum(weight.numel() for weight in prunable(sample.model).values())
        for density in DENSITIES:
            kept, wanted = method(sample.model, sample.batch, density).count, kept_count(density, total, where="counts")
            if kept != wanted:
                return f"{sample.name} at density {density}: {kept} kept instead of {wanted} of {total}"
    return None


def _names(method: Method) -> str | None:
    for sample in samples():
        found = {name: tuple(mask.shape) for name, mask in method(sample.model, sample.batch, 0.5).items()}
        wanted = {name: tuple(weight.shape) for name, weight in prunable(sample.model).items()}
        if found != wanted:
            return f"{sample.name}: {found} instead of {wanted}"
    return None


def _purity(method: Method) -> str | None:
    for sample in samples():
        before = fingerprint(sample.model)
        method(sample.model, sample.batch, 0.5)
        changed = difference(before, fingerprint(sample.model))
        if changed is not None:
            return f"{sample.name}: {changed}"
    return None


def _determinism(method: Method) -> str | None:
    for sample in samples():
        first, second = (method(sample.model, sample.batch, 0.5) for _ in range(2))
        if first != second:
            return f"{sample.name}: the masks of two calls differ"
    return None


def _nested(method: Method) -> str | None:
    for sample in samples():
        levels = [(density, method(sample.model, sample.batch, density)) for density in DENSITIES]
        for (high, larger), (low, smaller) in pairwise(levels):
            extra = smaller.count - (smaller & larger).count
            if extra:
                return f"{sample.name}: density {low} keeps {extra} weights that density {high} prunes"
    return None


def _equivariance(method: Method) -> str | None:
    if (wrong := _names(method)) is not None:  # such masks cannot be reordered as the weights are
        return wrong
    for sample in samples():
        order = torch.arange(sample.units).flip(0)
        moved = sample.permuted(order)
        for density in DENSITIES:
            expected = Masks(sample.reordered(method(sample.model, sample.batch, density), order))
            found = method(moved.model, moved.batch, density)
            if found != expected:
                return f"{sample.name} at density {density}: {(found & expected).count} of {found.count} agree"
    return None
