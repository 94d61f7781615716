"""Certify, for every point of a ball around each input, how far pruned and original outputs can differ.

At one known point nobody needs a bound: run both networks and subtract (that is what radius 0 does,
plus rounding). Over a region the *difference* is propagated through the pair (N2′ in
theory/theorems/network/proof.md): as intervals (IBP), then by linear relaxation with back-substitution
(CROWN). Statements are about exact arithmetic on the stored weights; all rounding is charged. Cost:
`ibp` three forward passes; `crown` one transposed pass or two per unit of every layer before a nonlinearity,
where a rectifier reads it only for units whose sign intervals leave open.
Arguments are checked before any work.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruneproof.checks import require_choice, require_integer
from pruneproof.errors import InvalidValueError, UnsupportedError, described, speaking_for

from .back_substitution import (
    DIFFERENCE,
    ORIGINAL,
    PRUNED,
    Ball,
    Functional,
    lower_bounds,
    unit_bounds,
)
from .graph import Lipschitz, LogSoftmax, MaxPool, Rectifier, Step, fitting, float64_copy, trace_pair
from .interval_bounds import Enclosure, TensorInterval, check_trace, enclose_points, input_enclosure, propagate
from .linear_maps import as_float64


def check_arguments(
    inputs: Tensor,
    radius: float,
    norm: str,
    method: str,
    max_units: int,
    batch: int,
    lipschitz: Mapping[type[nn.Module], float],
) -> None:
    """Refuse values that `certify` has no meaning for."""
    require_choice("certify", "the norm", norm, ("inf", "2"))
    require_choice("certify", "the method", method, ("ibp", "crown"))
    require_integer("certify", "max_units", max_units, least=0)
    require_integer("certify", "batch", batch, least=1)
    if not _non_negative(radius):
        raise _refusal("a finite radius ≥ 0", radius, "pass e.g. 0.05")
    for layer, constant in lipschitz.items():
        if not _non_negative(constant):
            required = f"a finite Lipschitz constant ≥ 0 of {getattr(layer, '__name__', layer)}"
            raise _refusal(required, constant, "pass e.g. 1.13 for nn.GELU")
    if not isinstance(inputs, Tensor) or inputs.ndim < 2 or not len(inputs) or not inputs.is_floating_point():
        tensor = isinstance(inputs, Tensor)
        shown = f"{inputs.dtype} of shape {tuple(inputs.shape)}" if tensor else type(inputs).__name__
        remedy = "add a batch dimension" if tensor and inputs.ndim < 2 else "pass float inputs of at least one example"
        raise _refusal("floating-point inputs (batch, *item), batch ≥ 1", shown, remedy)
    if inputs.layout != torch.strided:
        raise InvalidValueError(
            f"certify: the inputs must be a dense tensor, got {inputs.layout}. Call to_dense() first."
        )
    if not inputs.isfinite().all():
        raise _refusal("finite inputs", f"{int((~inputs.isfinite()).sum())} that are not", "drop those examples")


def check_dtypes(model: nn.Module) -> None:
    """Refuse tensors that a copy in float64 would not hold as they are."""
    if not isinstance(model, nn.Module):
        return  # the copy refuses it
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and (tensor.is_complex() or tensor.layout != torch.strided):
            kind = tensor.dtype if tensor.is_complex() else tensor.layout
            raise UnsupportedError(
                f"certify: {name} is {kind}; only dense real weights are bounded. Convert the network."
            )


def check_weights(model: nn.Module) -> None:
    """Refuse a network with a tensor of its state that is not finite."""
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and not tensor.isfinite().all():
            raise _refusal("finite weights", f"NaN or inf in {name}", "repair the network first")


def _non_negative(value: object) -> bool:
    """An integer too large for a float is no number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def _refusal(required: str, received: object, remedy: str) -> InvalidValueError:
    shown = received if isinstance(received, str) else described(received)
    remedy = remedy[:1].upper() + remedy[1:]
    return InvalidValueError(f"certify needs {required}, got {shown}. {remedy}.")


