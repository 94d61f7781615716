"""Greedy selection on many problems at once: layers, targets, or seeds. See "Many problems" in greedy.md."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import PruneproofError
from .gram import Gram
from .greedy import Selection, greedy_select, require_selectable
from .greedy_ops import select_from_grams

_WHERE = "greedy_select_many"


@torch.no_grad()
def greedy_select_many(
    problems: Sequence[Gram | tuple[Tensor, Tensor]], steps: int, *, rule: str = "average", replacement: bool = True
) -> list[Selection]:
    """One selection per problem, each what `greedy_select` gives for it.

    **Arguments**

    - `problems`: `Gram`s and pairs `(features, target)` as in `greedy_select`, in any mixture of sizes, dtypes and
      devices. `Gram`s that agree in all three share one launch on a GPU; the same `matrix` in all of them (several
      targets for the same neurons) is not copied. Elsewhere, and for pairs, the problems take turns.
    - `steps`, `rule`, `replacement`: as in `greedy_select`, for every problem.

    Raises `PruneproofError`, naming the problem, for whatever `greedy_select` refuses.

    Source: G1, G2, G3 in theory/greedy.md; kernels/greedy.md.

    Example:
        >>> features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> grams = [Gram.from_features(features, torch.tensor(y)) for y in ([0.25, 0.5], [0.0, 2.0])]
        >>> [selection.indices.tolist() for selection in greedy_select_many(grams, 4)]
        [[0, 2, 1, 2], [2, 2, 2, 2]]
    """
    if not isinstance(problems, list | tuple):
        required, remedy = "a list of problems", "pass [problem, …], or call greedy_select"
        raise PruneproofError(_WHERE, required=required, received=type(problems).__name__, remedy=remedy)
    for place, problem in enumerate(problems):
        require_selectable(f"{_WHERE}, problem {place}", problem, steps, rule, replacement)
    selections: dict[int, Selection] = {}
    alike: dict[tuple[object, ...], dict[int, Gram]] = {}
    for place, problem in enumerate(problems):
        if isinstance(problem, Gram):
            key = (len(problem.matrix), problem.matrix.dtype, problem.matrix.device)
            alike.setdefault(key, {})[place] = problem
        else:
            selections[place] = greedy_select(problem, steps, rule=rule, replacement=replacement)
    for grams in alike.values():
        paths = _together(list(grams.values()), steps, rule, replacement)
        selections.update(zip(grams, paths, strict=True))
    return [selections[place] for place in range(len(problems))]


def _together(grams: list[Gram], steps: int, rule: str, replacement: bool) -> list[Selection]:
    matrices, correlations = [gram.matrix for gram in grams], [gram.correlation for gram in grams]
    energies = [gram.energy for gram in grams]
    paths = select_from_grams(matrices, correlations, energies, steps, rule, replacement)
    return [Selection(*row) for row in zip(*(tensor.unbind() for tensor in paths), strict=True)]
