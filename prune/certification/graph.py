"""Two networks have one architecture if their traces are equal: same operations, settings, and wiring.

Only then may the steps of one be used to bound both. Weights, which may differ, are no part of it.

Record what one network computes as a `torch.fx` graph, and refuse what such a record would leave out.

What is recorded, read and run is a copy in float64 with evaluation statistics: `if self.training` takes the branch that
is deployed, and nothing of the user's network changes. A parametrised weight is the one that float64 computes.

Read two networks as one list of steps: linear maps, activations, max pooling, additions.

Networks are traced by `torch.fx`, so `Sequential`, residual and any other traceable `forward` will do; both must trace
to the same operations. Steps are in evaluation order; step 0 is the input.
"""

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg
from torch.nn import functional

from pruneproof.errors import PruneproofError
from pruneproof.prune.models.evaluation import brief, trial

from .linear_maps import PairMap, averaging, flattening, pair_map


def require_one_architecture(
    first: list[fx.Node], second: list[fx.Node], original: nn.Module, pruned: nn.Module
) -> None:
    """Refuse two traces, node by node, that differ in anything but weights."""
    if len(first) != len(second):
        raise _different(f"{len(first)} and {len(second)} operations")
    place, index_in_pruned = ({node: number for number, node in enumerate(nodes)} for nodes in (first, second))
    for node, other in zip(first, second, strict=True):
        if (node.op, node.target) != (other.op, other.target):
            raise _different(f"{node.target} and {other.target}")
        if _arguments(node, place) != _arguments(other, index_in_pruned):
            raise _different(f"{node.name} of {_arguments(node, place)} and of {_arguments(other, index_in_pruned)}")
        if node.op == "call_module":
            layer = str(node.target)
            _same_layer(layer, original.get_submodule(layer), pruned.get_submodule(layer))


def _arguments(node: fx.Node, place: dict[fx.Node, int]) -> str:
    """What the node reads, other nodes by their place: as text, in which 1, 1.0 and True differ."""
    return str(map_arg((node.args, node.kwargs), lambda parent: f"%{place[parent]}"))


def _same_layer(name: str, module: nn.Module, copy: nn.Module) -> None:
    kinds = type(module), type(copy)
    if kinds[0].forward is not kinds[1].forward:  # a parametrised layer has the class's own
        raise _different(f"{name}: {kinds[0].__name__} and {kinds[1].__name__}")
    if module.extra_repr() != copy.extra_repr():
        raise _different(f"{name}: {module.extra_repr()} and {copy.extra_repr()}")
    for setting in sorted(_constants(*kinds)):
        one, two = (getattr(layer, setting, None) for layer in (module, copy))
        if one != two:
            raise _different(f"{name}.{setting}: {one} and {two}")


def _constants(*kinds: type) -> set[str]:
    """The settings that `forward` reads, some of which `extra_repr` leaves out: those of a class and of all it extends.

    A class that lists its own hides the list of its base, whose `forward` it still runs.
    """
    return {name for kind in kinds for base in kind.__mro__ for name in vars(base).get("__constants__", ())}


def _different(received: str) -> PruneproofError:
    remedy = "compare a network with its own pruned copy"
    return PruneproofError("certify", required="two networks of one architecture", received=received, remedy=remedy)


def float64_copy(model: nn.Module) -> nn.Module:
    """A copy that computes in float64 on the CPU, with evaluation statistics.

    Raises PruneproofError for what is no module, cannot be copied, or has hooks: those run outside `forward`.
    """
    if not isinstance(model, nn.Module):
        raise PruneproofError("certify", required="a torch.nn.Module", received=type(model).__name__, remedy="pass one")
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):  # pyright: ignore[reportPrivateUsage]
            received = f"{name or 'the network'} ({type(module).__name__})"
            remedy = "remove hooks and weight norm, make masks permanent (torch.nn.utils.prune.remove)"
            required = "modules without forward hooks or a forward of the instance"
            raise PruneproofError("certify", required=required, received=received, remedy=remedy)
    with trial("certify", required="a network that can be copied", remedy="try copy.deepcopy(network)"):
        return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()


def is_layer(module: nn.Module) -> bool:
    """Is the module one operation: is what runs torch's own code, whatever else its class adds (a parametrisation)?"""
    code = [module.forward, getattr(module, "_conv_forward", module.forward)]
    return not isinstance(module, nn.Sequential) and all(
        str(getattr(function, "__module__", "")).startswith("torch.nn.") for function in code
    )


class _Value(fx.Proxy):
    """A value being traced. Unlike torch.fx's own it tells `x += y`, which overwrites x, from `x + y`."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


def trace(model: nn.Module) -> list[fx.Node]:
    """The operations of a network in evaluation order: one input, operations, one output.

    Raises PruneproofError if `torch.fx` cannot trace it, or if it takes or returns several values.
    """
    try:
        nodes = list(_Tracer().trace(model).nodes)
    except Exception as error:  # a forward that meets a proxy where it wants a tensor may raise anything
        why = f"{type(model).__name__} ({brief(error)})"
        raise PruneproofError(
            "certify",
            required="a network torch.fx can trace",
            received=why,
            remedy="remove control flow on data",
        ) from error
    inputs = [str(node.target) for node in nodes if node.op == "placeholder"]
    output = nodes[-1].args[0]
    if len(inputs) == 1 and isinstance(output, fx.Node):
        return nodes
    received = f"arguments {', '.join(inputs)}" if len(inputs) != 1 else f"an output of type {type(output).__name__}"
    remedy = "wrap it in a module that passes the one and returns the other"
    raise PruneproofError("certify", required="one input and one output tensor", received=received, remedy=remedy)


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
    """The common steps of two networks as `float64_copy` returns them.

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