Pair = tuple[nn.Module, nn.Module]
Columns = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class RegionCertificate:
    """What holds at every point of the ball around each input.

    Args:
        error_bound: (batch, outputs) float64, at least |f̂ − f| anywhere in the ball.
        certified: (batch,) bool, whether both networks provably predict class `predicted` anywhere
            in it.
        predicted: (batch,) int64, the original's class at the centre.
        margin: (batch,) float64, at most the original's smallest lead of that class over another in
            the ball.
        pruned_margin: (batch,) float64, the same of the pruned network.
        radius: Of the ball, in input units.
        norm: `"inf"` or `"2"`.
        method: `"ibp"` or `"crown"`.
        assumptions: What was declared and not proved, such as the slope of an activation; the
            statement is conditional on it.

    Example:
        >>> from torch import nn
        >>> layer = nn.Linear(2, 2)
        >>> bool((certify(layer, layer, torch.ones(1, 2), radius=0.1).error_bound < 1e-6).all())
        True
    """

    error_bound: Tensor
    certified: Tensor
    predicted: Tensor
    margin: Tensor
    pruned_margin: Tensor
    radius: float
    norm: str
    method: str
    assumptions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"RegionCertificate({int(self.certified.sum())} of {len(self.certified)} balls of radius {self.radius} "
            f"(norm {self.norm}) certified by {self.method}; median error bound {self.error_bound.median():.4g})"
        )


def certify(
    original: nn.Module,
    pruned: nn.Module,
    inputs: Tensor,
    *,
    radius: float = 0.0,
    norm: str = "inf",
    method: str = "crown",
    max_units: int = 2048,
    lipschitz: Mapping[type[nn.Module], float] | None = None,
    batch: int = 16,
) -> RegionCertificate:
    """Bound |pruned − original| over the ball of each input, and say where both provably predict one class.

    Args:
        original: The network; linear, conv, pooling, BatchNorm (evaluation statistics), flatten,
            additions and 1-Lipschitz activations, in any `torch.fx`-traceable arrangement, with
            (batch, outputs) output.
        pruned: A network of the same architecture with any other weights.
        inputs: (batch, *item), finite.
        radius: Of the closed ball, ≥ 0, in input units.
        norm: `"inf"` or `"2"`.
        method: `"crown"` (tighter) or `"ibp"` (intervals only, for very large networks).
        max_units: "crown" bounds layers of at most this many units by back-substitution; wider ones
            keep intervals.
        lipschitz: Module class → Lipschitz constant, for elementwise activations not known to be
            1-Lipschitz.
        batch: How many inputs are treated at a time; memory grows with it, beside a fixed workspace.

    Returns:
        Error bounds, margins and certified predictions. Statements are about evaluation mode; a
        parametrised weight is the one that float64 computes.

    Raises:
        InvalidValueError: Different architectures, non-finite inputs or weights, or a radius that
            is not a non-negative number.
        UnsupportedError: Layers without a known bound (named), hooks, or networks that do not
            compute what their trace says.

    Source: N2′ in theory/theorems/network/proof.md.

    Example:
        >>> net, copy = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        >>> _ = [p.data.copy_(torch.tensor(v)) for p, v in zip(net.parameters(), ([[1., 0.], [.25, 1.]], [0., 0.]))]
        >>> _ = [p.data.copy_(torch.tensor(v)) for p, v in zip(copy.parameters(), ([[1., 0.], [0., 1.]], [0., 0.]))]
        >>> record = certify(net, copy, torch.tensor([[2.0, 0.0]]), radius=0.5)
        >>> [round(bound, 6) for bound in record.error_bound[0].tolist()], record.certified.tolist()
        ([0.0, 0.625], [True])
    """
    with speaking_for("certify"):
        parts = certify_batches(
            original,
            pruned,
            inputs,
            radius=radius,
            norm=norm,
            method=method,
            max_units=max_units,
            lipschitz=lipschitz,
            batch=batch,
        )
        return joined(list(parts))


def certify_batches(
    original: nn.Module,
    pruned: nn.Module,
    inputs: Tensor,
    *,
    radius: float = 0.0,
    norm: str = "inf",
    method: str = "crown",
    max_units: int = 2048,
    lipschitz: Mapping[type[nn.Module], float] | None = None,
    batch: int = 16,
) -> Iterator[RegionCertificate]:
    """The certificates of `batch` inputs after the other, in order: what was finished is kept if one stops early.

    Args:
        original, pruned, inputs, radius, norm, method, max_units, lipschitz, batch: As for `certify`.

    Yields:
        The certificate of the next inputs. Everything is checked before the first.

    Raises:
        PruneproofError: As for `certify`.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> parts = certify_batches(layer, layer, torch.ones(5, 2), radius=0.1, batch=2)
        >>> [len(part.certified) for part in parts]
        [2, 2, 1]
    """
    constants = lipschitz or {}
    with speaking_for("certify_batches"):
        check_arguments(inputs, radius, norm, method, max_units, batch, constants)
        with torch.inference_mode(False), torch.no_grad():  # transposes are found by differentiation
            for model in (original, pruned):
                check_dtypes(model)
            networks = float64_copy(original), float64_copy(pruned)
            for model in networks:
                check_weights(model)
            steps, points = trace_pair(*networks, constants, inputs.shape[1:]), as_float64(inputs).clone()
            _check_items(steps, points)
        assumed = _assumptions(steps)
        for part in points.split(batch):
            with torch.inference_mode(False), torch.no_grad():
                columns = _certify(steps, networks, Ball(part, float(radius), norm), method, max_units)
            yield RegionCertificate(*columns, float(radius), norm, method, assumed)


