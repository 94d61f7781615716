"""Interval bounds (IBP) of the original z, the pruned ẑ and the difference δ = ẑ − z at every step (N2′).

Boxes travel forward through the pair: three intervals a step, intersected with what ẑ = z + δ says of
each from the other two. Cost: three passes of the network with |W| beside W.

The traced steps are also compared with the network itself, run at the inputs (`check_trace`): tracing
refuses what it cannot represent, and a trace that computes something else for any other reason is
refused before a bound is drawn from it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.prune.models.evaluation import explained

from .graph import Add, Concatenate, Lipschitz, LogSoftmax, MaxPool, Rectifier, Step
from .linear_maps import PairMap, require_dimensions
from .rounding import TINY, centre, down, gamma, up


@dataclass(frozen=True)
class TensorInterval:
    """Two tensors (batch, *item) with low ≤ value ≤ high in exact arithmetic."""

    low: Tensor
    high: Tensor

    def __and__(self, other: "TensorInterval") -> "TensorInterval":
        return TensorInterval(torch.fmax(self.low, other.low), torch.fmin(self.high, other.high))

    def __add__(self, other: "TensorInterval") -> "TensorInterval":
        return TensorInterval(down(self.low + other.low), up(self.high + other.high))

    def __sub__(self, other: "TensorInterval") -> "TensorInterval":
        return TensorInterval(down(self.low - other.high), up(self.high - other.low))

    def of(self, images: Tensor) -> "TensorInterval":
        """Those of some items of the batch."""
        return TensorInterval(self.low[images], self.high[images])

    @cached_property
    def magnitude(self) -> Tensor:
        """The largest absolute value inside."""
        return torch.maximum(self.high, -self.low)

    @cached_property
    def total(self) -> Tensor:
        """The sum of an item's magnitudes, (batch, 1)."""
        return self.magnitude.flatten(1).sum(1, keepdim=True)


@dataclass(frozen=True)
class Enclosure:
    """Intervals of the original's value, the pruned network's, and their difference at one step."""

    original: TensorInterval
    pruned: TensorInterval
    difference: TensorInterval
    known: dict[Any, Tensor] = field(default_factory=dict[Any, Tensor], init=False, repr=False)

    def once(self, name: Any, compute: Callable[[], Tensor]) -> Tensor:
        """What is computed of the box, remembered under a name."""
        if name not in self.known:
            self.known[name] = compute()
        return self.known[name]

    def of(self, images: Tensor) -> "Enclosure":
        """Those of some items of the batch."""
        return Enclosure(self.original.of(images), self.pruned.of(images), self.difference.of(images))

    def tightened(self) -> "Enclosure":
        """Intersect each interval with what the other two imply."""
        original = self.original & (self.pruned - self.difference)
        pruned = self.pruned & (self.original + self.difference)
        return Enclosure(original, pruned, self.difference & (self.pruned - self.original))


def rectified_difference(z: Tensor, change: Tensor) -> Tensor:
    """max(z + change, 0) − max(z, 0) without cancellation."""
    return torch.where(z >= 0, torch.maximum(change, -z), (z + change).clamp(min=0))


def input_enclosure(inputs: Tensor, radius: float) -> Enclosure:
    """The box around each input; both networks read the same point of it."""
    box = TensorInterval(down(inputs - radius), up(inputs + radius)) if radius else TensorInterval(inputs, inputs)
    zero = torch.zeros_like(inputs)
    return Enclosure(box, box, TensorInterval(zero, zero))


def enclose_points(steps: list[Step], inputs: Tensor) -> Enclosure:
    """The outputs at the inputs themselves, rounding included."""
    boxes = [input_enclosure(inputs, 0.0)]
    for step in steps[1:]:
        boxes.append(propagate(step, boxes))
    return boxes[-1]


