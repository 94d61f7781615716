"""Read two networks as one list of steps: linear maps, activations, max pooling, additions, concatenations.

Networks are traced by `torch.fx`, so `Sequential`, residual and any other traceable `forward` will do, with modules or
with the functions of `torch.nn.functional`. Shapes of items are known while tracing, so that control flow on shapes,
assertions on them and `b, c, h, w = x.shape` are read. `torch.export` is not used: of 22 ordinary networks it exported
21, where this reader traces 19; one of the two others has an optional argument, one returns a dictionary, and a wrapper
mends either. It took 30 to 120 ms a network against 2 to 5 ms, and it dissolves modules, by whose class `lipschitz`
declares a slope and whose settings tell two architectures apart.

What is recorded, read and run is a copy in float64 with evaluation statistics: `if self.training` takes the branch that
is deployed, and nothing of the user's network changes. A parametrised weight is the one that float64 computes.

Both networks must have one architecture: equal traces, that is the same operations, settings and wiring. Only then may
the steps of one be used to bound both. Weights, which may differ, are no part of it. Steps are in evaluation order;
step 0 is the input.
"""

import copy
import inspect
import operator
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import Attribute
from torch.nn import functional

from pruneproof.errors import InvalidValueError, PruneproofError, UnsupportedError, one_line
from pruneproof.prune.models.evaluation import require_module

from .linear_maps import (
    PairMap,
    as_float64,
    averaging,
    convolution_padding,
    flattening,
    identity,
    lifting,
    lowering,
    padded_before,
    padding,
    pair_map,
    reshaping,
    scaling,
)


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


def _different(where: str) -> InvalidValueError:
    return InvalidValueError(
        f"certify: the two networks must have one architecture, but they differ: {where}. "
        "Compare a network with its own pruned copy."
    )


def float64_copy(model: nn.Module) -> nn.Module:
    """A copy that computes in float64 on the CPU, with evaluation statistics.

    Raises:
        PruneproofError: For what is no module, cannot be copied, or has hooks: those run outside
            `forward`.
    """
    require_module("certify", model)
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):  # pyright: ignore[reportPrivateUsage]
            raise UnsupportedError(
                f"certify: {name or 'the network'} ({type(module).__name__}) has forward hooks or its own forward, "
                "which no trace shows. Remove hooks and weight norm, and make masks permanent."
            )
    try:
        return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    except (RuntimeError, TypeError) as error:
        raise UnsupportedError(
            f"certify: the network cannot be copied ({one_line(error)}). See that copy.deepcopy(network) works."
        ) from error


@contextmanager
def fitting(step: "Step", points: Tensor) -> Generator[None]:
    """Say at which step torch refuses items of a shape that the network does not read."""
    try:
        yield
    except (PruneproofError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InvalidValueError(
            f"certify: items of shape {tuple(points.shape[1:])} are not of the shape the network reads: at "
            f"{step.name}, {one_line(error)}. Reshape the inputs."
        ) from error


def is_layer(module: nn.Module) -> bool:
    """Is the module one operation: is what runs torch's own code, whatever else its class adds (a parametrisation)?"""
    code = [module.forward, getattr(module, "_conv_forward", module.forward)]
    return not isinstance(module, nn.Sequential) and all(
        str(getattr(function, "__module__", "")).startswith("torch.nn.") for function in code
    )


class _Value(fx.Proxy):
    """A value being traced.

    Unlike torch.fx's own it tells `x += y`, which overwrites x, from `x + y`, and knows its shape where the shape of an
    item is known: the number of items, dimension 0, stays open.
    """

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", method, (self, *args), kwargs)

    @property
    def shape(self) -> Any:
        """(items, *sizes), or a value of the trace where they are not known."""
        example = self.node.meta.get(_EXAMPLE)
        return Attribute(self, "shape") if example is None else (self._call("size", 0), *example.shape[1:])

    @property
    def ndim(self) -> Any:
        """The number of dimensions, likewise."""
        example = self.node.meta.get(_EXAMPLE)
        return Attribute(self, "ndim") if example is None else example.ndim

    def dim(self) -> Any:
        """The same."""
        return self._call("dim") if self.node.meta.get(_EXAMPLE) is None else self.ndim

    def size(self, dim: Any = None) -> Any:
        """The shape, or one size."""
        example = self.node.meta.get(_EXAMPLE)
        if example is None or not isinstance(dim, int | None):
            return self._call("size", dim)
        return self.shape if dim is None else self._call("size", 0) if dim in (0, -example.ndim) else example.size(dim)

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


_EXAMPLE, _LINE = "example", "line"  # of a node: its value for two items of zeros, and where it is called


def _line_of_forward() -> str:
    """The innermost line that is neither of the tracer nor of torch.fx, whose own record imports the whole compiler."""
    frame = inspect.currentframe()
    while frame and (frame.f_code.co_filename == __file__ or "/torch/fx/" in frame.f_code.co_filename):
        frame = frame.f_back
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno}' if frame else ""


