"""The linear layers of a pair of networks in float64, each with its transpose and the length of its dot products.

A pair step maps (a, α), the original's activation and the difference pruned − original, by
`z = W a + b` and `δ = Ŵ α + (Ŵ − W) a + (b̂ − b)`: the difference is never formed by subtracting two large numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn import grad as convolution_gradients

from ...errors import PruneproofError

Apply = Callable[[Tensor | None, Tensor], Tensor]
Transpose = Callable[[Tensor | None, Tensor, torch.Size], Tensor]


@dataclass(frozen=True)
class PairMap:
    """One linear layer met by both networks: weights (original, pruned, pruned − original), biases likewise.

    Arguments:
        apply: `apply(weight, x)`, the layer without its bias, x of shape (items, *in).
        transpose: `transpose(weight, y, in_shape)`, its transpose, y of shape (items, *out).
        terms: an upper bound on the number of products summed in any entry of either.
        weights: (W, Ŵ, Ŵ − W) in float64, or None where the layer has no weight (then W = Ŵ).
        biases: (b, b̂, b̂ − b), broadcastable to one output item, or None.
        slack: magnitudes (|W|, |Ŵ|, |Ŵ − W|) that rounding errors of the *weights themselves* are relative to.
        offset: magnitudes of the biases, in the same sense.
    """

    apply: Apply
    transpose: Transpose
    terms: int
    weights: tuple[Tensor, Tensor, Tensor] | None
    biases: tuple[Tensor, Tensor, Tensor] | None
    slack: tuple[Tensor, Tensor, Tensor] | None
    offset: tuple[Tensor, Tensor, Tensor] | None


def double(tensor: Tensor) -> Tensor:
    """The same numbers in float64 on the CPU, where sums of products obey the standard error bound."""
    return tensor.detach().to(device="cpu", dtype=torch.float64)


def pair_map(original: nn.Module, pruned: nn.Module) -> PairMap | None:
    """The `PairMap` of two corresponding modules, or None if their class is not a linear layer."""
    for kinds, build in _BUILDERS:
        if isinstance(original, kinds):
            return build(original, pruned)
    return None


def _triple(original: Tensor, pruned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return original, pruned, pruned - original


def _weighted(
    original: Any, pruned: Any, apply: Apply, transpose: Transpose, terms: int, lift: tuple[int, ...]
) -> PairMap:
    weights = _triple(double(original.weight), double(pruned.weight))
    rows = (double(m.bias) if m.bias is not None else weights[0].new_zeros(len(weights[0])) for m in (original, pruned))
    bias, other = (row.reshape(-1, *lift) for row in rows)
    biases = _triple(bias, other)
    magnitudes = cast("tuple[Tensor, Tensor, Tensor]", tuple(w.abs() for w in weights))
    offsets = cast("tuple[Tensor, Tensor, Tensor]", tuple(b.abs() for b in biases))
    return PairMap(apply, transpose, terms, weights, biases, magnitudes, offsets)


def _linear(original: Any, pruned: Any) -> PairMap:
    def transpose(weight: Tensor | None, y: Tensor, shape: torch.Size) -> Tensor:
        return y @ cast("Tensor", weight)

    terms = max(original.in_features, original.out_features)
    return _weighted(original, pruned, lambda w, x: functional.linear(x, cast("Tensor", w)), transpose, terms, ())


def _convolution(original: Any, pruned: Any) -> PairMap:
    if original.padding_mode != "zeros" or isinstance(original.padding, str):
        mode = f"padding {original.padding!r}, mode {original.padding_mode!r}"
        raise PruneproofError(
            "certify", required="convolutions padded by a number of zeros", received=mode, remedy="rewrite the layer"
        )
    settings = (original.stride, original.padding, original.dilation, original.groups)
    flat = isinstance(original, nn.Conv1d)
    forward = functional.conv1d if flat else functional.conv2d
    backward = convolution_gradients.conv1d_input if flat else convolution_gradients.conv2d_input

    def transpose(weight: Tensor | None, y: Tensor, shape: torch.Size) -> Tensor:
        return backward([len(y), *shape], cast("Tensor", weight), y, *settings)

    terms = original.weight[0].numel() * max(1, original.out_channels // original.in_channels + 1)
    lift = (1,) if flat else (1, 1)
    apply: Apply = lambda w, x: forward(x, cast("Tensor", w), None, *settings)  # noqa: E731
    return _weighted(original, pruned, apply, transpose, terms, lift)


def _batch_norm(original: Any, pruned: Any) -> PairMap:
    """Evaluation mode: a scale and a shift per channel. Their own rounding is in `slack` and `offset`."""
    folded = [_scale_and_shift(module) for module in (original, pruned)]
    lift = {nn.BatchNorm1d: (), nn.BatchNorm2d: (1, 1)}[type(original)]
    (scale, shift, size), (other, moved, bulk) = (tuple(t.reshape(-1, *lift) for t in triple) for triple in folded)
    states = zip(_state(original), _state(pruned), strict=True)
    changed = torch.tensor(float(any(not torch.equal(a, b) for a, b in states)))
    apart = (scale.abs() + other.abs()) * changed

    def apply(weight: Tensor | None, x: Tensor) -> Tensor:
        if x.ndim != 2 + len(lift):  # broadcasting would scale positions instead of channels
            required = f"{type(original).__name__} on {2 + len(lift)}-dimensional batches"
            remedy = "use BatchNorm1d on vectors, BatchNorm2d on images"
            raise PruneproofError("certify", required=required, received=tuple(x.shape), remedy=remedy)
        return x * cast("Tensor", weight)

    return PairMap(
        apply,
        lambda w, y, shape: y * cast("Tensor", w),
        16,  # roundings of x / sqrt(var + eps) · weight + bias, counted generously
        _triple(scale, other),
        _triple(shift, moved),
        (scale.abs(), other.abs(), apart),
        (size, bulk, (size + bulk) * changed),
    )


def _state(module: Any) -> list[Tensor]:
    return [module.running_mean, module.running_var, *module.parameters()]


def _scale_and_shift(module: Any) -> tuple[Tensor, Tensor, Tensor]:
    if module.running_mean is None:
        raise PruneproofError(
            "certify", required="BatchNorm with running statistics", received=repr(module), remedy="train it with them"
        )
    mean, variance = double(module.running_mean), double(module.running_var)
    weight = double(module.weight) if module.affine else torch.ones_like(mean)
    bias = double(module.bias) if module.affine else torch.zeros_like(mean)
    scale = weight / (variance + module.eps).sqrt()
    return scale, bias - mean * scale, bias.abs() + (mean * scale).abs()


def _weightless(apply: Callable[[Tensor], Tensor], terms: int) -> PairMap:
    def transpose(_: Tensor | None, y: Tensor, shape: torch.Size) -> Tensor:
        at = y.new_zeros((len(y), *shape)).requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(apply(at), at, y)[0]

    return PairMap(lambda _, x: apply(x), transpose, terms, None, None, None, None)


_WINDOW = 2**20  # entries of the largest image whose averages are bounded: 1024 × 1024


def _averages(apply: Callable[[Tensor], Tensor]) -> PairMap:
    def bounded(x: Tensor) -> Tensor:
        if x[0, 0].numel() > _WINDOW:
            required, received = f"at most {_WINDOW} entries per channel to average", tuple(x.shape)
            raise PruneproofError("certify", required=required, received=received, remedy="certify smaller inputs")
        return apply(x)

    return _weightless(bounded, _WINDOW)


def _average(original: Any, pruned: Any) -> PairMap:
    return _averages(original.forward)


def _reshape(original: Any, pruned: Any) -> PairMap:
    return _weightless(original.forward, 1)


def _identity(original: Any, pruned: Any) -> PairMap:
    return _weightless(lambda x: x, 1)


def flattening(start: int) -> PairMap:
    """Everything from dimension `start` on becomes one."""
    return _weightless(lambda x: x.flatten(start), 1)


def averaging(dimensions: tuple[int, ...], keep: bool) -> PairMap:
    """The mean over `dimensions` of an item."""
    return _averages(lambda x: x.mean(dimensions, keepdim=keep))


_BUILDERS: tuple[tuple[Any, Callable[[Any, Any], PairMap]], ...] = (
    (nn.Linear, _linear),
    ((nn.Conv1d, nn.Conv2d), _convolution),
    ((nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), _average),
    ((nn.Flatten, nn.Unflatten), _reshape),
    ((nn.Identity, nn.Dropout, nn.Dropout2d), _identity),
)
