"""Greedy forward selection: which few neurons, averaged or reweighted, reproduce a target best.

Ye et al. (arXiv 2003.01794) prune a layer by adding, one at a time, the neuron that lowers
ℓ(u) = ½‖u − y‖² most. Only inner products matter, so with a Gram matrix a step costs O(neurons), not
O(neurons · points). Bounds on the loss after k steps are G1, G2, G3 in
theory/theorems/greedy/proof.md; algorithms, costs and many problems at once are in README.md.

A whole path is one operation of fixed shapes (`pruneproof::greedy_select` on features,
`pruneproof::greedy_select_grams` on Gram matrices): its choices depend on the data, but it returns
`steps` indices, `steps` losses and one weight per neuron, so that `torch.compile` keeps it as one
node. Values are checked inside, where they exist. There is no derivative, since a choice is piecewise
constant in the features. The device and the sizes decide which code runs: the persistent Triton
kernel, certified screening, or plain torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.checks import require_choice, require_integer
from pruneproof.errors import InvalidTypeError, InvalidValueError
from pruneproof.kernels.backend import Choice, choose
from pruneproof.kernels.transforms import map_over_slices, refuse_derivatives, without_autocast

from .problem import Gram, require_finite_gram, require_gram_layout, require_layout, require_summable
from .reference import naive_average, naive_corrective, naive_line_search
from .rules import Path, Products, average_path, corrective_path, line_search_path
from .screening import FeatureProducts

OP = "greedy_select"


def plan_path(rule: str, numbers: Tensor, gram: bool) -> Choice:
    """What walks the path of `rule` on `numbers`, from a Gram or not: Triton bodies exist for the equal-weight rule."""
    if rule != "average":
        return Choice(OP, "reference", f"{rule}_path", f"the rule {rule} has no Triton body")
    base = choose(OP, numbers, wide=True)
    if base.backend == "reference":
        return Choice(OP, "reference", "average_path", base.reason)
    name = "persistent kernel" if gram else "certified screening"
    return Choice(OP, "triton", name, base.reason)


def device_path(rule: str, products: Products) -> Callable[[Products, int, bool], Path] | None:
    """The Triton path, or None where the plain one runs."""
    gram = isinstance(products, Gram)
    if plan_path(rule, products.correlation, gram).backend == "reference":
        return None
    return _persistent if gram else _screened


def _persistent(products: Products, steps: int, replacement: bool) -> Path:
    from .launch import persistent_paths

    assert isinstance(products, Gram)
    return persistent_paths([products], steps, replacement)[0]


def _screened(products: Products, steps: int, replacement: bool) -> Path:
    from .launch import screened_path

    assert isinstance(products, FeatureProducts)
    return screened_path(products, products.target, steps, replacement)


RULES = {"average": average_path, "line_search": line_search_path, "corrective": corrective_path}
NAIVE = {"average": naive_average, "line_search": naive_line_search, "corrective": naive_corrective}


@torch.library.custom_op("pruneproof::greedy_select", mutates_args=())
@without_autocast
def select_from_features(
    features: Tensor, target: Tensor, steps: int, rule: str, replacement: bool, method: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (steps,), losses (steps,) and weights (neurons,) of the path on features (neurons, points)."""
    require_summable("greedy_select", features, "features (neurons, points)")
    require_summable("greedy_select", target, "target (points,)")
    dtype = torch.promote_types(torch.promote_types(features.dtype, target.dtype), torch.float32)
    features, target = features.to(dtype), target.to(dtype)
    if method == "naive":
        return _tensors(NAIVE[rule](features, target, steps, replacement))
    gram = method == "gram" or (method == "auto" and gram_pays(features, steps))
    products = Gram.from_features(features, target) if gram else FeatureProducts(features, target)
    walk = device_path(rule, products) or RULES[rule]
    return _tensors(walk(products, steps, replacement))


