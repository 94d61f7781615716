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
from ..trial import brief
from .linear_maps import PairMap, averaging, flattening, pair_map


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


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)  # and parametrised subclasses
        return isinstance(m, layers) or super().is_leaf_module(m, module_qualified_name)


def trace_pair(original: nn.Module, pruned: nn.Module, lipschitz: Constants) -> list[Step]:
    """The common steps of two networks; refuses different architectures and unsupported layers by name."""
    if isinstance(original, nn.Module) and not list(original.children()):  # a single layer is a network too
        original, pruned = nn.Sequential(original), nn.Sequential(pruned)
    first, second = (_trace(model) for model in (original, pruned))
    if len(first) != len(second):
        raise _different(f"{len(first)} and {len(second)} operations")
    index: dict[fx.Node, int] = {}
    steps: list[Step] = []
    for node, other in zip(first, second, strict=True):
        parents = tuple(index[parent] for parent in node.all_input_nodes)
        if node.op == "output":
            return steps[: parents[0] + 1]
        _same(node, other, original, pruned)
        operation = _operation(node, original, pruned, lipschitz)
        if _overwrites(node, original) and not _last_reader(node, index, steps):
            remedy = "use the operation that returns a new tensor"
            required, received = "values that are not overwritten before they are read again", str(node.target)
            raise PruneproofError("certify", required=required, received=received, remedy=remedy)
        index[node] = len(steps)
        steps.append(Step(str(node.target), operation, parents))
    return steps


def _overwrites(node: fx.Node, model: nn.Module) -> bool:
    """Does the operation write its result over its first argument?"""
    owner = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    named = node.target in (operator.iadd, "relu_", functional.relu_, torch.relu_)
    return named or bool(getattr(owner, "inplace", False) or node.kwargs.get("inplace") or True in node.args)


def _last_reader(node: fx.Node, index: dict[fx.Node, int], steps: list[Step]) -> bool:
    """Does nothing else read the first argument, nor, where that may be a view, what it is a view of?"""
    read = node.all_input_nodes[0]
    if len(read.users) > 1:
        return False
    operation = steps[index[read]].operation
    weightless = isinstance(operation, PairMap) and operation.weights is None
    return not weightless or _last_reader(read, index, steps)


def _trace(model: nn.Module) -> list[fx.Node]:
    if not isinstance(model, nn.Module):
        raise PruneproofError("certify", required="a torch.nn.Module", received=type(model).__name__, remedy="pass one")
    try:
        return list(_Tracer().trace(model).nodes)
    except Exception as error:  # a forward that meets a proxy where it wants a tensor may raise anything
        why = f"{type(model).__name__} ({brief(error)})"
        raise PruneproofError(
            "certify",
            required="a network torch.fx can trace",
            received=why,
            remedy="remove control flow on data",
        ) from error


def _different(received: str) -> PruneproofError:
    remedy = "compare a network with its own pruned copy"
    return PruneproofError("certify", required="two networks of one architecture", received=received, remedy=remedy)


def _same(node: fx.Node, other: fx.Node, original: nn.Module, pruned: nn.Module) -> None:
    if (node.op, node.target) != (other.op, other.target):
        raise _different(f"{node.target} and {other.target}")
    if node.op != "call_module":
        return
    module, copy = original.get_submodule(str(node.target)), pruned.get_submodule(str(node.target))
    if module.extra_repr() != copy.extra_repr():
        raise _different(f"{node.target}: {module.extra_repr()} and {copy.extra_repr()}")


def _operation(node: fx.Node, original: nn.Module, pruned: nn.Module, lipschitz: Constants) -> Any:
    if node.op == "placeholder":
        return None
    layer = str(node.target)
    if node.op == "call_module":
        module, copy = original.get_submodule(layer), pruned.get_submodule(layer)
        layer = f"{layer} ({type(module).__name__})"
        found = pair_map(module, copy) or _activation(module, lipschitz)
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


def _activation(module: nn.Module, lipschitz: Constants) -> Any:
    if isinstance(module, nn.ReLU):
        return Rectifier()
    if isinstance(module, nn.LeakyReLU) and 0 <= module.negative_slope <= 1:
        return Rectifier(float(module.negative_slope))
    if isinstance(module, nn.MaxPool2d) and not module.ceil_mode and module.dilation in (1, (1, 1)):
        return MaxPool((module.kernel_size, module.stride, module.padding))
    standard = all(getattr(module, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    if isinstance(module, nn.Softplus) and standard and module.threshold >= _NEGLIGIBLE:
        return Lipschitz(lambda x: torch.logaddexp(x, torch.zeros_like(x)), 1.0, monotone=True)
    if isinstance(module, _MONOTONE) and standard:
        return Lipschitz(module.forward, 1.0, monotone=True)
    if type(module) in lipschitz:
        return Lipschitz(module.forward, float(lipschitz[type(module)]), monotone=False)
    return None


def _function(node: fx.Node, lipschitz: Constants) -> Any:
    if node.target in (operator.add, operator.iadd, torch.add) and len(node.all_input_nodes) == 2 and not node.kwargs:
        return Add()
    if node.target in _FUNCTIONS:
        return _activation(_FUNCTIONS[node.target](), lipschitz)
    rest = [value for value in (*node.args, *node.kwargs.values()) if not isinstance(value, fx.Node)]
    if node.target in (torch.flatten, "flatten") and rest in ([1], [1, -1]):
        return flattening(1)
    if node.target in ("mean", torch.mean) and rest in ([(2, 3)], [[2, 3]], [(-2, -1)], [[-2, -1]]):
        return averaging((2, 3), keep=False)
    return None