class _Tracer(fx.Tracer):
    def __init__(self, model: nn.Module, item: torch.Size) -> None:
        super().__init__()
        self.item = item
        self.twin = copy.deepcopy(model)  # while tracing, the model's own calls are recorded

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *others: Any, **named: Any) -> fx.Proxy:
        made = super().create_proxy(kind, target, args, kwargs, *others, **named)
        made.node.meta[_LINE] = _line_of_forward()
        with suppress(Exception):  # then the shapes from here on are not known
            made.node.meta[_EXAMPLE] = self._value(kind, made.node)
        return made

    def _value(self, kind: str, node: fx.Node) -> Any:
        """What a node computes; random numbers are drawn from a state that is put back."""
        target: Any = node.target
        if kind == "placeholder":
            return torch.zeros((2, *self.item), dtype=torch.float64)
        if kind == "get_attr":
            return _attribute(self.twin, target).clone()
        args, kwargs = map_arg((node.args, node.kwargs), lambda parent: parent.meta[_EXAMPLE])
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return (self.twin.get_submodule(target).forward if kind == "call_module" else target)(*args, **kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


def trace(model: nn.Module, item: torch.Size) -> list[fx.Node]:
    """The operations of a network in evaluation order: one input, operations, one output.

    Args:
        model: As `float64_copy` returns it.
        item: The shape of one input, so that control flow on shapes takes the branch that such inputs take.

    Raises:
        PruneproofError: If `torch.fx` cannot trace it, or if it takes or returns several values.
    """
    try:
        nodes = list(_Tracer(model, item).trace(model).nodes)
    except Exception as error:  # a forward that meets a proxy where it wants a tensor may raise anything
        raise UnsupportedError(
            f"certify: torch.fx cannot trace {type(model).__name__} ({one_line(error)}). Remove control flow on data."
        ) from error
    inputs = [str(node.target) for node in nodes if node.op == "placeholder"]
    output = nodes[-1].args[0]
    if len(inputs) == 1 and isinstance(output, fx.Node):
        return nodes
    shown = f"arguments {', '.join(inputs)}" if len(inputs) != 1 else f"an output of type {type(output).__name__}"
    raise UnsupportedError(
        f"certify: a network must have one input and one output tensor, got {shown}. "
        "Wrap it in a module that passes the one and returns the other."
    )


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
    name: str = ""


@dataclass(frozen=True)
class MaxPool:
    """Max pooling: kernel, stride and padding as `torch.nn.MaxPool2d` takes them."""

    settings: tuple[Any, ...]


@dataclass(frozen=True)
class Add:
    """The sum of two steps, as in residual blocks."""


@dataclass(frozen=True)
class Concatenate:
    """Steps side by side along a dimension of the item (not the batch)."""

    dimension: int


@dataclass(frozen=True)
class LogSoftmax:
    """The logarithm of softmax over the outputs; differences of its outputs are differences of its inputs."""


Operation = PairMap | Rectifier | Lipschitz | MaxPool | Add | Concatenate | LogSoftmax


@dataclass(frozen=True)
class Step:
    """One operation of both networks: its name, what it does (None for the input), the steps it reads."""

    name: str
    operation: Operation | None
    parents: tuple[int, ...]


Constants = Mapping[type[nn.Module], float]
_MONOTONE = (nn.Tanh, nn.Sigmoid, nn.ELU, nn.Hardtanh, nn.ReLU6)
_NEGLIGIBLE = 20  # from here on torch's replacement of softplus by its asymptote is rounding, as torch says


_POOL = ("kernel_size", "stride", "padding")
_FUNCTIONS: dict[Any, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {  # function → its module, and its options
    **dict.fromkeys(
        (functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_"), (nn.ReLU, ("inplace",))
    ),
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh"), (nn.Tanh, ())),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid"), (nn.Sigmoid, ())),
    functional.leaky_relu: (nn.LeakyReLU, ("negative_slope", "inplace")),
    functional.elu: (nn.ELU, ("alpha", "inplace")),
    functional.relu6: (nn.ReLU6, ("inplace",)),
    functional.hardtanh: (nn.Hardtanh, ("min_val", "max_val", "inplace")),
    functional.softplus: (nn.Softplus, ("beta", "threshold")),
    **dict.fromkeys(
        (functional.max_pool2d, functional.__dict__["_max_pool2d"], torch.max_pool2d),
        (nn.MaxPool2d, (*_POOL, "dilation", "ceil_mode", "return_indices")),
    ),
    **dict.fromkeys(
        (functional.max_pool1d, functional.__dict__["_max_pool1d"], torch.max_pool1d),
        (nn.MaxPool1d, (*_POOL, "dilation", "ceil_mode", "return_indices")),
    ),
    functional.avg_pool2d: (nn.AvgPool2d, (*_POOL, "ceil_mode", "count_include_pad", "divisor_override")),
    functional.avg_pool1d: (nn.AvgPool1d, (*_POOL, "ceil_mode", "count_include_pad")),
    functional.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
    functional.adaptive_avg_pool1d: (nn.AdaptiveAvgPool1d, ("output_size",)),
}
_DROPOUTS = (functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d)
_SUMS = (operator.add, operator.iadd, torch.add)
_ARITHMETIC = {  # (constant on the right) → (scale, shift) of x
    **dict.fromkeys((*_SUMS, "add"), lambda c: (torch.ones_like(c), c)),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub"), lambda c: (torch.ones_like(c), -c)),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul"), lambda c: (c, torch.zeros_like(c))),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div"), lambda c: (1 / c, torch.zeros_like(c))),
}
_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, "relu_", functional.relu_, torch.relu_)


