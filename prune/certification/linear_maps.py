"""The linear layers of a pair of networks in float64, each with its transpose and the length of its dot products.

A pair step maps (a, α), the original's activation and the difference pruned − original, by
`z = W a + b` and `δ = Ŵ α + (Ŵ − W) a + (b̂ − b)`: the difference is never formed by subtracting two large numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn import grad as convolution_gradients

from pruneproof.errors import UnsupportedError

from .rounding import TINY, UNIT

Apply = Callable[[Tensor | None, Tensor], Tensor]
Transpose = Callable[[Tensor | None, Tensor, torch.Size], Tensor]


@dataclass(frozen=True)
class PairMap:
    """One linear layer of both networks: weights (original, pruned, pruned − original), biases likewise.

    Args:
        apply: `apply(weight, x)`, the layer without its bias, x of shape (items, *in).
        transpose: `transpose(weight, y, in_shape)`, its transpose, y of shape (items, *out).
        terms: An upper bound on the number of products summed in any entry of either.
        weights: (W, Ŵ, Ŵ − W) in float64, or None where the layer has no weight (then W = Ŵ).
        biases: (b, b̂, b̂ − b), broadcastable to one output item, or None.
        slack: Magnitudes (|W|, |Ŵ|, |Ŵ − W|) that rounding errors of the *weights themselves* are
            relative to.
        offset: Magnitudes of the biases, in the same sense.
    """

    apply: Apply
    transpose: Transpose
    terms: int
    weights: tuple[Tensor, Tensor, Tensor] | None
    biases: tuple[Tensor, Tensor, Tensor] | None
    slack: tuple[Tensor, Tensor, Tensor] | None
    offset: tuple[Tensor, Tensor, Tensor] | None


def as_float64(tensor: Tensor) -> Tensor:
    """The same numbers in float64 on the CPU, where sums of products obey the standard error bound."""
    return tensor.detach().to(device="cpu", dtype=torch.float64)


def pair_map(original: nn.Module, pruned: nn.Module) -> PairMap | None:
    """The `PairMap` of two corresponding modules, or None if their class is not a linear layer."""
    for kinds, build in _BUILDERS:
        if isinstance(original, kinds):
            return build(original, pruned)
    return None


def require_dimensions(x: Tensor, number: int, layer: str) -> None:
    """Refuse a batch of items of another kind than the layer is made for, which torch may read in another way."""
    if x.ndim != number:
        raise UnsupportedError(
            f"certify: {layer} works on {number}-dimensional batches, got one of shape {tuple(x.shape)}. "
            "Add the missing dimension, or use the layer for such items."
        )


def _triple(original: Tensor, pruned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return original, pruned, pruned - original


def _weighted(
    original: Any, pruned: Any, apply: Apply, transpose: Transpose, terms: int, lift: tuple[int, ...]
) -> PairMap:
    weights = _triple(as_float64(original.weight), as_float64(pruned.weight))
    rows = (
        as_float64(m.bias) if m.bias is not None else weights[0].new_zeros(len(weights[0])) for m in (original, pruned)
    )
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
    pads = 0 if padded_before(original) else original.padding
    settings = (original.stride, pads, original.dilation, original.groups)
    flat = isinstance(original, nn.Conv1d)
    forward = functional.conv1d if flat else functional.conv2d
    backward = convolution_gradients.conv1d_input if flat else convolution_gradients.conv2d_input

    def transpose(weight: Tensor | None, y: Tensor, shape: torch.Size) -> Tensor:
        return backward([len(y), *shape], cast("Tensor", weight), y, *settings)

    terms = original.weight[0].numel() * max(1, original.out_channels // original.in_channels + 1)
    lift = (1,) if flat else (1, 1)

    def apply(weight: Tensor | None, x: Tensor) -> Tensor:
        require_dimensions(x, 2 + len(lift), type(original).__name__)  # torch would take the batch for channels
        return forward(x, cast("Tensor", weight), None, *settings)

    return _weighted(original, pruned, apply, transpose, terms, lift)


def padded_before(layer: Any) -> bool:
    """Whether a convolution pads in a step of its own: with anything but a number of zeros."""
    return layer.padding_mode != "zeros" or isinstance(layer.padding, str)


def convolution_padding(layer: Any) -> PairMap:
    """The padding of such a convolution."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return padding(layer._reversed_padding_repeated_twice, mode)