def propagate(step: Step, enclosures: list[Enclosure]) -> Enclosure:
    """The enclosure after one step from those of the steps it reads."""
    parents = [enclosures[parent] for parent in step.parents]
    match step.operation:
        case PairMap():
            return _through_map(step.operation, parents[0]).tightened()
        case Rectifier():
            return _through_rectifier(step.operation.slope, parents[0]).tightened()
        case Lipschitz():
            return _through_lipschitz(step.operation, parents[0]).tightened()
        case MaxPool():
            return _through_max_pool(step.operation, parents[0]).tightened()
        case Add():
            one, two = parents
            if one.original.low.shape != two.original.low.shape:
                shapes = (tuple(part.original.low.shape[1:]) for part in parents)
                raise ValueError(f"added items have shapes {' and '.join(map(str, shapes))}")
            return Enclosure(one.original + two.original, one.pruned + two.pruned, one.difference + two.difference)
        case Concatenate():
            sides = [[getattr(box, side) for box in parents] for side in ("original", "pruned", "difference")]
            return Enclosure(*(_side_by_side(parts, step.operation.dimension) for parts in sides))
        case LogSoftmax():
            return _through_log_softmax(parents[0]).tightened()
        case None:
            raise AssertionError("the input has no operation")


def _side_by_side(parts: list[TensorInterval], dimension: int) -> TensorInterval:
    low, high = ([getattr(part, end) for part in parts] for end in ("low", "high"))
    return TensorInterval(torch.cat(low, dimension), torch.cat(high, dimension))


def _through_log_softmax(box: Enclosure) -> Enclosure:
    """z_i − log Σ exp z_j; the logarithm moves by no less than the least and no more than the largest change of a z."""
    require_dimensions(box.original.low, 2, "LogSoftmax")

    def image(side: TensorInterval) -> TensorInterval:
        least, most = torch.logsumexp(side.low, 1, keepdim=True), torch.logsumexp(side.high, 1, keepdim=True)
        low, high = side.low - most, side.high - least
        return TensorInterval(_below(low, most), _above(high, least))

    change = box.difference
    moved = TensorInterval(
        down(change.low - change.high.amax(1, keepdim=True)), up(change.high - change.low.amin(1, keepdim=True))
    )
    return Enclosure(image(box.original), image(box.pruned), moved)


def _below(value: Tensor, logarithm: Tensor) -> Tensor:
    return down(value - LIBRARY_ERROR * (1 + logarithm.abs() + value.abs()))


def _above(value: Tensor, logarithm: Tensor) -> Tensor:
    return up(value + LIBRARY_ERROR * (1 + logarithm.abs() + value.abs()))


def _through_map(layer: PairMap, box: Enclosure) -> Enclosure:
    middle, radius = centre(box.original.low, box.original.high)
    other, spread = centre(box.pruned.low, box.pruned.high)
    shift, width = centre(box.difference.low, box.difference.high)
    value = _affine(layer, 0, middle, radius)
    pruned = _affine(layer, 1, other, spread)
    if layer.weights is None:
        return Enclosure(_interval(*value), _interval(*pruned), _interval(*_affine(layer, 1, shift, width, bias=False)))
    carried, fresh = _affine(layer, 1, shift, width, bias=False), _affine(layer, 2, middle, radius)
    return Enclosure(_interval(*value), _interval(*pruned), _interval(carried[0] + fresh[0], carried[1] + fresh[1]))


def _affine(layer: PairMap, which: int, middle: Tensor, radius: Tensor, *, bias: bool = True) -> tuple[Tensor, Tensor]:
    """Middle and outward radius of the image of a box under the weight numbered `which`."""
    weight = None if layer.weights is None else layer.weights[which]
    size = None if layer.slack is None else layer.slack[which]
    image = layer.apply(weight, middle)
    reach = layer.apply(size, radius)
    extent = middle.abs() + radius
    scale = layer.apply(size, extent)
    touched = _touched(layer, size, extent, scale)
    if bias and layer.biases is not None and layer.offset is not None:
        image, scale = image + layer.biases[which], scale + layer.offset[which]
    slack = gamma(layer.terms) * scale + layer.terms * TINY * (touched | (scale > 0)).to(scale.dtype)
    return image, reach + slack


