"""Turn scores into masks with exact counts: the highest survive, and among equals the lowest index.

A scope says how the count is shared among layers. Selection itself is always `top_k_masks`: over all
layers at once (`"global"`), in each layer (`"layer"`, `"erk"`, counts by layer), in each row
(`"row"`), or in each group of m weights (`"2:4"`, `"8:64"`). A `Budget` is what a density or count
and a scope mean for given shapes; it is checked once, before anything is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruneproof.checks import require_integer, require_type
from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.kernels.memory_order import extremes
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.parameters import OUTPUTS_FIRST, Layout, Patterns, find_prunable, layouts
from pruneproof.prune.models.shards import is_sharded, whole

from .budget import erk, kept_count, layer_counts, row_count, uniform
from .pattern import pattern_masks, read_pattern, require_pattern_budget
from .sharded import require_agreement, sharded_top_k

Count = int | Mapping[str, int]

_CHUNK = 1 << 19  # scores whose thresholds are found at once


class Scores(dict[str, Tensor]):
    """Scores by parameter name that bring along how each parameter forms its layer's matrix.

    The functions of `pruneproof.prune.scores` return it, so that `select` finds the rows of layers
    which store inputs first; otherwise it is a dict.

    Args:
        tensors: Parameter name → scores.
        layouts: Parameter name → `Layout`, where it does not store outputs first.
    """

    def __init__(self, tensors: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> None:
        super().__init__(tensors)
        self.layouts = {name: layout for name, layout in layouts.items() if name in tensors}


def layouts_of(scores: Mapping[str, Tensor], model: nn.Module | None = None) -> Mapping[str, Layout]:
    """The layouts that scores bring along, or those of a model."""
    if model is not None:
        return layouts(model)
    return scores.layouts if isinstance(scores, Scores) else {}


def select(
    scores: Mapping[str, Tensor],
    *,
    density: float | None = None,
    count: int | Mapping[str, int] | None = None,
    scope: str = "global",
    model: nn.Module | None = None,
) -> Masks:
    """Keep the weights with the highest scores, exactly as many as asked for.

    Ties go to the lowest index: layers in the order of `scores`, weights of a layer in row-major
    order. A density keeps the nearest whole number to density × total, halves rounded up. Scores of
    +inf are kept first and of −inf last; they are values like others and do not change the count.

    Args:
        scores: Parameter name → floating-point tensor of the parameter's shape, without NaN; higher
            is kept.
        density: The kept fraction of all weights, in (0, 1].
        count: Instead of the density, the number of kept weights; or, with `scope="layer"`, name →
            number for every layer (`Masks.counts` copies the budget of another mask; 0 empties a
            layer).
        scope: How the count is shared among the layers.
            `"global"`: the highest scores of the model; a layer may become empty.
            `"layer"`: every layer at the same density, rounded so that the total is exact.
            `"row"`: every row of the (outputs, inputs × kernel) matrix keeps the nearest whole
            number to its length × density; give a density, no count.
            `"erk"`: in proportion to the sum of a layer's dimensions, full layers dense.
            `"n:m"` with two numbers, as in `"2:4"`: exactly n of every m consecutive weights of
            each row of the (outputs, inputs × kernel) matrix, which m must divide. The pattern
            fixes the density at n/m, which may be repeated as `density`; give no count.
        model: The model that was scored, which tells the layers that store inputs first (transposed
            convolutions, `Conv1D` of Hugging Face). Only rows and patterns need it, and only for
            scores that do not come from `pruneproof.prune.scores`.

    Returns:
        `Masks` with the names and shapes of the scores.

    Raises:
        InvalidValueError: For NaN, a density outside (0, 1], a count out of range, neither or both
            of them, or a budget that leaves a layer empty under `"layer"` and `"erk"`, or a row
            under `"row"`.
        InvalidTypeError: For scores that are no floating-point tensors.

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
    shapes = {name: score.shape for name, score in scores.items()}
    return make_budget("select", shapes, density, count, scope, layouts_of(scores, model)).masks(scores)


