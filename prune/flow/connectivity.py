"""What functions called inside `forward` become in the path certificate: activations the identity, maxima averages.

`linearised` replaces modules; a function such as `F.max_pool2d` or `torch.sigmoid` has none, and pooling modules call
the same functions. A maximum passes its derivative to one of several equal inputs, an average to all that are live; a
sigmoid of zero is not zero, and a saturated one passes no derivative. Attention's softmax and what a model computes by
other means (`amax`, `clamp`) are left as they are.

Layer collapse: does a mask leave a path from input to output, and which weights lie on one?

Each weight is replaced by its mask, each bias by zero, max pooling by average pooling, the rest of the network by its
positive linear copy (`linearised`), activations and pooling called as functions included (`positive_functions`). A
signal of ones then reaches exactly the units that a kept path reaches from the input, and its derivative exactly those
that reach the output; both are reduced to zero or one at every layer, so depth neither overflows nor underflows. A kept
weight is *live* if its input and its output are: this is exact for networks of linear layers, normalisers, activations,
pooling and sums. Paths through an attention softmax are not followed, and other functions inside `forward` (`amax`,
`clamp`, products) are taken as they are.

Cost: one forward and one backward pass of the copy on one example.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]
from torch.overrides import TorchFunctionMode

from pruneproof.errors import PruneproofError
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import Inputs, Readout, call, check_device, require_derivatives, trial
from pruneproof.prune.models.parameters import parameters_named, require_real, unwrapped

from .linearised import ScaleShift, linearised, reduce_outputs

_POINTWISE = frozenset(
    f"{name}{suffix}"
    for name in """alpha_dropout celu dropout dropout1d dropout2d dropout3d elu feature_alpha_dropout gelu hardsigmoid
        hardswish hardtanh leaky_relu log_sigmoid logsigmoid mish relu relu6 selu sigmoid silu softplus softsign tanh
        """.split()
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


class PositiveFunctions(TorchFunctionMode):
    """While the block runs, pointwise functions are the identity and max pooling is average pooling.

    **Raises:** `PruneproofError` for max pooling that no average stands for: dilated, fractional, or with indices.

    Example:
        >>> import torch
        >>> with PositiveFunctions():
        ...     print(torch.sigmoid(torch.zeros(1)), functional.max_pool1d(torch.tensor([[0.0, 1.0]]), 2))
        tensor([0.]) tensor([[0.5000]])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call what stands for the function."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in _POINTWISE:
            return args[0] if args else kwargs["input"]
        if name in _MAXIMA:
            return _MAXIMA[name](*_window(name, *args, **kwargs))
        if name in _ADAPTIVE_MAXIMA:
            return _adaptive(name, *args, **kwargs)
        if "max_pool" in name:
            _refuse(name.replace("_with", " with"))
        return func(*args, **kwargs)


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
    required, remedy = "max pooling that an average can stand for", "examine a copy of the model with average pooling"
    raise PruneproofError("connectivity", required=required, received=received, remedy=remedy)


_REMEDY = "pass the shape of a batch of one example"


@dataclass(frozen=True)
class Connectivity:
    """Which kept weights lie on a path from input to output.

    **Arguments:**

    - `connected`: whether there is such a path at all.
    - `kept`: the masks that were examined.
    - `live`: of these, the weights on a path. Of a bias: those whose unit reaches the output.
    - `groups`: name → groups of a convolution that has several; each reads its own inputs.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> path = connectivity(net, Masks({"weight": torch.eye(2, 3) > 0}), (1, 3))
        >>> path.connected, path.cut, path.live_units
        (True, (), {'weight': 2})
    """

    connected: bool
    kept: Masks
    live: Masks
    groups: Mapping[str, int] = field(default_factory=dict[str, int])

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
        """Layer → number of its outputs (rows of the weight) that a live weight feeds."""
        return {name: int(mask.flatten(1).any(1).sum()) for name, mask in self.live.items() if mask.ndim > 1}

    def live_positions(self) -> dict[str, Tensor]:
        """Name → bool tensor: all positions, kept or not, between a live input and a live output of the layer.

        Of a convolution in groups: within each group. Of a bias: its live positions.
        """
        groups = {name: mask.chunk(self.groups.get(name, 1)) for name, mask in self.live.items()}
        return {name: torch.cat([_between(group) for group in each]) for name, each in groups.items()}