def joined(parts: Sequence[RegionCertificate]) -> RegionCertificate:
    """The certificate of all inputs from those of consecutive batches."""
    columns = ("error_bound", "certified", "predicted", "margin", "pruned_margin")
    return replace(parts[0], **{name: torch.cat([getattr(part, name) for part in parts]) for name in columns})


def _assumptions(steps: list[Step]) -> tuple[str, ...]:
    """The declared slopes that the bound rests on."""
    declared = {
        (operation.name, operation.constant)
        for operation in (step.operation for step in steps)
        if isinstance(operation, Lipschitz) and not operation.monotone
    }
    return tuple(
        f"assumes slope ≤ {constant:g} for {name}: declared, not proved" for name, constant in sorted(declared)
    )


def _check_items(steps: list[Step], points: Tensor) -> None:
    """Run one item through the steps, and refuse inputs of another shape than the network reads."""
    boxes = [input_enclosure(points[:1], 0.0)]
    for step in steps[1:]:
        with fitting(step, points):
            boxes.append(propagate(step, boxes))
    if boxes[-1].original.low.ndim != 2:
        shape = tuple(boxes[-1].original.low.shape)
        raise UnsupportedError(f"certify: the output must have shape (batch, outputs), got {shape}. Flatten it.")


def _certify(steps: list[Step], networks: Pair, ball: Ball, method: str, max_units: int) -> Columns:
    at_centre = enclose_points(steps, ball.inputs)
    smooth = any(isinstance(step.operation, Lipschitz | LogSoftmax) for step in steps)
    for network, side in zip(networks, (at_centre.original, at_centre.pruned), strict=True):
        check_trace(network, ball.inputs, side, smooth=smooth)
    boxes = _box_bounds(steps, ball, max_units if method == "crown" and ball.radius else 0)
    last, outputs = len(steps) - 1, boxes[-1]
    centre = 0.5 * (at_centre.original.low + at_centre.original.high)
    predicted = centre.argmax(1)
    rows = _leads(predicted, centre.shape[1])
    others = torch.arange(centre.shape[1]) != predicted.unsqueeze(1)
    margins = [_interval_margin(side, predicted) for side in (outputs.original, outputs.pruned)]
    if method == "crown":
        both = torch.ones_like(_ends(outputs.difference), dtype=torch.bool)
        difference = _refined(outputs.difference, both, steps, boxes, last, DIFFERENCE, ball)
        outputs = Enclosure(outputs.original, outputs.pruned, difference).tightened()
        own = [_lower_bounds(steps, boxes, last, rows, None, network, ball) for network in (ORIGINAL, PRUNED)]
        joint = _lower_bounds(steps, boxes, last, rows, rows, ORIGINAL, ball)
        margins = [torch.fmax(margins[0], own[0]), torch.fmax(margins[1], torch.fmax(own[1], joint))]
    original, pruned = (torch.where(others, margin, torch.inf).amin(1) for margin in margins)
    bound = torch.nan_to_num(outputs.difference.magnitude, torch.inf, torch.inf) + 0.0  # which makes -0 zero
    return bound, (original > 0) & (pruned > 0), predicted, original, pruned


def _leads(predicted: Tensor, outputs: int) -> Tensor:
    """Rows e_predicted − e_j, (batch, outputs, outputs); the row j = predicted is zero."""
    eye = torch.eye(outputs, dtype=torch.float64)
    return eye[predicted].unsqueeze(1) - eye


def _interval_margin(side: TensorInterval, predicted: Tensor) -> Tensor:
    lead = side.low.gather(1, predicted.unsqueeze(1)) - side.high
    return lead - lead.abs() * 2.0**-50