_UNDERFLOW = 2.0**-1000  # products of at least this size are no nearer to 0 than a float is, averages included


def _touched(layer: PairMap, size: Tensor | None, extent: Tensor, scale: Tensor) -> Tensor:
    """Where products of numbers other than zero are summed, also if all of them underflow: only there is it charged."""
    touched = scale > 0
    if bool(touched.all()) or (least := _smallest(extent)) == math.inf:
        return touched
    if least * (1 / _AVERAGED if size is None else _smallest(size)) >= _UNDERFLOW:
        return touched
    return layer.apply(None if size is None else (size > 0).to(size.dtype), (extent > 0).to(extent.dtype)) > 0


_AVERAGED = 2.0**64  # more than any window has entries, or torch takes for a divisor


def _smallest(magnitudes: Tensor) -> float:
    """The smallest magnitude other than zero; inf if there is none."""
    return float(torch.where(magnitudes > 0, magnitudes, torch.inf).amin())


def _interval(middle: Tensor, radius: Tensor) -> TensorInterval:
    """Overflow (inf − inf) means that nothing is known; the radius of an affine image pays for these roundings too."""
    low, high = middle - radius, middle + radius
    return TensorInterval(torch.where(low.isnan(), -torch.inf, low), torch.where(high.isnan(), torch.inf, high))


def _through_rectifier(slope: float, box: Enclosure) -> Enclosure:
    def image(interval: TensorInterval) -> TensorInterval:
        return TensorInterval(*(torch.where(x >= 0, x, slope * x) for x in (interval.low, interval.high)))

    z, change = box.original, box.difference
    highest = rectified_difference(torch.where(change.high >= 0, z.high, z.low), change.high)
    lowest = rectified_difference(torch.where(change.low >= 0, z.low, z.high), change.low)
    if slope:
        highest = up(slope * change.high + (1 - slope) * highest)
        lowest = down(slope * change.low + (1 - slope) * lowest)
        original, pruned = (TensorInterval(down(i.low), up(i.high)) for i in (image(z), image(box.pruned)))
        return Enclosure(original, pruned, TensorInterval(lowest, highest))
    exact = (lowest == change.low) & (highest == change.high)  # nothing was rounded
    lowest, highest = (
        torch.where(exact | (lowest == 0), lowest, down(lowest)),
        torch.where(exact | (highest == 0), highest, up(highest)),
    )
    return Enclosure(image(z), image(box.pruned), TensorInterval(lowest, highest))


def _through_lipschitz(activation: Lipschitz, box: Enclosure) -> Enclosure:
    """Monotone: the ends map to the ends. Otherwise only |σ(z) − σ(c)| ≤ L|z − c| is used."""
    change = box.difference
    fall, rise = (torch.where(x > 0, up(activation.constant * x), 0.0) for x in (-change.low, change.high))
    if activation.monotone:
        return Enclosure(
            _monotone(activation, box.original), _monotone(activation, box.pruned), TensorInterval(-fall, rise)
        )
    reach = torch.maximum(fall, rise)
    low, high = (torch.stack([getattr(side, end) for side in (box.original, box.pruned)]) for end in ("low", "high"))
    _probe(activation, TensorInterval(low.amin(0), high.amax(0)))
    return Enclosure(_around(activation, box.original), _around(activation, box.pruned), TensorInterval(-reach, reach))


PROBES = 9  # points between the ends of a box at which a declared constant is tried
LIBRARY_ERROR = 2.0**-40  # of exp, tanh …: thousands of units in the last place, where the libraries promise a few


