"""Layer collapse: does a mask leave a path from input to output, and which weights lie on one?

Each weight is replaced by its mask, each bias by zero, max pooling by average pooling, the rest of
the network by its positive linear copy (`linearised`). A signal of ones then reaches exactly the
units that a kept path reaches from the input, and its derivative exactly those that reach the
output; both are reduced to zero or one at every layer, so depth neither overflows nor underflows. A
kept weight is *live* if its input and its output are: this is exact for networks of linear layers,
normalisers, activations, pooling and sums.

Functions called inside `forward` count like the modules of the same operation
(`PositiveFunctions`): activations and rounding are the identity; maxima and minima are averages (of
two tensors, sums), since a maximum passes its derivative to one input, an average to all that are
live; differences are sums, since equal signals cancel; a sigmoid of zero is not zero, and a
saturated one or a `clamp` passes no derivative; normalisers scale and shift. Paths through an
attention softmax are not followed, and other functions (products, `cumsum`) are taken as they are.
Models that choose by their data what runs (`topk`, comparisons, …), and recurrent layers, are
refused.

Cost: one forward and one backward pass of the copy on one example.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import UnsupportedError
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import (
    Inputs,
    Readout,
    call_model,
    check_device,
    explained,
    require_derivatives,
    require_logits,
)
from pruneproof.prune.models.parameters import (
    OUTPUTS_FIRST,
    Layout,
    computed_weights,
    layouts,
    parameters_named,
    require_numbers,
    unwrapped,
)

from .linearised import (
    Unrouted,
    flow_inputs,
    gated,
    is_normaliser,
    linearised,
    pass_back,
    reaches,
    reduce_outputs,
    require_followable,
)

_POINTWISE = frozenset(
    f"{name}{suffix}"
    for name in """alpha_dropout celu dropout dropout1d dropout2d dropout3d elu feature_alpha_dropout gelu hardshrink
        hardsigmoid hardswish hardtanh leaky_relu log_sigmoid logsigmoid mish relu relu6 rrelu selu sigmoid silu
        softplus softshrink softsign tanh tanhshrink _threshold""".split()
    for suffix in ("", "_")
)


_MAXIMA: Mapping[str, Callable[..., Tensor]] = {
    "max_pool1d": functional.avg_pool1d,
    "max_pool2d": functional.avg_pool2d,
    "max_pool3d": functional.avg_pool3d,
}


_ADAPTIVE_MAXIMA: Mapping[str, Callable[..., Tensor]] = {
    "adaptive_max_pool1d": functional.adaptive_avg_pool1d,
    "adaptive_max_pool2d": functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": functional.adaptive_avg_pool3d,
}


_EXTREMA = ("amax", "amin", "max", "maximum", "min", "minimum")
_LIMITS = ("clamp", "clamp_max", "clamp_min", "clip")
_DIFFERENCES = ("__rsub__", "rsub", "sub", "sub_", "subtract")
_STEPS = ("ceil", "floor", "neg", "round", "sgn", "sign", "trunc")


def _trailing(
    input: Tensor, shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    """The scale and shift of a layer norm or RMS norm."""
    input = input if weight is None else input * weight
    return input if bias is None else input + bias


def _first(input: Tensor, *_: Any, **__: Any) -> Tensor:
    return input


_NORMALISERS: Mapping[str, Callable[..., Tensor]] = {
    **{"layer_norm": _trailing, "rms_norm": _trailing, "glu": gated},
    **dict.fromkeys(("batch_norm", "group_norm", "instance_norm", "local_response_norm", "normalize"), _first),
}


class PositiveFunctions(Unrouted):
    """While the block runs, pointwise functions are the identity, and maxima and max pooling averages.

    Args:
        where: The public function that asks, for the error message.

    Raises:
        UnsupportedError: For max pooling that no average stands for (dilated, fractional, or with
            indices), and for routing.

    Example:
        >>> import torch
        >>> with PositiveFunctions("connectivity"):
        ...     print(torch.sigmoid(torch.zeros(1)), functional.max_pool1d(torch.tensor([[0.0, 1.0]]), 2))
        tensor([0.]) tensor([[0.5000]])
    """

    def called(self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What stands for the function."""
        if name in _POINTWISE:
            return args[0] if args else kwargs["input"]
        if name in _MAXIMA:
            return _MAXIMA[name](*_window(name, *args, **kwargs))
        if name in _ADAPTIVE_MAXIMA:
            return _adaptive(name, *args, **kwargs)
        if name in _NORMALISERS:
            return _NORMALISERS[name](*args, **kwargs)
        if "max_pool" in name:
            _refuse(name.replace("_with", " with"))
        if any(isinstance(each, Tensor) and each.requires_grad for each in args):
            return _passing(name, func, *args, **kwargs)
        return func(*args, **kwargs)