def trace_pair(original: nn.Module, pruned: nn.Module, lipschitz: Constants, item: torch.Size) -> list[Step]:
    """The common steps of two networks as `float64_copy` returns them, on inputs of the shape `item`.

    Raises:
        PruneproofError: For different architectures and for operations not understood, by name.
    """
    if is_layer(original):  # a single layer is a network too
        original, pruned = nn.Sequential(original), nn.Sequential(pruned)
    first, second = trace(original, item), trace(pruned, item)
    require_one_architecture(first, second, original, pruned)
    reader = _Reader(original, pruned, lipschitz)
    for node in first[:-1]:
        reader.read(node)
    return reader.steps[: reader.index[first[-1].all_input_nodes[0]] + 1]


class _Reader:
    """Turns the nodes of a trace into steps, one after the other."""

    def __init__(self, original: nn.Module, pruned: nn.Module, lipschitz: Constants) -> None:
        self.original, self.pruned, self.lipschitz = original, pruned, lipschitz
        self.steps: list[Step] = []
        self.index: dict[fx.Node, int] = {}  # node → its last step
        self.constants: dict[fx.Node, Tensor] = {}  # tensors that both networks read with the same values
        self.sizes: set[fx.Node] = set()  # the number of examples in the batch, read off a tensor

    def read(self, node: fx.Node) -> None:
        """Add the steps of one node, if it has any."""
        if node.op == "get_attr":
            self.constants[node] = self._constant(node)
            return
        if _is_batch_size(node):
            self.sizes.add(node)
            return
        operations = self._operations(node)
        if _overwrites(node, self.original) and not _last_reader(node, self.index, self.steps):
            raise UnsupportedError(
                f"certify: {_place(node)} overwrites a value that is read again. "
                "Use the operation that returns a new tensor."
            )
        parents = tuple(self.index[parent] for parent in node.all_input_nodes if parent in self.index)
        for operation in operations:
            self.steps.append(Step(str(getattr(node.target, "__name__", node.target)), operation, parents))
            parents = (len(self.steps) - 1,)
        self.index[node] = parents[0]

    def _constant(self, node: fx.Node) -> Tensor:
        values = [_attribute(model, str(node.target)) for model in (self.original, self.pruned)]
        if not torch.equal(*values):
            raise UnsupportedError(
                f"certify: the tensor {node.target} differs between the two networks and is read outside a known "
                "layer. Put it into a layer, such as nn.Linear."
            )
        return values[0]

    def _operations(self, node: fx.Node) -> list[Any]:
        if node.op == "placeholder":
            return [None]
        if node.op == "call_module":
            return self._of_module(node)
        found = self._of_function(node)
        if found is None:
            raise _unsupported(_place(node))
        return found

    def _of_module(self, node: fx.Node) -> list[Any]:
        name = str(node.target)
        module, copy = self.original.get_submodule(name), self.pruned.get_submodule(name)
        layer = f"{name} ({type(module).__name__})"
        found = _steps_of(module, copy, self.lipschitz) if len(node.args) + len(node.kwargs) == 1 else None
        if found is None:
            raise _unsupported(layer)
        if isinstance(found[0], Lipschitz | Rectifier) and not _same_state(module, copy):
            raise _unsupported(f"{layer} with different states in the two networks")
        return found

    def _of_function(self, node: fx.Node) -> list[Any] | None:
        if node.target in _ARITHMETIC:
            return self._arithmetic(node)
        if node.target in _FUNCTIONS:
            build, names = _FUNCTIONS[node.target]
            options = _options(node, *names)
            module = build(**options) if options.keys() <= set(names) else None
            return module and _steps_of(module, module, self.lipschitz)
        if node.target in _DROPOUTS:
            named = _options(node, "p", "training", "inplace")
            return [identity()] if named.get("training") is False else None
        if node.target is functional.pad:
            return _padding(node)
        if node.target in (torch.cat, torch.concat):
            return _concatenation(node)
        if node.target in (functional.log_softmax, torch.log_softmax, "log_softmax"):
            return [LogSoftmax()] if _options(node, "dim").get("dim") in (1, -1) else None
        return self._reshaping(node)

    def _arithmetic(self, node: fx.Node) -> list[Any] | None:
        """A sum of two steps, or a step with a constant beside it."""
        if node.kwargs or len(node.args) != 2:
            return None  # a third argument is a factor
        first, second = node.args
        steps = [isinstance(part, fx.Node) and part in self.index for part in (first, second)]
        if all(steps) and first is second:
            two = torch.tensor(2.0, dtype=torch.float64)
            return [scaling(two, 0 * two)] if node.target in _SUMS or node.target == "add" else None
        if all(steps):
            return [Add()] if node.target in _SUMS or node.target == "add" else None
        constant = self._number(second if steps[0] else first)
        if constant is None or not bool(constant.isfinite().all() & (constant != 0).all()):
            return None  # a factor of zero, or a division by it, is no constant that an honest network holds
        if steps[0]:
            return [scaling(*_ARITHMETIC[node.target](constant))]
        if node.target in (operator.sub, torch.sub):
            return [scaling(-torch.ones_like(constant), constant)]
        swaps = node.target in (*_SUMS, operator.mul, torch.mul)
        return [scaling(*_ARITHMETIC[node.target](constant))] if swaps else None

    def _number(self, value: Any) -> Tensor | None:
        if isinstance(value, fx.Node):
            return self.constants.get(value)
        return torch.tensor(float(value), dtype=torch.float64) if isinstance(value, int | float) else None

    def _reshaping(self, node: fx.Node) -> list[Any] | None:
        if node.target in (torch.flatten, "flatten"):
            found = {"end_dim": -1, **_options(node, "start_dim", "end_dim")}
            return [flattening(1)] if found == {"start_dim": 1, "end_dim": -1} else None
        if node.target in ("view", "reshape", torch.reshape):
            sizes = list(node.args[1:])
            sizes = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes
            first = sizes[0] if sizes else None
            whole = first == -1 or (isinstance(first, fx.Node) and first in self.sizes)
            rest = [size for size in sizes[1:] if isinstance(size, int)]
            known = whole and len(rest) == len(sizes) - 1 and not node.kwargs
            return [reshaping(tuple(rest), exact=isinstance(first, int))] if known else None
        if node.target in ("mean", torch.mean) and list(_options(node, "dim")) == ["dim"]:
            dimensions = _options(node, "dim")["dim"]
            return [averaging((2, 3))] if dimensions in ((2, 3), [2, 3], (-2, -1), [-2, -1]) else None
        return None


