"""Prune whole hidden units by greedy forward selection and return the smaller dense network.

Each hidden layer is pruned by itself (local imitation, Ye et al. 2020): with h(x) the hidden units and W the weights
that leave them, the next pre-activation Wh is the average (1/N)ΣΦ_i of the features Φ_i = N·h_i(x)·W[:, i], one vector
of examples × outputs per unit. `greedy_select` chooses units whose average imitates it on the data; a unit chosen c
times of k keeps its incoming weights, and its outgoing weights become (N c/k)·W[:, i]. So the smaller network *is* the
selected average, layer by layer. Bounds G1, G2 apply to each layer with its dense output as the target. Cost: per layer
one Gram matrix, units² · examples, then units per choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from pruneproof.checks import require_integer, require_type
from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.kernels.greedy.op import greedy_select
from pruneproof.kernels.greedy.problem import Gram
from pruneproof.prune.masks.enforcement import release
from pruneproof.prune.models.evaluation import copied, explained, wrong_inputs
from pruneproof.prune.models.parameters import Patterns, find_prunable

_WHERE = "greedy_subnetwork"


_ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Identity, nn.Dropout),
)


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """What `greedy_subnetwork` returns.

    Args:
        model: The smaller dense network, an `nn.Sequential` with the layers of the original.
        units: For each hidden layer the indices of the units kept, (kept,) int64, ascending.
        weights: For each hidden layer the weight of every original unit in the combination,
            (units,) float64; for the rule `average` a multiple of 1/steps, and their sum is one.
        losses: For each hidden layer ½·mean over examples of ‖imitation − dense‖² after each choice,
            (steps,) float64; empty where a layer was excluded.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 50), nn.Tanh(), nn.Linear(50, 2))
        >>> small = greedy_subnetwork(net, torch.randn(20, 3), steps=10)
        >>> round(small.weights[0].sum().item(), 9), len(small.losses[0])
        (1.0, 10)
    """

    model: nn.Sequential
    units: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    losses: tuple[Tensor, ...]

    def __repr__(self) -> str:
        pairs = zip(self.units, self.weights, strict=True)
        return f"Subnetwork({', '.join(f'{len(kept)} of {len(every)}' for kept, every in pairs)} hidden units)"


@torch.no_grad()
def greedy_subnetwork(
    model: nn.Sequential,
    inputs: Tensor,
    steps: int | Sequence[int],
    *,
    rule: str = "average",
    replacement: bool = True,
    include: Patterns = (),
    exclude: Patterns = (),
) -> Subnetwork:
    """Prune the hidden units of a multilayer perceptron to a smaller dense one that imitates it on the inputs.

    Every hidden layer imitates its own dense output on the dense network's activations, independently of the others.

    Args:
        model: `nn.Sequential` of `nn.Linear` and element-wise activations, with at least one hidden
            layer; anything without a linear layer may stand before the first (`nn.Flatten`) and
            after the last. Not changed; evaluated in evaluation mode.
        inputs: (examples, …) what the model takes; finite.
        steps: How many choices per hidden layer, at least 1: one number, or one per hidden layer. At
            most so many units are kept, fewer if some are chosen repeatedly.
        rule: As in `kernels.greedy_select`.
        replacement: Whether a unit may be chosen again, as the theorems assume. The authors'
            released code chooses each unit at most once: `False`, with at most as many steps as a
            layer has units. The bounds G1 and G2 then say nothing.
        include: Shell patterns of the layers whose units may be pruned, as in `prunable`.
        exclude: Patterns of the hidden layers that keep all their units, each with the same weight;
            `steps` are still one number, or one per hidden layer.

    Returns:
        A `Subnetwork`; in exact arithmetic its `model` computes Wh with the weights of the selection
        in place of every dense layer output.

    Raises:
        UnsupportedError: For other models, and for weights that are shared or computed.
        InvalidValueError: For empty or non-finite data, steps below 1, or more steps without
            replacement than units.
        PruneproofError: As `prunable` raises.

    Source: Ye et al. 2020 (arXiv 2003.01794); G1, G2 in theory/theorems/greedy/proof.md.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(3, 50), nn.Tanh(), nn.Linear(50, 2))
        >>> small = greedy_subnetwork(net, torch.randn(20, 3), steps=10)
        >>> small.model[0].out_features == len(small.units[0]) <= 10
        True
    """
    positions = _linear_positions(model)
    counts = _steps_per_layer(steps, len(positions) - 1)
    chosen = {id(weight) for weight in find_prunable(_WHERE, model, include, exclude).values()}
    pruned = [id(_linear(model, position).weight) in chosen for position in positions[:-1]]
    require_type(_WHERE, inputs, Tensor, "the inputs must be a tensor", "Convert them.")
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InvalidValueError(f"{_WHERE}: there is no example in inputs of shape {tuple(inputs.shape)}. Pass some.")
    if not replacement:
        _require_units(model, positions, [count * prune for count, prune in zip(counts, pruned, strict=True)])
    smaller = copied(_WHERE, model).eval()
    release(smaller)  # masks of the original do not fit the smaller weights
    dense = copied(_WHERE, smaller)
    with explained(_WHERE, "the model", wrong_inputs(inputs)):
        activations = dense[: positions[1]](inputs)
    if activations.ndim != 2:
        raise InvalidValueError(
            f"{_WHERE}: hidden units must be (examples, units), got {tuple(activations.shape)}. Flatten the inputs."
        )
    units: list[Tensor] = []
    weights: list[Tensor] = []
    losses: list[Tensor] = []
    for layer, (before, position) in enumerate(pairwise(positions)):
        outgoing = _linear(dense, position).weight
        if pruned[layer]:
            problem = _problem(activations, outgoing)
            selection = greedy_select(problem, counts[layer], rule=rule, replacement=replacement)
            weights.append(selection.weights)
            losses.append(selection.losses)
            _shrink(_linear(smaller, before), _linear(smaller, position), weights[-1].nonzero()[:, 0], weights[-1])
        else:
            count = outgoing.shape[1]
            weights.append(torch.full((count,), 1 / count, dtype=torch.float64))
            losses.append(torch.zeros(0, dtype=torch.float64))
        units.append(weights[-1].nonzero()[:, 0])
        after = positions[layer + 2] if layer + 2 < len(positions) else len(dense)
        activations = dense[position:after](activations)
    for small, original in zip(smaller.modules(), model.modules(), strict=True):
        small.training = original.training
    return Subnetwork(smaller, tuple(units), tuple(weights), tuple(losses))


def _problem(hidden: Tensor, outgoing: Tensor) -> Gram:
    """Units as rank-one features whose mean is the layer's output, scaled so that losses are means over examples."""
    scale = len(hidden) ** -0.5
    target = scale * (hidden.double() @ outgoing.double().T)
    return Gram.from_rank_one(scale * hidden.double().T, hidden.shape[1] * outgoing.double().T, target)