@torch.library.custom_op("pruneproof::greedy_select_grams", mutates_args=())
@without_autocast
def select_from_grams(
    matrices: list[Tensor], correlations: list[Tensor], energies: list[float], steps: int, rule: str, replacement: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, stacked, for problems of one size, dtype and device: on a GPU one launch walks all their paths."""
    rows = zip(matrices, correlations, energies, strict=True)
    grams = [Gram(matrix, correlation, energy, points=1) for matrix, correlation, energy in rows]  # points are not used
    for gram in grams:
        require_finite_gram("greedy_select", gram)
    if plan_path(rule, grams[0].correlation, True).backend == "reference":
        paths = [RULES[rule](gram, steps, replacement) for gram in grams]
    else:
        from .launch import persistent_paths

        paths = persistent_paths(grams, steps, replacement)
    indices, losses, weights = zip(*map(_tensors, paths), strict=True)
    return torch.stack(indices), torch.stack(losses), torch.stack(weights)


@select_from_features.register_fake
def _(
    features: Tensor, target: Tensor, steps: int, rule: str, replacement: bool, method: str
) -> tuple[Tensor, Tensor, Tensor]:
    wide = features.new_empty(steps, dtype=torch.float64)
    return wide.to(torch.int64), wide, features.new_empty(features.shape[0], dtype=torch.float64)


@select_from_grams.register_fake
def _(
    matrices: list[Tensor], correlations: list[Tensor], energies: list[float], steps: int, rule: str, replacement: bool
) -> tuple[Tensor, Tensor, Tensor]:
    first, problems = correlations[0], len(correlations)
    wide = first.new_empty(problems, steps, dtype=torch.float64)
    return wide.to(torch.int64), wide, first.new_empty(problems, first.shape[0], dtype=torch.float64)


map_over_slices(select_from_features)
map_over_slices(select_from_grams)


def gram_pays(features: Tensor, steps: int) -> bool:
    """Whether neurons² · points flops beat `steps` passes: a CPU does about 24 of them while it reads one feature."""
    neurons, points = features.shape
    return 24 * steps >= neurons and neurons <= 4 * points  # and the Gram is not far larger than the features


def _tensors(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    device = path.weights.device
    indices = torch.tensor(path.indices, dtype=torch.int64, device=device)
    return indices, torch.tensor(path.losses, dtype=torch.float64, device=device), path.weights


_WHERE = "greedy_select"
_METHODS = ("auto", "gram", "stream", "naive")


@dataclass(frozen=True, eq=False)
class Selection:
    """A greedy path: `indices[:k]` and `losses[k - 1]` belong to the selection of size k, for every k at once.

    Args:
        indices: (steps,) int64, the chosen neurons in order, repeated if chosen again.
        losses: (steps,) float64, ½‖u_k − y‖² after each choice; rounding leaves about 1e-16·(max
            ‖Φ_q‖² + ‖y‖²) of it uncertain (1e-7 of that for a float32 problem).
        weights: (neurons,) float64 with u = Σ weights_q Φ_q after the last choice: multiples of
            1/steps that sum to one for `average`, convex for `line_search`, least-squares weights
            for `corrective`.

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

    Ties, scores that differ by rounding only, go to the lowest index: by rounding of float64, so
    that of two neurons that are equal in a float32 problem, whose inner products are rounded more
    coarsely, either may be chosen.

    Args:
        problem: A `Gram`, or a pair `(features, target)` with features (neurons, points) and target
            (points,), float. Nothing is rescaled: pass features scaled by 1/√m if ℓ is to be a mean
            over m examples.
        steps: How many choices, at least 1.
        rule: `"average"` (equal weights: what G1 and G2 bound), `"line_search"` (convex weights:
            G3), `"corrective"` (least-squares weights on the chosen set; orthogonal matching
            pursuit; never repeats a neuron).
        replacement: Whether a neuron may be chosen again. G1, G2 and G3 are proved only when it
            may.
        method: `"gram"` forms all inner products first, `"stream"` passes over the features once a
            step, `"naive"` is the definition, `"auto"` the faster of the first two. All choose the
            same neurons in float64.

    Returns:
        The chosen neurons, their weights and the loss after each step.

    Raises:
        PruneproofError: For fewer than one step, more distinct steps than neurons, an unknown rule
            or method, or empty, mismatched, NaN or infinite input.

    Source: G1, G2, G3 in theory/theorems/greedy/proof.md; README.md.

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
        refuse_derivatives(_WHERE, problem.matrix, problem.correlation)
        return Selection(*(row[0] for row in select_from_grams(*gram, steps, rule, replacement)))
    refuse_derivatives(_WHERE, *problem)
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
    require_choice(where, "the rule", rule, RULES)
    require_integer(where, "steps", steps)
    neurons = _require_problem(where, problem)
    if (rule == "corrective" or not replacement) and steps > neurons:
        raise InvalidValueError(
            f"{where}: without replacement at most {neurons} steps are possible, one per neuron, got {steps}. "
            "Select fewer, or with replacement."
        )


def _require_problem(where: str, problem: Gram | tuple[Tensor, Tensor]) -> int:
    if isinstance(problem, Gram):
        require_gram_layout(where, problem)
        return len(problem.matrix)
    if not isinstance(problem, tuple) or len(problem) != 2:
        raise InvalidTypeError(
            f"{where}: the problem must be a Gram or a pair (features, target), got {type(problem).__name__}. "
            "Call greedy_select((features, target), steps)."
        )
    features = require_layout(where, problem[0], "features (neurons, points)", (None, None))
    require_layout(where, problem[1], "target (points,)", (features.shape[1],), features.device)
    return len(features)


def _require_method(problem: object, method: str) -> None:
    require_choice(_WHERE, "the method", method, _METHODS)
    if isinstance(problem, Gram) and method in ("stream", "naive"):
        raise InvalidValueError(
            f"{_WHERE}: method={method!r} needs the pair (features, target), got a Gram. Pass the pair."
        )


_WHERE_MANY = "greedy_select_many"


@torch.no_grad()
def greedy_select_many(
    problems: Sequence[Gram | tuple[Tensor, Tensor]], steps: int, *, rule: str = "average", replacement: bool = True
) -> list[Selection]:
    """One selection per problem, each what `greedy_select` gives for it.

    Args:
        problems: `Gram`s and pairs `(features, target)` as in `greedy_select`, in any mixture of
            sizes, dtypes and devices. `Gram`s that agree in all three share one launch on a GPU;
            the same `matrix` in all of them (several targets for the same neurons) is not copied.
            Elsewhere, and for pairs, the problems take turns.
        steps, rule, replacement: As in `greedy_select`, for every problem.

    Returns:
        The selections, in the order of the problems.

    Raises:
        PruneproofError: Naming the problem, for whatever `greedy_select` refuses.

    Source: G1, G2, G3 in theory/theorems/greedy/proof.md; README.md.

    Example:
        >>> features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> grams = [Gram.from_features(features, torch.tensor(y)) for y in ([0.25, 0.5], [0.0, 2.0])]
        >>> [selection.indices.tolist() for selection in greedy_select_many(grams, 4)]
        [[0, 2, 1, 2], [2, 2, 2, 2]]
    """
    if not isinstance(problems, list | tuple):
        kind = type(problems).__name__
        raise InvalidTypeError(f"{_WHERE_MANY}: it takes a list of problems, got {kind}. For one, call greedy_select.")
    for number, problem in enumerate(problems):
        require_selectable(f"{_WHERE_MANY}, problem {number}", problem, steps, rule, replacement)
    selections: dict[int, Selection] = {}
    alike: dict[tuple[object, ...], dict[int, Gram]] = {}
    for number, problem in enumerate(problems):
        if isinstance(problem, Gram):
            key = (len(problem.matrix), problem.matrix.dtype, problem.matrix.device)
            alike.setdefault(key, {})[number] = problem
        else:
            selections[number] = greedy_select(problem, steps, rule=rule, replacement=replacement)
    for grams in alike.values():
        paths = _together(list(grams.values()), steps, rule, replacement)
        selections.update(zip(grams, paths, strict=True))
    return [selections[number] for number in range(len(problems))]


def _together(grams: list[Gram], steps: int, rule: str, replacement: bool) -> list[Selection]:
    matrices, correlations = [gram.matrix for gram in grams], [gram.correlation for gram in grams]
    energies = [gram.energy for gram in grams]
    paths = select_from_grams(matrices, correlations, energies, steps, rule, replacement)
    return [Selection(*row) for row in zip(*(tensor.unbind() for tensor in paths), strict=True)]