def _padding(node: fx.Node) -> list[Any] | None:
    found: dict[str, Any] = {"mode": "constant", "value": None, **_options(node, "pad", "mode", "value")}
    sizes, known = found.get("pad"), found.keys() == {"pad", "mode", "value"} and not found["value"]
    if not known or not isinstance(sizes, list | tuple) or len(sizes) not in (2, 4):
        return None
    return [padding(sizes, found["mode"])] if all(isinstance(size, int) for size in sizes) else None


def _attribute(model: nn.Module, name: str) -> Tensor:
    owner, _, last = name.rpartition(".")
    return as_float64(getattr(model.get_submodule(owner), last))


def _is_batch_size(node: fx.Node) -> bool:
    """Is it `x.size(0)`, `x.shape`, or `x.shape[0]`?"""
    if node.target == "size":
        return _options(node, "dim").get("dim") == 0
    if node.target is getattr:
        return bool(node.args[1] == "shape") and all(_is_batch_size(user) for user in node.users)
    of_shape = node.target is operator.getitem and isinstance(node.args[0], fx.Node) and node.args[0].target is getattr
    return bool(of_shape and node.args[1] == 0)


def _concatenation(node: fx.Node) -> list[Any] | None:
    dimension = _options(node, "dim").get("dim", 0)
    listed: Any = node.args[0] if node.args else ()
    parts: list[Any] = list(listed) if isinstance(listed, list | tuple) else []
    nodes = bool(parts) and all(isinstance(part, fx.Node) for part in parts)
    apart = nodes and len({*parts}) == len(parts)  # the same step twice would be one parent
    return [Concatenate(int(dimension))] if apart and isinstance(dimension, int) and dimension >= 1 else None