def connectivity(
    model: nn.Module, masks: Masks, input_shape: Sequence[int] | Inputs, *, readout: Readout | None = None
) -> Connectivity:
    """Certify which layers a mask cuts and whether input and output are still connected.

    **Arguments:**

    - `model`: the network; copied, unchanged.
    - `masks`: masks of its parameters.
    - `input_shape`: shape of a batch of one example, or the inputs themselves, as in `scores.synflow`.
    - `readout`: takes the tensor out of an output that is not one.

    **Returns:** `Connectivity`.

    **Raises:** `PruneproofError` if the masks are of another model, the model does not take the inputs, its weights are
    no real numbers, its max pooling is dilated, fractional or with indices, or its output is not a tensor.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
        >>> masks = Masks({"0.weight": torch.tensor([[True, False], [False, False]]),
        ...                "2.weight": torch.tensor([[False, True]])})  # unit 0 is fed, unit 1 is read
        >>> result = connectivity(net, masks, (1, 2))
        >>> result.connected, result.emptied, result.cut
        (False, (), ('0.weight', '2.weight'))
    """
    model = unwrapped(model)
    device = check_device("connectivity", model)
    shapes = {name: mask.shape for name, mask in masks.items()}
    parameters_named(model, shapes, where="connectivity")
    require_real("connectivity", dict(model.named_parameters()))
    require_derivatives("connectivity")
    network = _indicator(model, masks)
    with torch.enable_grad(), PositiveFunctions():
        with trial("connectivity", required="inputs that the model takes", remedy=_REMEDY):
            output = call(network, _ones(input_shape, device))
        output = output if readout is None else readout(output)
        if not isinstance(output, Tensor):
            remedy = "pass readout=, the function that takes the logits out of the output"
            received = type(output).__name__
            raise PruneproofError("connectivity", required="a tensor output", received=received, remedy=remedy)
        weights = parameters_named(network, shapes, where="connectivity")
        flow = torch.autograd.grad(output.sum(), list(weights.values()), materialize_grads=True)
    live = {name: masks[name].to(device) & (g > 0) for name, g in zip(weights, flow, strict=True)}
    return Connectivity(bool((output > 0).any()), masks, Masks(live), _groups(model, shapes))


def _ones(input_shape: Sequence[int] | Inputs, device: torch.device) -> Inputs:
    if isinstance(input_shape, Sequence) and all(isinstance(size, int) for size in input_shape):
        return torch.ones(tuple(input_shape), dtype=torch.float64, device=device)
    return input_shape  # pyright: ignore[reportReturnType] (a tuple of inputs is a Sequence too)


def _groups(model: nn.Module, names: Container[str]) -> dict[str, int]:
    modules = model.named_modules(remove_duplicate=False)
    convolutions = {f"{name}.weight".lstrip("."): m.groups for name, m in modules if isinstance(m, _ConvNd)}
    return {name: groups for name, groups in convolutions.items() if groups > 1 and name in names}


def _indicator(model: nn.Module, masks: Masks) -> nn.Module:
    """The positive linear copy with masks for weights, without biases, reduced to zero or one after each layer."""
    network = linearised(model)
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name.endswith("bias"):
                    parameter.zero_()
                elif isinstance(module, ScaleShift):
                    parameter.fill_(1)
        for name, weight in parameters_named(network, {n: m.shape for n, m in masks.items()}, where="masks").items():
            if not name.endswith("bias"):
                weight.copy_(masks[name])
    names = {name.rpartition(".")[0] for name in masks}
    modules = network.named_modules(remove_duplicate=False)  # a layer used twice may be masked under either name
    reduce_outputs({module for name, module in modules if name in names})
    return network


def _between(live: Tensor) -> Tensor:
    if live.ndim == 1:
        return live
    outputs, inputs = live.flatten(1).any(1), live.flatten(2).any(2).any(0) if live.ndim > 2 else live.any(0)
    pairs = outputs[:, None] & inputs
    return pairs.view(*pairs.shape, *[1] * (live.ndim - 2)).expand_as(live).clone()
