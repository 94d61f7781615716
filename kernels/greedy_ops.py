"""`pruneproof::greedy_select` and `pruneproof::greedy_select_grams`: whole greedy paths as operations of fixed shapes.

A path is data-dependent from choice to choice, but what it returns is not: `steps` indices, `steps` losses and one
weight per neuron. So torch.compile may treat it as one node, and the shapes are known beforehand. Values are checked
inside, where they exist. There is no derivative: a choice is piecewise constant in its features.
"""

import torch
from torch import Tensor

from .gram import Gram
from .gram_input import require_finite_gram
from .greedy_average import average_path
from .greedy_choice import Path
from .greedy_corrective import corrective_path
from .greedy_device import device_path, plan_path
from .greedy_input import require_summable
from .greedy_line_search import line_search_path
from .greedy_naive import naive_average, naive_corrective, naive_line_search
from .greedy_stream import FeatureProducts
from .slices import map_over_slices

RULES = {"average": average_path, "line_search": line_search_path, "corrective": corrective_path}
NAIVE = {"average": naive_average, "line_search": naive_line_search, "corrective": naive_corrective}


@torch.library.custom_op("pruneproof::greedy_select", mutates_args=())
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
        from .greedy_persistent import persistent_paths

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