def _box_bounds(steps: list[Step], ball: Ball, max_units: int) -> list[Enclosure]:
    """Boxes for all steps; those that a nonlinearity reads are refined once something nonlinear lies before them."""
    boxes = [input_enclosure(ball.inputs, ball.radius)]
    readers = [[step.operation for step in steps if index in step.parents] for index in range(len(steps))]
    after_nonlinearity = [ball.norm == "2"]
    for index, step in enumerate(steps[1:], 1):
        boxes.append(propagate(step, boxes))
        after = any(after_nonlinearity[parent] for parent in step.parents)
        after_nonlinearity.append(after or _is_nonlinear(step))
        bending = [reader for reader in readers[index] if isinstance(reader, NONLINEAR)]
        settled = isinstance(step.operation, Rectifier)  # a unit's own relaxation says no more than its box
        if bending and after and not settled and boxes[index].original.low[0].numel() <= max_units:
            signs_only = all(isinstance(reader, Rectifier) for reader in bending)
            boxes[index] = _back_substituted(steps, boxes, index, ball, signs_only=signs_only)
    return boxes


NONLINEAR = Rectifier | Lipschitz | MaxPool | LogSoftmax


def _is_nonlinear(step: Step) -> bool:
    return isinstance(step.operation, NONLINEAR)


def _back_substituted(
    steps: list[Step], boxes: list[Enclosure], index: int, ball: Ball, *, signs_only: bool
) -> Enclosure:
    """Intersect a step's enclosure with what back-substitution says of z, ẑ and δ.

    `signs_only` where a rectifier reads it: a unit that has one sign in the whole ball is linear there, however large,
    so its other end stays as it is.
    """
    box = boxes[index]
    if signs_only:
        original = with_signs(box.original, steps, boxes, index, ORIGINAL, ball)
        implied = box.pruned & (original + box.difference)  # settles most signs of the pruned network
        pruned = with_signs(implied, steps, boxes, index, PRUNED, ball)
        ends = (_open(original) | _open(pruned)).repeat(1, 2)
    else:
        ends = torch.ones_like(_ends(box.original), dtype=torch.bool)
        original = _refined(box.original, ends, steps, boxes, index, ORIGINAL, ball)
        pruned = _refined(box.pruned, ends, steps, boxes, index, PRUNED, ball)
    difference = _refined(box.difference, ends, steps, boxes, index, DIFFERENCE, ball)
    return Enclosure(original, pruned, difference).tightened()


def with_signs(
    side: TensorInterval, steps: list[Step], boxes: list[Enclosure], index: int, network: int, ball: Ball
) -> TensorInterval:
    """The interval with units of open sign bounded: the end nearer to zero, and the other where the sign stays open."""
    nearer, unsettled = _nearer_ends(side), _open(side)
    side = _refined(side, nearer & unsettled.repeat(1, 2), steps, boxes, index, network, ball)
    return _refined(side, ~nearer & (unsettled & _open(side)).repeat(1, 2), steps, boxes, index, network, ball)


def _nearer_ends(side: TensorInterval) -> Tensor:
    """Which end of a unit of open sign is the more likely to settle it, (batch, 2 · units)."""
    low = (-side.low <= side.high).flatten(1)
    return torch.cat([low, ~low], 1)


def _open(side: TensorInterval) -> Tensor:
    """Which units take both signs, (batch, units)."""
    return ((side.low < 0) & (side.high > 0)).flatten(1)


def _ends(side: TensorInterval) -> Tensor:
    """Lower ends of all units and of their negatives, (batch, 2 · units)."""
    return torch.cat([side.low.flatten(1), -side.high.flatten(1)], 1)


def _refined(
    side: TensorInterval,
    wanted: Tensor,
    steps: list[Step],
    boxes: list[Enclosure],
    index: int,
    network: int,
    ball: Ball,
) -> TensorInterval:
    """The interval with the wanted ends, (batch, 2 · units) bool, bounded by back-substitution."""
    low, high = torch.fmax(_ends(side), unit_bounds(steps, boxes, index, wanted, network, ball)).chunk(2, 1)
    return TensorInterval(low.reshape(side.low.shape), (-high).reshape(side.high.shape))


def _lower_bounds(
    steps: list[Step],
    boxes: list[Enclosure],
    index: int,
    value: Tensor,
    change: Tensor | None,
    network: int,
    ball: Ball,
) -> Tensor:
    zero = torch.zeros(value.shape[:2], dtype=torch.float64)
    rows = Functional(network, {index: (value, change)}, zero)
    result = lower_bounds(steps, boxes, rows, ball)
    return torch.where(result.isnan(), -torch.inf, result)