def _place(node: fx.Node) -> str:
    """What an operation is called, and the line of the forward that calls it."""
    name = str(getattr(node.target, "__name__", node.target))
    return f"{name} ({node.meta[_LINE]})" if node.meta.get(_LINE) else name


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"certify: no bound is known for {what}. Known are linear, convolution, pooling and BatchNorm layers, "
        "reshaping, sums, constants, concatenation and monotone activations; replace the operation, or pass "
        "lipschitz={LayerClass: constant} for an elementwise activation."
    )


def _overwrites(node: fx.Node, model: nn.Module) -> bool:
    """Does the operation write its result over its first argument?"""
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    if node.target in _IN_PLACE:
        return True
    names = _FUNCTIONS[node.target][1] if node.target in _FUNCTIONS else ("p", "training", "inplace")
    return node.op == "call_function" and bool(_options(node, *names).get("inplace"))


def _last_reader(node: fx.Node, index: dict[fx.Node, int], steps: list[Step]) -> bool:
    """Does nothing else read the first argument, nor, where that may be a view, what it is a view of?"""
    read = node.all_input_nodes[0]
    if sum(not _is_batch_size(user) for user in read.users) > 1 or read not in index:
        return False
    operation = steps[index[read]].operation
    weightless = isinstance(operation, PairMap) and operation.weights is None
    return not weightless or _last_reader(read, index, steps)


def _same_state(module: nn.Module, copy: nn.Module) -> bool:
    """One function stands for the activation of both networks."""
    one, two = module.state_dict(), copy.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def _steps_of(module: nn.Module, copy: nn.Module, lipschitz: Constants) -> list[Any] | None:
    """The operations of a layer and its counterpart, one after the other, or None if it is not known."""
    if isinstance(module, nn.MaxPool1d):  # the same on images of one row
        sides = [(0 if name == "padding" else 1, _one(getattr(module, name))) for name in _POOL]
        plain = _one(module.dilation) == 1 and not module.ceil_mode and not module.return_indices
        return [lifting(2), MaxPool(tuple(sides)), lowering(2)] if plain else None
    if isinstance(module, nn.LogSoftmax):
        return [LogSoftmax()] if module.dim in (1, -1) else None
    if isinstance(module, nn.Conv1d | nn.Conv2d) and padded_before(module):
        layer = pair_map(module, copy)
        return layer and [convolution_padding(module), layer]
    found = pair_map(module, copy) or _activation(module, lipschitz)
    return None if found is None else [found]


def _one(value: Any) -> int:
    return int(value if isinstance(value, int) else value[0])


def _activation(module: nn.Module, lipschitz: Constants) -> Any:
    if isinstance(module, nn.PReLU) and module.weight.numel() == 1 and 0 <= module.weight.item() <= 1:
        return Rectifier(module.weight.item())
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
    constant = 1.0 if known else float(lipschitz[type(module)])
    return Lipschitz(function, constant, monotone=known, name=type(module).__name__)


def _options(node: fx.Node, *names: str) -> dict[Any, Any]:
    """Arguments beside the first one, by name, or by position where there is none."""
    positions = (*names, *range(len(node.args)))
    named = {name: value for name, value in node.kwargs.items() if name != "input"}
    return {**dict(zip(positions, node.args[1:], strict=False)), **named}