@dataclass(frozen=True)
class Budget:
    """What a density or a count and a scope mean for given shapes; exactly one of the last four is set.

    Args:
        where: The public function that was called, for error messages.
        density: The kept fraction that was asked for, or that a pattern fixes.
        layouts: How parameters form their layers' matrices, where they do not store outputs first.
        total: How many of all weights are kept.
        by_layer: Parameter name → how many of its weights are kept.
        by_row: Parameter name → how many weights of each row are kept.
        pattern: (n, m): n of every m consecutive weights of a row are kept.
    """

    where: str
    density: float | None
    layouts: Mapping[str, Layout]
    total: int | None = None
    by_layer: Mapping[str, int] | None = None
    by_row: Mapping[str, int] | None = None
    pattern: tuple[int, int] | None = None

    def masks(self, scores: Mapping[str, Tensor]) -> Masks:
        """Keep the highest scores within the budget.

        Raises:
            InvalidValueError: For NaN, or processes that share the scores but not the model or the budget.
        """
        if any(map(is_sharded, scores.values())):
            require_agreement(self.where, scores, repr(self))
        else:
            _require_order(self.where, scores)
        if self.total is None and self.by_layer is None:
            scores = {name: whole(score) for name, score in scores.items()}  # a row may lie on several processes
        if self.pattern is not None:
            return Masks(pattern_masks(scores, *self.pattern, where=self.where, layouts=self.layouts))
        if self.total is not None:
            return Masks(dict(zip(scores, self._top_k(list(scores.values()), self.total), strict=True)))
        if self.by_layer is not None:
            return Masks({name: self._top_k([score], self.by_layer[name])[0] for name, score in scores.items()})
        return Masks({name: self._by_row(name, score.detach()) for name, score in scores.items()})

    def _top_k(self, scores: list[Tensor], count: int) -> list[Tensor]:
        if any(is_sharded(score) for score in scores):
            return sharded_top_k(self.where, scores, count)
        return top_k_masks(scores, count)

    def _by_row(self, name: str, score: Tensor) -> Tensor:
        assert self.by_row is not None
        if not score.numel():
            return torch.zeros_like(score, dtype=torch.bool)
        layout = self.layouts.get(name, OUTPUTS_FIRST)
        return layout.tensor(row_masks(layout.matrix(score), self.by_row[name]), score.shape)


def make_budget(
    where: str,
    shapes: Mapping[str, torch.Size],
    density: float | None,
    count: Count | None,
    scope: str,
    layouts: Mapping[str, Layout],
) -> Budget:
    """Check a density or count and a scope against the shapes; the arguments are those of `select`.

    Raises:
        InvalidValueError: It cannot be kept.
        InvalidTypeError: An argument is of another type.
    """
    pattern = read_pattern(scope, where=where)
    if pattern is not None:
        require_pattern_budget(density, count, *pattern, where=where)
        return Budget(where, pattern[0] / pattern[1], layouts, pattern=pattern)
    if scope == "row":
        return Budget(where, density, layouts, by_row=_row_counts(where, shapes, density, count, layouts))
    if scope == "global" and not isinstance(count, Mapping):
        total = _total(where, sum(shape.numel() for shape in shapes.values()), density, count)
        return Budget(where, density, layouts, total=total)
    return Budget(where, density, layouts, by_layer=_layer_counts(where, shapes, density, count, scope))


def plan(
    where: str, model: nn.Module, density: float | None, scope: str, include: Patterns = (), exclude: Patterns = ()
) -> Budget:
    """The budget of a method, refused before any work where it must empty a layer.

    Args:
        where: The public function that was called.
        model: The model to prune.
        density: The kept fraction of the weights that are pruned; `None` where a pattern fixes it.
        scope: As in `select`.
        include: Patterns of what may be pruned, as in `prunable`.
        exclude: Patterns of what stays dense.
    """
    shapes = {name: weight.shape for name, weight in find_prunable(where, model, include, exclude).items()}
    budget = make_budget(where, shapes, density, None, scope, layouts(model))
    full = sum(shape.numel() > 0 for shape in shapes.values())
    if budget.total is not None and budget.total < full:
        weights = sum(shape.numel() for shape in shapes.values())
        raise InvalidValueError(
            f"{where}: density {density} keeps {budget.total} of {weights} weights, fewer than the {full} layers. "
            f"Pass a density of at least {full / weights:.3g}."
        )
    return budget


