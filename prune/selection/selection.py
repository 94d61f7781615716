"""Turn scores into masks with exact counts: the highest survive, and among equals the lowest index.

A scope says how the count is shared among layers. Selection itself is always `top_k_masks`: over all layers at once
(`"global"`), in each layer (`"layer"`, `"erk"`, counts by layer), in each row (`"row"`), or in each group of m weights
(`"2:4"`, `"8:64"`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError, PruneproofError, described, require_type
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.masks.masks import Masks

from .budget import erk, kept_count, layer_counts, row_count, uniform
from .pattern import pattern_masks, read_pattern, require_pattern_budget, row_length

_WHERE = "select"


def select(
    scores: Mapping[str, Tensor],
    *,
    density: float | None = None,
    count: int | Mapping[str, int] | None = None,
    scope: str = "global",
) -> Masks:
    """Keep the weights with the highest scores, exactly as many as asked for.

    Ties go to the lowest index: layers in the order of `scores`, weights of a layer in row-major order. A density
    keeps the nearest whole number to density × total, halves rounded up. Scores of +inf are kept first and of −inf
    last; they are values like others and do not change the count.

    **Arguments:**

    - `scores`: parameter name → floating-point tensor of the parameter's shape, without NaN; higher is kept.
    - `density`: the kept fraction of all weights, in (0, 1].
    - `count`: instead of the density, the number of kept weights; or, with `scope="layer"`, name → number for every
      layer (`Masks.counts` copies the budget of another mask; 0 empties a layer).
    - `scope`: how the count is shared among the layers.
        - `"global"`: the highest scores of the model; a layer may become empty.
        - `"layer"`: every layer at the same density, rounded so that the total is exact (`budget.uniform`).
        - `"row"`: every row of the (outputs, inputs × kernel) matrix keeps the nearest whole number to its length ×
          density; give a density, no count.
        - `"erk"`: in proportion to the sum of a layer's dimensions, full layers dense (`budget.erk`).
        - `"n:m"` with two numbers, as in `"2:4"`: exactly n of every m consecutive weights of each row of the
          (outputs, inputs × kernel) matrix, which m must divide. The pattern fixes the density at n/m, which
          may be repeated as `density`; give no count.

    **Returns:** `Masks` with the names and shapes of the scores.

    **Raises:** `PruneproofError` for NaN, a density outside (0, 1], a count out of range, neither or both of them, or
    a budget that leaves a layer empty under `"layer"` and `"erk"` or a row under `"row"`. Nothing is changed.

    Example:
        >>> import torch
        >>> scores = {"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([3.0, 3.0, 2.0])}
        >>> select(scores, count=2).counts
        {'a': 1, 'b': 1}
        >>> dict(select(scores, count=2))["b"]
        tensor([ True, False, False])
        >>> select(scores, density=0.5, scope="layer").counts
        {'a': 1, 'b': 2}
        >>> dict(select({"a": torch.tensor([[1.0, 4.0], [3.0, 2.0]])}, density=0.5, scope="row"))["a"]
        tensor([[False,  True],
                [ True, False]])
    """
    _check_scores(scores)
    pattern = read_pattern(scope, where=_WHERE)
    if pattern is not None:
        require_pattern_budget(density, count, *pattern, where=_WHERE)
        return Masks(pattern_masks(scores, *pattern, where=_WHERE))
    if scope == "row":
        return _by_row(scores, density, count)
    if scope == "global" and not isinstance(count, Mapping):
        total = sum(score.numel() for score in scores.values())
        return Masks(dict(zip(scores, top_k_masks(list(scores.values()), _total(total, density, count)), strict=True)))
    counts = _by_layer(scores, density, count, scope)
    return Masks({name: top_k_masks([score], counts[name])[0] for name, score in scores.items()})


def _by_row(scores: Mapping[str, Tensor], density: float | None, count: int | Mapping[str, int] | None) -> Masks:
    if density is None or count is not None:
        raise InvalidValueError(
            f'{_WHERE}: scope "row" takes a density and no count, got density={density}, count={described(count)}. '
            "Pass, for example, density=0.5."
        )
    counts = {n: row_count(density, row_length(s), n, where=_WHERE) for n, s in scores.items() if s.numel()}
    return Masks(
        {
            name: row_masks(score.detach().reshape(-1, row_length(score)), counts[name]).reshape(score.shape)
            if score.numel()
            else torch.zeros_like(score, dtype=torch.bool)
            for name, score in scores.items()
        }
    )


def row_masks(scores: Tensor, count: int) -> Tensor:
    """Mark the `count` highest scores of each row, among equals those of lowest index.

    Example:
        >>> row_masks(torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), 1)
        tensor([[False,  True, False],
                [ True, False, False]])
    """
    if count >= scores.shape[1] or count == 0:
        return torch.full(scores.shape, count > 0, dtype=torch.bool, device=scores.device)
    threshold = scores.kthvalue(scores.shape[1] - count + 1, dim=1, keepdim=True).values
    kept = scores >= threshold
    crowded = (kept.sum(1) > count).nonzero()[:, 0]  # rows with more equals at the threshold than places
    if len(crowded):
        above, equal = scores[crowded] > threshold[crowded], scores[crowded] == threshold[crowded]
        places = count - above.sum(1, keepdim=True)
        kept[crowded] = above | (equal & (equal.cumsum(1) <= places))
    return kept


def _check_scores(scores: Mapping[str, Tensor]) -> None:
    remedy = "pass what a function of pruneproof.prune.scores returned"
    require_type(_WHERE, scores, Mapping, required="scores by parameter name", remedy=remedy)
    for name, score in scores.items():
        require_type(_WHERE, score, Tensor, required=f"a tensor of scores for {name}", remedy="convert it")
    if not any(score.numel() for score in scores.values()):
        raise PruneproofError(_WHERE, required="scores", received="none", remedy="score a model with prunable weights")
    for name, score in scores.items():
        if not score.is_floating_point() or score.dtype.itemsize == 1:  # eight bits cannot be compared in torch
            required, received = "floating-point scores of 16 bits or more", f"{score.dtype} for {name}"
            raise PruneproofError(_WHERE, required=required, received=received, remedy="convert them")
        if score.numel() and bool(score.detach().aminmax().min.isnan()):
            raise PruneproofError(
                _WHERE,
                required="scores without NaN",
                received=f"NaN in {name}",
                remedy="look for the layer that overflows",
            )


def _total(total: int, density: float | None, count: int | None) -> int:
    """The number of kept weights from either of the two ways to say it."""
    if (density is None) == (count is None):
        received = "neither" if density is None else "both"
        raise PruneproofError(_WHERE, required="density or count", received=received, remedy="give one of the two")
    if density is not None:
        return kept_count(density, total, where=_WHERE)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= total:
        raise PruneproofError(
            _WHERE,
            required=f"a whole number between 1 and {total}",
            received=described(count),
            remedy="change the count",
        )
    return count


def _by_layer(
    scores: Mapping[str, Tensor], density: float | None, count: int | Mapping[str, int] | None, scope: str
) -> dict[str, int]:
    sizes = {name: score.numel() for name, score in scores.items()}
    if isinstance(count, Mapping):
        if density is not None or scope != "layer":
            received = f"density={density}, scope={scope!r}"
            raise PruneproofError(
                _WHERE,
                required='scope="layer" alone with counts by layer',
                received=received,
                remedy="change the scope",
            )
        return layer_counts(count, sizes, where=_WHERE)
    if scope not in ("layer", "erk"):
        raise PruneproofError(
            _WHERE,
            required='scope "global", "layer", "row", "erk" or a pattern such as "2:4"',
            received=scope,
            remedy="use one",
        )
    kept = _total(sum(sizes.values()), density, count)
    shares = uniform(list(sizes.values()), kept) if scope == "layer" else erk([s.shape for s in scores.values()], kept)
    counts = dict(zip(scores, shares, strict=True))
    _refuse_empty({name: kept for name, kept in counts.items() if sizes[name]}, scope)
    return counts


def _refuse_empty(counts: Mapping[str, int], scope: str) -> None:
    empty = [name for name, kept in counts.items() if kept == 0]
    if empty:
        raise PruneproofError(
            _WHERE,
            required=f"at least one weight for every layer under scope {scope!r}",
            received=f"none for {', '.join(empty)}",
            remedy="raise the density, or state the counts by layer",
        )