def _probe(activation: Lipschitz, interval: TensorInterval) -> None:
    """Refuse a declared constant that some points of the box refute, and an activation that is not elementwise."""
    low, high = interval.low, interval.high
    if not bool((low.isfinite() & high.isfinite()).all()):
        return  # nothing is known there, and nothing is bounded
    points = [low + (high - low) * share for share in torch.linspace(0, 1, PROBES, dtype=torch.float64)]
    images = [activation.function(point) for point in points]
    name = activation.name
    if any(image.shape != low.shape for image in images):
        raise UnsupportedError(f"certify: {name} changes the shape of its input, so it is no elementwise activation.")
    for (point, image), (other, moved) in pairwise(zip(points, images, strict=True)):
        allowed = activation.constant * (other - point).abs() * (1 + LIBRARY_ERROR)
        rounding = LIBRARY_ERROR * (1 + image.abs() + moved.abs())
        if bool(((moved - image).abs() > allowed + rounding).any()):
            steepest = float(((moved - image).abs() / (other - point).abs()).nan_to_num(0.0).amax())
            raise InvalidValueError(
                f"certify: lipschitz declares a slope of at most {activation.constant} for {name}, but between two "
                f"points of the region it is {steepest:.3g}. Declare a constant that holds everywhere."
            )
    alone = points[0].flatten(1).clone()
    alone[:, 0] = points[-1].flatten(1)[:, 0]
    others = activation.function(alone.reshape_as(low)).flatten(1)[:, 1:]
    if not torch.equal(others, images[0].flatten(1)[:, 1:]):
        raise UnsupportedError(f"certify: in {name} one entry moves the others, so it is no elementwise activation.")


def _monotone(activation: Lipschitz, interval: TensorInterval) -> TensorInterval:
    low, high = activation.function(interval.low), activation.function(interval.high)
    return TensorInterval(low - LIBRARY_ERROR * (1 + low.abs()), high + LIBRARY_ERROR * (1 + high.abs()))


def _around(activation: Lipschitz, interval: TensorInterval) -> TensorInterval:
    middle, radius = centre(interval.low, interval.high)
    image = activation.function(middle)
    reach = up(activation.constant * radius) + LIBRARY_ERROR * (1 + image.abs())
    return TensorInterval(image - reach, image + reach)


def _through_max_pool(pool: MaxPool, box: Enclosure) -> Enclosure:
    require_dimensions(box.original.low, 4, "MaxPool2d")

    def largest(x: Tensor) -> Tensor:
        return functional.max_pool2d(x, *pool.settings)

    original, pruned = (TensorInterval(largest(i.low), largest(i.high)) for i in (box.original, box.pruned))
    change = box.difference
    return Enclosure(original, pruned, TensorInterval(-largest(-change.low), largest(change.high)))


def check_trace(model: nn.Module, inputs: Tensor, outputs: TensorInterval, *, smooth: bool) -> None:
    """Refuse a reading whose outputs are not those of the network.

    Args:
        model: As `float64_copy` returns it.
        inputs: (batch, *item) float64.
        outputs: (batch, outputs), what the reading says of them, rounding included.
        smooth: Whether activations of the C library are among the steps.

    The network rounds too, by at most what the interval's width allows for and what activations of the C library may
    err: the distance from the interval's middle may be its whole width and, where there are such, `LIBRARY_ERROR` of
    the size. Where overflow leaves nothing known, nothing is compared.

    Raises:
        UnsupportedError: It is more.
    """
    with torch.no_grad(), explained("certify", "the network", "Call its float64 copy on these inputs."):
        actual = model(inputs.clone())
    if not isinstance(actual, Tensor) or actual.shape != outputs.low.shape:
        shown = f"a {type(actual).__name__} of shape {tuple(getattr(actual, 'shape', ()))}"
        raise UnsupportedError(
            f"certify: the network does not return what its trace says: {shown}, not {tuple(outputs.low.shape)}. "
            "Return one tensor (batch, outputs)."
        )
    middle, width = 0.5 * (outputs.low + outputs.high), outputs.high - outputs.low
    apart = (actual - middle).abs() - width - (LIBRARY_ERROR * (1 + middle.abs()) if smooth else 0.0)
    if bool(((apart > 0) | (actual.isnan() & width.isfinite())).any()):
        raise UnsupportedError(
            f"certify: the network does not compute what its trace says: an output is {float(apart.max()):.3g} away. "
            "Look for values overwritten, own versions of known layers, too small a Lipschitz constant."
        )