def row_masks(scores: Tensor, count: int) -> Tensor:
    """Mark the `count` highest scores of each row, among equals those of lowest index.

    Example:
        >>> row_masks(torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), 1)
        tensor([[False,  True, False],
                [ True, False, False]])
    """
    if count >= scores.shape[1] or count == 0:
        return torch.full(scores.shape, count > 0, dtype=torch.bool, device=scores.device)
    chunk = max(1, _CHUNK // scores.shape[1])  # finding thresholds takes several times the memory of the scores
    return torch.cat([_row_masks(rows, count) for rows in scores.split(chunk)])


def _row_masks(scores: Tensor, count: int) -> Tensor:
    threshold = scores.kthvalue(scores.shape[1] - count + 1, dim=1, keepdim=True).values
    kept = scores >= threshold
    crowded = (kept.sum(1) > count).nonzero()[:, 0]  # rows with more equals at the threshold than places
    if len(crowded):
        above, equal = scores[crowded] > threshold[crowded], scores[crowded] == threshold[crowded]
        places = count - above.sum(1, keepdim=True)
        kept[crowded] = above | (equal & (equal.cumsum(1) <= places))
    return kept


def _require_order(where: str, scores: Mapping[str, Tensor]) -> None:
    for name, score in scores.items():
        if score.numel() and bool(extremes(score)[0].isnan()):
            raise InvalidValueError(f"{where}: the scores of {name} contain NaN. Look for the layer that overflows.")


def require_scores(where: str, scores: Mapping[str, Tensor]) -> None:
    """Refuse what is no mapping of names to tensors."""
    remedy = "Pass what a function of pruneproof.prune.scores returned."
    require_type(where, scores, Mapping, "the scores must be tensors by parameter name", remedy)
    for name, score in scores.items():
        require_type(where, score, Tensor, f"the scores of {name} must be a tensor", "Convert them.")


def _check_scores(scores: Mapping[str, Tensor]) -> None:
    require_scores("select", scores)
    if not any(score.numel() for score in scores.values()):
        raise InvalidValueError("select: there are no scores. Score a model with prunable weights.")
    for name, score in scores.items():
        if not score.is_floating_point() or score.dtype.itemsize == 1:  # eight bits cannot be compared in torch
            raise InvalidTypeError(
                f"select: the scores of {name} are {score.dtype}, not floating-point numbers of 16 bits or more. "
                "Convert them."
            )
        if score.is_meta:
            raise InvalidTypeError(
                f"select: the scores of {name} have no values (meta device). Load the weights first."
            )


def _row_counts(
    where: str,
    shapes: Mapping[str, torch.Size],
    density: float | None,
    count: Count | None,
    layouts: Mapping[str, Layout],
) -> dict[str, int]:
    if density is None or count is not None:
        raise InvalidValueError(
            f'{where}: scope "row" takes a density and no count, got density={density}, count={described(count)}. '
            "Pass, for example, density=0.5."
        )
    lengths = {n: layouts.get(n, OUTPUTS_FIRST).row_length(shape) for n, shape in shapes.items() if shape.numel()}
    return {name: row_count(density, length, name, where=where) for name, length in lengths.items()}


def _total(where: str, total: int, density: float | None, count: int | None) -> int:
    """The number of kept weights from either of the two ways to say it."""
    if where != "select" or density is not None:
        if count is None:
            return kept_count(density, total, where=where)
    if (density is None) == (count is None):
        raise InvalidValueError(f"{where}: give density= or count=, got {'neither' if density is None else 'both'}.")
    return require_integer(where, "the count", count, most=total)


def _layer_counts(
    where: str, shapes: Mapping[str, torch.Size], density: float | None, count: Count | None, scope: str
) -> dict[str, int]:
    sizes = {name: shape.numel() for name, shape in shapes.items()}
    if isinstance(count, Mapping):
        if density is not None or scope != "layer":
            raise InvalidValueError(
                f'{where}: counts by layer go with scope="layer" alone, got density={density}, scope={scope!r}. '
                "Change the scope."
            )
        return layer_counts(count, sizes, where=where)
    if scope not in ("layer", "erk"):
        raise InvalidValueError(
            f'{where}: the scope must be "global", "layer", "row", "erk" or a pattern such as "2:4", got {scope!r}. '
            "Use one of them."
        )
    kept = _total(where, sum(sizes.values()), density, count)
    shares = uniform(list(sizes.values()), kept) if scope == "layer" else erk(list(shapes.values()), kept)
    counts = dict(zip(shapes, shares, strict=True))
    empty = [name for name, kept in counts.items() if kept == 0 and sizes[name]]
    if empty:
        raise InvalidValueError(
            f"{where}: scope {scope!r} keeps at least one weight of every layer, but this budget leaves none for "
            f"{', '.join(empty)}. Raise the density, or state the counts by layer."
        )
    return counts
