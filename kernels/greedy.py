"""Greedy forward selection of neurons: which few, averaged or reweighted, reproduce a target best.

Ye et al. (arXiv 2003.01794) prune a layer by adding, one at a time, the neuron that lowers ℓ(u) = ½‖u − y‖² most. All
that matters are inner products, so with a Gram matrix a step costs O(neurons), not O(neurons · points). Bounds on the
loss after k steps: G1, G2, G3 in theory/greedy.md. Algorithms and costs: kernels/greedy.md.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PruneproofError, described
from .backend import Choice
from .gram import Gram
from .gram_input import require_gram_layout
from .greedy_device import plan_path
from .greedy_input import require_layout
from .greedy_ops import RULES, gram_pays, select_from_features, select_from_grams

_WHERE = "greedy_select"
_METHODS = ("auto", "gram", "stream", "naive")


@dataclass(frozen=True, eq=False)
class Selection:
    """A greedy path: `indices[:k]` and `losses[k - 1]` belong to the selection of size k, for every k at once.

    **Arguments**

    - `indices`: (steps,) int64, the chosen neurons in order, repeated if chosen again.
    - `losses`: (steps,) float64, ½‖u_k − y‖² after each choice; rounding leaves about 1e-16·(max ‖Φ_q‖² + ‖y‖²) of it
      uncertain (1e-7 of that for a float32 problem).
    - `weights`: (neurons,) float64 with u = Σ weights_q Φ_q after the last choice: multiples of 1/steps that sum to one
      for `average`, convex for `line_search`, least-squares weights for `corrective`.

    Example:
        >>> greedy_select((torch.eye(2), torch.tensor([0.5, 0.5])), 2).weights.tolist()
        [0.5, 0.5]
    """

    indices: Tensor
    losses: Tensor
    weights: Tensor


@torch.no_grad()
def greedy_select(
    problem: Gram | tuple[Tensor, Tensor],
    steps: int,
    *,
    rule: str = "average",
    replacement: bool = True,
    method: str = "auto",
) -> Selection:
    """Choose neurons one at a time so that their combination approaches the target, ℓ(u) = ½‖u − y‖².

    **Arguments**

    - `problem`: a `Gram`, or a pair `(features, target)` with features (neurons, points) and target (points,), float.
      Nothing is rescaled: pass features scaled by 1/√m if ℓ is to be a mean over m examples.
    - `steps`: how many choices, at least 1.
    - `rule`: `"average"` (equal weights: what G1 and G2 bound), `"line_search"` (convex weights: G3), `"corrective"`
      (least-squares weights on the chosen set; orthogonal matching pursuit; never repeats a neuron).
    - `replacement`: whether a neuron may be chosen again. G1, G2 and G3 are proved only when it may.
    - `method`: `"gram"` forms all inner products first, `"stream"` passes over the features once a step, `"naive"` is
      the definition, `"auto"` the faster of the first two. All choose the same neurons in float64.

    Ties, scores that differ by rounding only, go to the lowest index: by rounding of float64, so that of two neurons
    that are equal in a float32 problem, whose inner products are rounded more coarsely, either may be chosen.

    Raises `PruneproofError` for fewer than one step, more distinct steps than neurons, an unknown rule or method, or
    empty, mismatched, NaN or infinite input.

    Source: G1, G2, G3 in theory/greedy.md; kernels/greedy.md.

    Example:
        >>> features, target = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.25, 0.5])
        >>> selection = greedy_select((features, target), 4)
        >>> selection.indices.tolist(), selection.losses.tolist()
        ([0, 2, 1, 2], [0.15625, 0.03125, 0.017361111111111105, 0.0])
    """
    _require_method(problem, method)
    require_selectable(_WHERE, problem, steps, rule, replacement)
    if isinstance(problem, Gram):
        gram = [problem.matrix], [problem.correlation], [problem.energy]
        return Selection(*(row[0] for row in select_from_grams(*gram, steps, rule, replacement)))
    return Selection(*select_from_features(*problem, steps, rule, replacement, method))


def plan(
    problem: Gram | tuple[Tensor, Tensor],
    steps: int,
    rule: str = "average",
    replacement: bool = True,
    method: str = "auto",
) -> Choice:
    """What `greedy_select` would run for these arguments."""
    if method == "naive":
        return Choice(_WHERE, "reference", "naive", "the definition was asked for")
    if isinstance(problem, Gram):
        return plan_path(rule, problem.correlation, True)
    gram = method == "gram" or (method == "auto" and gram_pays(problem[0], steps))
    return plan_path(rule, problem[0], gram)


def require_selectable(
    where: str, problem: Gram | tuple[Tensor, Tensor], steps: int, rule: str, replacement: bool
) -> None:
    """Refuse what no path can be selected from, without a look at any value: those are checked when the path begins."""
    if rule not in RULES:
        required, remedy = "a selection rule", f"choose from: {', '.join(RULES)}"
        raise PruneproofError(where, required=required, received=rule, remedy=remedy)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        required, remedy = "a whole number of steps, at least one step", "pass a positive integer"
        raise PruneproofError(where, required=required, received=described(steps), remedy=remedy)
    neurons = _require_problem(where, problem)
    if (rule == "corrective" or not replacement) and steps > neurons:
        required, received = f"at most {neurons} steps, one per distinct neuron", f"{steps}"
        raise PruneproofError(where, required=required, received=received, remedy="select fewer, or with replacement")


def _require_problem(where: str, problem: Gram | tuple[Tensor, Tensor]) -> int:
    if isinstance(problem, Gram):
        require_gram_layout(where, problem)
        return len(problem.matrix)
    if not isinstance(problem, tuple) or len(problem) != 2:
        required, remedy = "a Gram or a pair (features, target)", "pass greedy_select((features, target), steps)"
        raise PruneproofError(where, required=required, received=type(problem).__name__, remedy=remedy)
    features = require_layout(where, problem[0], "features (neurons, points)", (None, None))
    require_layout(where, problem[1], "target (points,)", (features.shape[1],), features.device)
    return len(features)


def _require_method(problem: object, method: str) -> None:
    if method not in _METHODS:
        required, remedy = "a selection method", f"choose from: {', '.join(_METHODS)}"
        raise PruneproofError(_WHERE, required=required, received=method, remedy=remedy)
    if isinstance(problem, Gram) and method in ("stream", "naive"):
        required, received = f"a pair (features, target) for method={method!r}", "a Gram"
        raise PruneproofError(_WHERE, required=required, received=received, remedy="pass the pair or method='gram'")
