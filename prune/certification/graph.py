"""Read two networks as one list of steps: linear maps, activations, max pooling, additions.

Networks are traced by `torch.fx`, so `Sequential`, residual and any other traceable `forward` will do; both must trace
to the same operations. Steps are in evaluation order; step 0 is the input.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from ...errors import PruneproofError
from .architecture import require_one_architecture
from .linear_maps import PairMap, averaging, flattening, pair_map
from .tracing import is_layer, trace


@dataclass(frozen=True)
class Rectifier:
    """`slope · z + (1 − slope) · max(z, 0)`: ReLU (slope 0) and leaky ReLU."""

    slope: float = 0.0


@dataclass(frozen=True)
class Lipschitz:
    """An activation with a Lipschitz constant, monotone or not."""

    function: Any
    constant: float
    monotone: bool


@dataclass(frozen=True)
class MaxPool:
    """Max pooling: kernel, stride and padding as `torch.nn.MaxPool2d` takes them."""

    settings: tuple[Any, ...]


@dataclass(frozen=True)
class Add:
    """The sum of two steps, as in residual blocks."""


@dataclass(frozen=True)
class Step:
    """One operation of both networks: its name, what it does (None for the input), the steps it reads."""

    name: str
    operation: PairMap | Rectifier | Lipschitz | MaxPool | Add | None
    parents: tuple[int, ...]


Constants = Mapping[type[nn.Module], float]
_MONOTONE = (nn.Tanh, nn.Sigmoid, nn.ELU, nn.Hardtanh, nn.ReLU6)
_NEGLIGIBLE = 20  # from here on torch's replacement of softplus by its asymptote is rounding, as torch says
_FUNCTIONS: dict[Any, type[nn.Module]] = {
    **dict.fromkeys((functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_"), nn.ReLU),
    **dict.fromkeys((torch.tanh, "tanh"), nn.Tanh),
    **dict.fromkeys((torch.sigmoid, "sigmoid"), nn.Sigmoid),
}


def trace_pair(original: nn.Module, pruned: nn.Module, lipschitz: Constants) -> list[Step]:
    """The common steps of two networks as `evaluable` returns them.

    Raises PruneproofError for different architectures and for operations not understood, by name.
    """
    if is_layer(original):  # a single layer is a network too
        original, pruned = nn.Sequential(original), nn.Sequential(pruned)
    first, second = trace(original), trace(pruned)
    require_one_architecture(first, second, original, pruned)
    index: dict[fx.Node, int] = {}
    steps: list[Step] = []
    for node in first[:-1]:
        parents = tuple(index[parent] for parent in node.all_input_nodes)
        operation = _operation(node, original, pruned, lipschitz)
        if _overwrites(node, original) and not _last_reader(node, index, steps):
            remedy = "use the operation that returns a new tensor"
            required, received = "values that are not overwritten before they are read again", str(node.target)
            raise PruneproofError("certify", required=required, received=received, remedy=remedy)
        index[node] = len(steps)
        steps.append(Step(str(node.target), operation, parents))
    return steps[: index[first[-1].all_input_nodes[0]] + 1]


def _overwrites(node: fx.Node, model: nn.Module) -> bool:
    """Does the operation write its result over its first argument?"""
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    named = node.target in (operator.iadd, "relu_", functional.relu_, torch.relu_)
    told = node.target is functional.relu and bool(_options(node, "inplace").get("inplace"))
    return named or told


def _last_reader(node: fx.Node, index: dict[fx.Node, int], steps: list[Step]) -> bool:
    """Does nothing else read the first argument, nor, where that may be a view, what it is a view of?"""
    read = node.all_input_nodes[0]
    if len(read.users) > 1:
        return False
    operation = steps[index[read]].operation
    weightless = isinstance(operation, PairMap) and operation.weights is None
    return not weightless or _last_reader(read, index, steps)


def _operation(node: fx.Node, original: nn.Module, pruned: nn.Module, lipschitz: Constants) -> Any:
    if node.op == "placeholder":
        return None
    layer, found = str(node.target), None
    if node.op == "call_module":
        module, copy = original.get_submodule(layer), pruned.get_submodule(layer)
        layer = f"{layer} ({type(module).__name__})"
        if len(node.args) + len(node.kwargs) == 1:
            found = pair_map(module, copy) or _activation(module, lipschitz)
        if isinstance(found, Lipschitz) and not _same_state(module, copy):
            layer = f"{layer} of different state"
            found = None
    elif node.op == "get_attr":
        layer = f"the tensor {layer}, read outside a known layer"
    else:
        found = _function(node, lipschitz)
    if found is None:
        raise PruneproofError(
            "certify",
            required="linear, conv, pooling, BatchNorm, flatten, add and 1-Lipschitz activations",
            received=layer,
            remedy="replace the layer, or pass lipschitz={LayerClass: constant} for an elementwise activation",
        )
    return found


def _same_state(module: nn.Module, copy: nn.Module) -> bool:
    """One function stands for the activation of both networks."""
    one, two = module.state_dict(), copy.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def _activation(module: nn.Module, lipschitz: Constants) -> Any:
    if isinstance(module, nn.ReLU):
        return Rectifier()
    if isinstance(module, nn.LeakyReLU) and 0 <= module.negative_slope <= 1:
        return Rectifier(float(module.negative_slope))
    if isinstance(module, nn.MaxPool2d) and module.dilation in (1, (1, 1)):
        plain = not module.ceil_mode and not module.return_indices
        return MaxPool((module.kernel_size, module.stride, module.padding)) if plain else None
    standard = all(getattr(module, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    if isinstance(module, nn.Softplus) and standard and module.threshold >= _NEGLIGIBLE:
        return Lipschitz(lambda x: torch.logaddexp(x, torch.zeros_like(x)), 1.0, monotone=True)
    known = isinstance(module, _MONOTONE) and standard
    if not known and type(module) not in lipschitz:
        return None
    function = lambda x: module(x.clone())  # noqa: E731  # it may work in place, and ends of intervals are shared
    return Lipschitz(function, 1.0 if known else float(lipschitz[type(module)]), monotone=known)


def _function(node: fx.Node, lipschitz: Constants) -> Any:
    if node.target in (operator.add, operator.iadd, torch.add):
        two = len(node.args) == len(node.all_input_nodes) == 2 and not node.kwargs  # a third one is a factor
        return Add() if two else None
    if node.target in _FUNCTIONS and _options(node, "inplace").keys() <= {"inplace"}:
        return _activation(_FUNCTIONS[node.target](), lipschitz)
    if node.target in (torch.flatten, "flatten"):
        found = {"end_dim": -1, **_options(node, "start_dim", "end_dim")}
        return flattening(1) if found == {"start_dim": 1, "end_dim": -1} else None
    if node.target in ("mean", torch.mean) and list(_options(node, "dim")) == ["dim"]:
        dimensions = _options(node, "dim")["dim"]
        return averaging((2, 3)) if dimensions in ((2, 3), [2, 3], (-2, -1), [-2, -1]) else None
    return None


def _options(node: fx.Node, *names: str) -> dict[Any, Any]:
    """Arguments beside the first one, by name, or by position where there is none."""
    positions = (*names, *range(len(node.args)))
    named = {name: value for name, value in node.kwargs.items() if name != "input"}
    return {**dict(zip(positions, node.args[1:], strict=False)), **named}