def padding(sizes: Sequence[int], mode: str) -> PairMap:
    """Images or rows enlarged as `torch.nn.functional.pad` does, by zeros or by entries of their own."""
    terms = prod(1 + abs(before) + abs(after) for before, after in zip(sizes[::2], sizes[1::2], strict=True))

    def apply(x: Tensor) -> Tensor:
        require_dimensions(x, 2 + len(sizes) // 2, "padding")
        return functional.pad(x, list(sizes), mode)

    return _weightless(apply, terms)


_PADS = {"Reflection": "reflect", "Replication": "replicate", "Circular": "circular", "Zero": "constant"}


def _pad(original: Any, pruned: Any) -> PairMap:
    return padding(original.padding, _PADS[type(original).__name__.partition("Pad")[0]])


def _batch_norm(original: Any, pruned: Any) -> PairMap:
    """Evaluation mode: a scale and a shift per channel. Their own rounding is in `slack` and `offset`."""
    folded = [_scale_and_shift(module) for module in (original, pruned)]
    lift = (1, 1) if isinstance(original, nn.BatchNorm2d) else ()
    (scale, shift, reach, size), (other, moved, wide, bulk) = (
        tuple(t.reshape(-1, *lift) for t in parts) for parts in folded
    )
    states = zip(_state(original), _state(pruned), strict=True)
    changed = torch.tensor(float(any(not torch.equal(a, b) for a, b in states)))

    def apply(weight: Tensor | None, x: Tensor) -> Tensor:
        require_dimensions(x, 2 + len(lift), type(original).__name__)  # broadcasting would scale positions
        return x * cast("Tensor", weight)

    return PairMap(
        apply,
        lambda w, y, shape: y * cast("Tensor", w),
        16,  # roundings of x / sqrt(var + eps) · weight + bias, counted generously
        _triple(scale, other),
        _triple(shift, moved),
        (reach, wide, (reach + wide) * changed),
        (size, bulk, (size + bulk) * changed),
    )


def _state(module: Any) -> list[Tensor]:
    return [module.running_mean, module.running_var, *([module.weight, module.bias] if module.affine else [])]


def _scale_and_shift(module: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scale and shift of every channel, and the magnitudes that their rounding errors are relative to."""
    if module.running_mean is None:
        raise UnsupportedError(
            f"certify: BatchNorm must have running statistics, got {module!r}. Train it with track_running_stats=True."
        )
    mean, variance = as_float64(module.running_mean), as_float64(module.running_var)
    weight = as_float64(module.weight) if module.affine else torch.ones_like(mean)
    bias = as_float64(module.bias) if module.affine else torch.zeros_like(mean)
    scale = weight / (variance + module.eps).sqrt()
    underflow = (TINY / UNIT) * (weight != 0).to(scale.dtype)  # so that a rounding of it is more than one of 0
    reach = scale.abs() + underflow
    return scale, bias - mean * scale, reach, bias.abs() + mean.abs() * reach + underflow


def _weightless(apply: Callable[[Tensor], Tensor], terms: int) -> PairMap:
    def transpose(_: Tensor | None, y: Tensor, shape: torch.Size) -> Tensor:
        at = y.new_zeros((len(y), *shape)).requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(apply(at), at, y)[0]

    return PairMap(lambda _, x: apply(x), transpose, terms, None, None, None, None)


_WINDOW = 2**20  # entries of the largest image whose averages are bounded: 1024 × 1024


def _averages(apply: Callable[[Tensor], Tensor], number: int, layer: str) -> PairMap:
    def bounded(x: Tensor) -> Tensor:
        require_dimensions(x, number, layer)
        if x[0, 0].numel() > _WINDOW:
            raise UnsupportedError(
                f"certify: at most {_WINDOW} entries per channel can be averaged, got items of shape "
                f"{tuple(x.shape[1:])}. Certify smaller inputs."
            )
        return apply(x)

    return _weightless(bounded, _WINDOW)


def _average(original: Any, pruned: Any) -> PairMap:
    divisor, name = getattr(original, "divisor_override", None), type(original).__name__
    if divisor is not None and divisor <= 0:  # ends of intervals would change places
        raise UnsupportedError(
            f"certify: {name} must have a positive divisor, got {divisor}. Put the sign into a weight."
        )
    flat = isinstance(original, (nn.AvgPool1d, nn.AdaptiveAvgPool1d))
    return _averages(original.forward, 3 if flat else 4, name)


def _reshape(original: Any, pruned: Any) -> PairMap:
    def apply(x: Tensor) -> Tensor:
        image = original.forward(x)
        if len(image) != len(x):
            kind = type(original).__name__
            raise UnsupportedError(f"certify: {kind} over the batch mixes its items. Start at dimension 1.")
        return image

    return _weightless(apply, 1)


def _identity(original: Any, pruned: Any) -> PairMap:
    return _weightless(lambda x: x, 1)


def identity() -> PairMap:
    """The map that changes nothing."""
    return _weightless(lambda x: x, 1)


def scaling(scale: Tensor, shift: Tensor) -> PairMap:
    """x ↦ scale·x + shift entry by entry, with constants that both networks share and that do not span the batch."""
    scale, shift = torch.broadcast_tensors(scale, shift)

    def apply(weight: Tensor | None, x: Tensor) -> Tensor:
        factor = cast("Tensor", weight)
        if factor.ndim > x.ndim or (factor.ndim == x.ndim and factor.shape[0] != 1):
            raise UnsupportedError(
                f"certify: a constant of shape {tuple(factor.shape)} meets items of shape {tuple(x.shape[1:])} across "
                "the batch. Give it the shape of one item."
            )
        image = x * factor
        if image.shape != x.shape:
            raise UnsupportedError(
                f"certify: a constant of shape {tuple(factor.shape)} widens items of shape {tuple(x.shape[1:])}. "
                "Give it the shape of one item."
            )
        return image

    sizes, offsets = scale.abs(), shift.abs()
    none = torch.zeros_like(scale)
    return PairMap(
        apply,
        lambda weight, y, shape: y * cast("Tensor", weight),
        16,  # roundings of 1/constant, of the product and of the sum, counted generously
        (scale, scale, none),
        (shift, shift, none),
        (sizes, sizes, none),
        (offsets, offsets, none),
    )


def reshaping(sizes: tuple[int, ...], *, exact: bool) -> PairMap:
    """Items of another shape; `exact` where the number of items was left open and must stay the batch's."""

    def apply(x: Tensor) -> Tensor:
        image = x.reshape(-1, *sizes) if exact else x.reshape(len(x), *sizes)
        if len(image) != len(x):
            raise UnsupportedError(
                f"certify: a reshape to {(-1, *sizes)} mixes the {len(x)} items of shape {tuple(x.shape[1:])}. "
                "Reshape with x.flatten(1) or x.view(x.size(0), …)."
            )
        return image

    return _weightless(apply, 1)


def lifting(dimension: int) -> PairMap:
    """A dimension of size one is put in."""
    return _weightless(lambda x: x.unsqueeze(dimension), 1)


def lowering(dimension: int) -> PairMap:
    """A dimension of size one is taken out."""
    return _weightless(lambda x: x.squeeze(dimension), 1)


def flattening(start: int) -> PairMap:
    """Everything from dimension `start` on becomes one."""
    return _weightless(lambda x: x.flatten(start), 1)


def averaging(dimensions: tuple[int, ...]) -> PairMap:
    """The mean over `dimensions` of an item that is an image."""
    return _averages(lambda x: x.mean(dimensions), 4, "mean")


_BUILDERS: tuple[tuple[Any, Callable[[Any, Any], PairMap]], ...] = (
    (nn.Linear, _linear),
    ((nn.Conv1d, nn.Conv2d), _convolution),
    ((nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), _average),
    ((nn.ReflectionPad1d, nn.ReplicationPad1d, nn.CircularPad1d, nn.ZeroPad1d), _pad),
    ((nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d, nn.ZeroPad2d), _pad),
    ((nn.Flatten, nn.Unflatten), _reshape),
    ((nn.Identity, nn.Dropout, nn.Dropout2d), _identity),
)