def _passing(name: str, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What stands for a function of signals (not of whole numbers or constants) whose derivative may lose some."""
    if name in _EXTREMA:
        return _mixed(func, *args, **kwargs)
    if name in _STEPS:
        return args[0]
    if name in _LIMITS:
        return args[0] + (func(*args, **kwargs) - args[0]).detach()  # whose derivative ends nowhere
    if name in _DIFFERENCES:
        return args[0].add_(args[1]) if name == "sub_" else args[0] + args[1]  # equal signals do not cancel
    return func(*args, **kwargs)


def _mixed(func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The mean in place of the largest, with the positions where they come with it; of two tensors, the sum."""
    given = dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
    other = given.get("other", given.get("dim"))
    if isinstance(other, Tensor):
        return input + other
    found, mean = func(input, *args, **kwargs), input.mean(**given) if given else input.mean()
    return mean if isinstance(found, Tensor) else type(found)((mean, found.indices))


def _window(
    name: str,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Any, ...]:
    """The arguments of average pooling over the same windows."""
    if any(step != 1 for step in (dilation if isinstance(dilation, tuple | list) else [dilation])):
        _refuse(f"{name} with dilation {dilation}")
    return input, kernel_size, stride or kernel_size, padding, ceil_mode  # an empty stride means the kernel's size


def _adaptive(name: str, input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    return _ADAPTIVE_MAXIMA[name](input, output_size)


def _refuse(received: str) -> None:
    raise UnsupportedError(
        f"connectivity: no average stands for {received}. Examine a copy of the model with average pooling."
    )


@dataclass(frozen=True)
class Connectivity:
    """Which kept weights lie on a path from input to output.

    Args:
        connected: Whether there is such a path at all.
        kept: The masks that were examined.
        live: Of these, the weights on a path. Of a bias: those whose unit reaches the output.
        layouts: Name → how the weight forms its layer's (outputs, inputs) matrix, where it does not
            store outputs first or is that of a convolution in groups.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> path = connectivity(net, Masks({"weight": torch.eye(2, 3) > 0}), (1, 3))
        >>> path.connected, path.cut, path.live_units
        (True, (), {'weight': 2})
    """

    connected: bool
    kept: Masks
    live: Masks
    layouts: Mapping[str, Layout] = field(default_factory=dict[str, Layout])

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        cut = f"; layers that no path crosses: {', '.join(self.cut)}" if self.cut else ""
        return f"Connectivity({state}; {self.live.count} of {self.kept.count} kept weights lie on a path{cut})"

    @property
    def emptied(self) -> tuple[str, ...]:
        """The layers of which the mask keeps nothing."""
        return tuple(name for name, count in self.kept.counts.items() if count == 0)

    @property
    def cut(self) -> tuple[str, ...]:
        """The layers without a live weight: emptied, or disconnected by another layer."""
        return tuple(name for name, count in self.live.counts.items() if count == 0)

    @property
    def live_units(self) -> dict[str, int]:
        """Layer → number of its outputs that a live weight feeds."""
        return {name: int(self._matrix(name, m).any(1).sum()) for name, m in self.live.items() if m.ndim > 1}

    def live_positions(self) -> dict[str, Tensor]:
        """Name → bool tensor: all positions, kept or not, between a live input and a live output of the layer.

        Of a convolution in groups: within each group. Of a bias: its live positions.
        """
        return {name: self._between(name, mask) if mask.ndim > 1 else mask for name, mask in self.live.items()}

    def _matrix(self, name: str, mask: Tensor) -> Tensor:
        return self.layouts.get(name, OUTPUTS_FIRST).matrix(mask)

    def _between(self, name: str, mask: Tensor) -> Tensor:
        layout = self.layouts.get(name, OUTPUTS_FIRST)
        groups = layout.matrix(mask).chunk(layout.groups)
        kernel = mask.shape[2:].numel()
        return layout.tensor(torch.cat([_pairs(group, kernel) for group in groups]), mask.shape).clone()


def _pairs(live: Tensor, kernel: int) -> Tensor:
    """Every position between a live row and a live input of an (outputs, inputs × kernel) matrix."""
    inputs = live.reshape(len(live), -1, kernel).any(2).any(0) if live.numel() else live.any(0)
    return live.any(1)[:, None] & inputs.repeat_interleave(kernel)


def connectivity(
    model: nn.Module, masks: Masks, input_shape: Sequence[int] | Inputs, *, readout: Readout | None = None
) -> Connectivity:
    """Certify which layers a mask cuts and whether input and output are still connected.

    Args:
        model: The network; copied, unchanged.
        masks: Masks of its parameters.
        input_shape: Shape of a batch of one example, or the inputs themselves, as in
            `scores.synflow`.
        readout: Takes the tensor out of an output that is not one.

    Returns:
        `Connectivity`.

    Raises:
        UnknownNameError: The masks are of another model.
        InvalidTypeError: The weights are no real numbers, or the output is not a tensor.
        UnsupportedError: The model has dilated or fractional max pooling or one with indices,
            recurrent layers, or routes its input; a masked weight is computed from others.
        PruneproofError: As `prunable` raises. What the model itself raises comes with a note.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False], [False, False]]),
        ...                "2.weight": torch.tensor([[False, True]])})  # unit 0 is fed, unit 1 is read
        >>> result = connectivity(net, masks, (1, 2))
        >>> result.connected, result.emptied, result.cut
        (False, (), ('0.weight', '2.weight'))
    """
    model = unwrapped(model)
    shapes = {name: mask.shape for name, mask in masks.items()}
    _refuse_originals(model, parameters_named(model, shapes, where="connectivity"))
    device = check_device("connectivity", model)
    require_numbers("connectivity", dict(model.named_parameters()))
    require_derivatives("connectivity")
    require_followable("connectivity", model)
    inputs = flow_inputs("connectivity", input_shape, device)
    network = _indicator(model, masks)
    with torch.enable_grad(), PositiveFunctions("connectivity"):
        with explained("connectivity", "the model", "Pass the shape of a batch of one example."):
            output = call_model(network, inputs)
        output = output if readout is None else readout(output)
        require_logits("connectivity", output)
        weights = parameters_named(network, shapes, where="connectivity")
        flow = torch.autograd.grad(output.sum(), list(weights.values()), materialize_grads=True)
    live = {name: masks[name].to(device) & reaches(g) for name, g in zip(weights, flow, strict=True)}
    kept_layouts = {name: layout for name, layout in layouts(model).items() if name in masks}
    return Connectivity(bool(reaches(output).any()), masks, Masks(live), kept_layouts)


class OutputReach:
    """Which weights lie in front of a path to the output, for one mask after another of one network.

    A weight that does not can be dropped without any change of the output, whatever it reads. The
    network is copied once; a question costs one forward and one backward pass on one example.

    Args:
        where: The public function that asks, for error messages.
        model: The network; unchanged.
        inputs: A batch; only its shape counts.
        names: The parameters that will be masked.

    Raises:
        PruneproofError: As `connectivity` raises.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> reach = OutputReach("sipp", net, torch.ones(1, 2), ["0.weight", "2.weight"])
        >>> reach({"0.weight": torch.ones(2, 2) > 0, "2.weight": torch.tensor([[True, False]])})["0.weight"]
        tensor([[ True,  True],
                [False, False]])
    """

    def __init__(self, where: str, model: nn.Module, inputs: Tensor, names: Sequence[str]) -> None:
        require_followable(where, model)
        self._where = where
        self._inputs = flow_inputs(where, inputs[:1], inputs.device)
        self._network = linearised(model)
        self._weights = {name: self._network.get_parameter(name) for name in names}
        owners = {name.rpartition(".")[0] for name in names}
        pass_back([m for name, m in self._network.named_modules(remove_duplicate=False) if name in owners])

    def __call__(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name → bool tensor of the mask's shape: kept, and in front of a path to the output."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(masks[name])
        with torch.enable_grad(), PositiveFunctions(self._where):
            with explained(self._where, "the model", "Pass inputs of the shape that it takes."):
                output = call_model(self._network, self._inputs)
            flow = torch.autograd.grad(output.sum(), list(self._weights.values()), materialize_grads=True)
        return {name: masks[name].to(g.device) & reaches(g) for name, g in zip(self._weights, flow, strict=True)}


def _refuse_originals(model: nn.Module, masked: Mapping[str, nn.Parameter]) -> None:
    """Refuse masks of the parameters from which a weight is computed: which weights they prune is not known."""
    for weight in computed_weights(model):
        if set(weight.parameters) & masked.keys():
            raise UnsupportedError(
                f"connectivity: {weight.name} is computed by {weight.by}, and masks of what it is computed from do not "
                f"say which weights are pruned. {weight.remedy}, and pass masks of {weight.name}."
            )


def _indicator(model: nn.Module, masks: Masks) -> nn.Module:
    """The positive linear copy with masks for weights, without biases, reduced to zero or one after each layer."""
    network = linearised(model)
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name.endswith("bias"):
                    parameter.zero_()
                elif is_normaliser(module):
                    parameter.fill_(1)
        for name, weight in parameters_named(network, {n: m.shape for n, m in masks.items()}, where="masks").items():
            if not name.endswith("bias"):
                weight.copy_(masks[name])
    names = {name.rpartition(".")[0] for name in masks}
    modules = network.named_modules(remove_duplicate=False)  # a layer used twice may be masked under either name
    reduce_outputs({module for name, module in modules if name in names})
    return network