def _shrink(into: nn.Linear, out_of: nn.Linear, kept: Tensor, weights: Tensor) -> None:
    """Keep some units between two linear maps; what leaves a unit carries its weight in the combination."""
    factor = (len(weights) * weights[kept]).to(out_of.weight.device)
    folded = (out_of.weight[:, kept].double() * factor).to(out_of.weight.dtype)
    if not bool(folded.isfinite().all()):
        raise InvalidValueError(
            f"{_WHERE}: a weight that carries its unit's share is larger than {folded.dtype} can hold. "
            "Pass a float32 copy of the model."
        )
    into.weight, into.out_features = nn.Parameter(into.weight[kept].clone(), into.weight.requires_grad), len(kept)
    if into.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]: torch leaves None out of its type
        into.bias = nn.Parameter(into.bias[kept].clone(), into.bias.requires_grad)
    out_of.weight, out_of.in_features = nn.Parameter(folded, out_of.weight.requires_grad), len(kept)


def _linear(model: nn.Sequential, position: int) -> nn.Linear:
    return cast(nn.Linear, model[position])


def _linear_positions(model: nn.Sequential) -> list[int]:
    """Where the linear layers stand; refuses whatever would mix hidden units."""
    modules = list(model) if isinstance(model, nn.Sequential) else []
    positions = [position for position, module in enumerate(modules) if type(module) is nn.Linear]
    if len(positions) < 2:
        raise UnsupportedError(
            f"{_WHERE}: the model must be an nn.Sequential with at least two nn.Linear layers, got "
            f"{type(model).__name__} with {len(positions)}. Pass the multilayer perceptron inside your model."
        )
    for module in modules[positions[0] : positions[-1]]:
        if type(module) is not nn.Linear and not isinstance(module, _ELEMENTWISE):
            raise UnsupportedError(
                f"{_WHERE}: only element-wise activations may stand between linear layers, got "
                f"{type(module).__name__}. Fold normalisation into the linear layers first."
            )
    _require_own_weights([cast(nn.Linear, modules[position]) for position in positions])
    return positions


def _require_own_weights(layers: list[nn.Linear]) -> None:
    """Refuse weights that cannot be shrunk alone: computed ones, and those of two layers."""
    for layer in layers:
        if "weight" not in dict(layer.named_parameters(recurse=False)):
            raise UnsupportedError(
                f"{_WHERE}: a weight is computed from other tensors, so it cannot be shrunk. "
                "Make it permanent first, for example by make_permanent."
            )
    if len({id(layer.weight) for layer in layers}) < len(layers):
        raise UnsupportedError(f"{_WHERE}: two linear layers share a weight. Copy the layer that is used twice.")


def _require_units(model: nn.Sequential, positions: list[int], counts: list[int]) -> None:
    """Refuse more choices than units where no unit may be chosen again."""
    for position, count in zip(positions, counts, strict=False):
        units = _linear(model, position).out_features
        if count > units:
            raise InvalidValueError(
                f"{_WHERE}: without replacement, {count} choices need as many units, but layer {position} has {units}. "
                "Lower the steps."
            )


def _steps_per_layer(steps: int | Sequence[int], layers: int) -> list[int]:
    counts = list(steps) if isinstance(steps, Sequence) else [steps] * layers
    if len(counts) != layers:
        raise InvalidValueError(
            f"{_WHERE}: steps must be one number, or {layers}: one per hidden layer, got {len(counts)} numbers. "
            "Match the hidden layers."
        )
    for count in counts:
        require_integer(_WHERE, "steps", count)
    return counts
