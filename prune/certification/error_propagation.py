"""N2: carry errors of layers to the output at known points, to *predict* what a budget does before anything is pruned.

e⁰ = 0, e^l = |W|e^{l−1} + r^l. With r from the half-rows' ε this predicts (|W| stands for E|Ŵ|: a prediction, not a
bound); with both networks at hand r = |(Ŵ−W)a| gives a bound, loose where running both and subtracting is exact: it is
there to measure that looseness. Cost: three forward passes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import InvalidValueError, UnknownNameError, speaking_for

from .graph import (
    Add,
    Concatenate,
    Lipschitz,
    LogSoftmax,
    MaxPool,
    Rectifier,
    Step,
    fitting,
    float64_copy,
    is_layer,
    trace_pair,
)
from .interval_bounds import check_trace, enclose_points
from .linear_maps import PairMap, as_float64


@speaking_for("predicted_error")
def predicted_error(model: nn.Module, inputs: Tensor, epsilons: Mapping[str, Tensor]) -> Tensor:
    """Predict the error at the output from the relative errors ε of half-rows.

    Args:
        model: The original, of the layers that `certify` supports.
        inputs: (batch, *item).
        epsilons: Weight name → (2, outputs), ε of W⁺ and W⁻ (`bounds[name].epsilon` of `sipp`);
            others are exact.

    Returns:
        (batch, outputs) float64, a prediction and no bound.

    Raises:
        PruneproofError: For unsupported layers or a name that is no weight of the model.

    Source: N2 and S6.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> predicted_error(layer, torch.tensor([[1.0, 3.0]]), {"weight": torch.tensor([[0.1], [0.2]])})
        tensor([[0.8000]], dtype=torch.float64)
    """
    copy = float64_copy(model)
    steps = trace_pair(copy, copy, {}, inputs.shape[1:])
    known = dict(model.named_parameters(remove_duplicate=False))
    for name in epsilons:
        if name not in known:
            raise UnknownNameError(
                f"predicted_error: the model has no weight called {name}. Use the bounds of this very model."
            )
    shared = {id(known[name]): epsilon for name, epsilon in epsilons.items()}  # a tied weight errs wherever it is used
    everywhere = {name: epsilons.get(name, shared[id(p)]) for name, p in known.items() if id(p) in shared}
    with torch.no_grad():
        return _walk(steps, as_float64(inputs), everywhere, bare=is_layer(model))


@speaking_for("propagated_error")
def propagated_error(original: nn.Module, pruned: nn.Module, inputs: Tensor) -> Tensor:
    """Bound |f̂−f| at known points by N2 with r = |(Ŵ−W)a|, up to float64 rounding.

    At known points `certify(…, radius=0)` is exact; this bound shows what absolute values cost.

    Args:
        original, pruned: Networks of one architecture, of the layers that `certify` supports.
        inputs: (batch, *item).

    Returns:
        (batch, outputs) float64, a bound.

    Raises:
        PruneproofError: As `certify` does for networks it does not understand.

    Source: N2 in theory/theorems/network/proof.md.

    Example:
        >>> layer, silent = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        >>> _ = layer.weight.data.fill_(1.0), silent.weight.data.zero_()
        >>> propagated_error(layer, silent, torch.tensor([[1.0, 3.0]]))
        tensor([[4.]], dtype=torch.float64)
    """
    networks = float64_copy(original), float64_copy(pruned)
    steps = trace_pair(*networks, {}, inputs.shape[1:])
    points = as_float64(inputs)
    with torch.no_grad():
        error = _walk(steps, points, None, bare=False)
        at_centre = enclose_points(steps, points)
    smooth = any(isinstance(step.operation, Lipschitz | LogSoftmax) for step in steps)
    for network, side in zip(networks, (at_centre.original, at_centre.pruned), strict=True):
        check_trace(network, points, side, smooth=smooth)
    return error


def _walk(steps: list[Step], points: Tensor, epsilons: Mapping[str, Tensor] | None, *, bare: bool) -> Tensor:
    """Values of the original and errors, step by step."""
    states = [(points, torch.zeros_like(points))]
    for step in steps[1:]:
        name = "weight" if bare else f"{step.name}.weight"
        with fitting(step, points):
            states.append(_after(step, [states[parent] for parent in step.parents], name, epsilons))
    return states[-1][1]


def _after(
    step: Step, parents: list[tuple[Tensor, Tensor]], name: str, epsilons: Mapping[str, Tensor] | None
) -> tuple[Tensor, Tensor]:
    (value, error), operation = parents[0], step.operation
    match operation:
        case PairMap():
            relative = None if epsilons is None else epsilons.get(name)
            return _through_map(operation, name, value, error, relative, epsilons is None)
        case Rectifier():
            return torch.where(value >= 0, value, operation.slope * value), error
        case Lipschitz():
            return operation.function(value), operation.constant * error
        case MaxPool():
            settings = operation.settings
            return functional.max_pool2d(value, *settings), functional.max_pool2d(error, *settings)
        case Add():
            return value + parents[1][0], error + parents[1][1]
        case Concatenate():
            values, errors = zip(*parents, strict=True)
            return torch.cat(values, operation.dimension), torch.cat(errors, operation.dimension)
        case LogSoftmax():  # the logarithm moves by no more than the largest error
            return value.log_softmax(1), error + error.amax(1, keepdim=True)
        case None:
            raise AssertionError("the input has no operation")


def _through_map(
    layer: PairMap, name: str, value: Tensor, error: Tensor, epsilon: Tensor | None, known: bool
) -> tuple[Tensor, Tensor]:
    if layer.weights is None:
        return layer.apply(None, value), layer.apply(None, error)
    original, pruned, difference = layer.weights
    after = layer.apply(original, value)
    carried = layer.apply(pruned.abs(), error)
    if known:
        fresh = layer.apply(difference, value)
        carried = carried + (fresh if layer.biases is None else fresh + layer.biases[2]).abs()
    elif epsilon is not None:
        carried = carried + _relative(layer, name, original, value, epsilon)
    return after if layer.biases is None else after + layer.biases[0], carried


def _relative(layer: PairMap, name: str, weight: Tensor, value: Tensor, epsilon: Tensor) -> Tensor:
    """Σ over the halves of ε·(half met by a⁺ + half met by a⁻): S6 with each half-row's own ε."""
    assert layer.biases is not None
    outputs = layer.biases[0].shape  # which broadcasts: over positions of images and sequences
    if epsilon.shape != (2, outputs.numel()):
        raise InvalidValueError(
            f"predicted_error: the epsilons of {name} must have shape (2, {outputs.numel()}), got "
            f"{tuple(epsilon.shape)}. Take `bounds[name].epsilon` of what sipp returned."
        )
    total = torch.zeros(())
    for half, relative in zip((weight.clamp(min=0), (-weight).clamp(min=0)), epsilon.double(), strict=True):
        met = layer.apply(half, value.abs())
        total = total + relative.reshape(outputs) * met
    return total
