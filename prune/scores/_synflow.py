"""SynFlow: the share of each weight in the flow through the network with every weight made positive.

With R = Σ f(1; abs θ) the score is abs(θ·∂R/∂θ) (Tanaka et al. 2020). It needs no data. Without
biases each layer's scores add up to the same R (a conservation law, and a free certificate of the
computation). One evaluation is one iteration; the method `prune.synflow` runs 100 of them with
density ρ^(k/100).

R is a product over layers and leaves the range of a double in very deep nets. The copy is
positively homogeneous in its input and biases together, so these are multiplied by a power of two
when R leaves [2⁻⁹⁰⁰, 2⁹⁰⁰], and the output is too, also where derivatives do: all scores are then
multiplied by the same power of two, which changes no selection. A flow that no such scale makes
representable, in every layer that carries some of it, is refused.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruneproof.errors import InvalidValueError
from pruneproof.prune.flow.linearised import Unrouted, flow_inputs, linearised, reduce_outputs, require_followable
from pruneproof.prune.models.evaluation import (
    Inputs,
    Readout,
    call_model,
    check_device,
    evaluation_mode,
    explained,
    require_derivatives,
    require_logits,
)
from pruneproof.prune.models.parameters import Patterns, find_prunable, layouts, require_numbers, unwrapped
from pruneproof.prune.selection.selection import Scores

ScoresAt = Callable[[int], tuple[Tensor, ...]]  # by the exponent that scales the output

_RANGE = 900  # exponents of R that leave room for its derivatives in a double
_STEPS = (250, 500, 750, 1000)  # exponents tried for the input, of one sign
_SINKS = (-1000, -500, 0, 500, 1000)  # and then for the output alone


def synflow(
    model: nn.Module,
    input_shape: Sequence[int] | Inputs,
    *,
    readout: Readout | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
) -> dict[str, Tensor]:
    """Score each prunable weight by abs(weight · ∂R/∂weight), R the flow of an all-ones input through abs(weights).

    Args:
        model: Any module on one device; it is copied (see `linearised`), so nothing in it changes.
        input_shape: Shape of a batch of one example, e.g. `(1, 3, 32, 32)`; or the inputs
            themselves (a tensor, a tuple, a mapping), for a model that takes tokens. Of
            floating-point tensors only the shape counts: the flow starts from ones.
        readout: Takes the tensor to be summed out of an output that is not a tensor.
        include: Shell patterns of the parameters or modules to score, as in `prunable`.
        exclude: Patterns of what is left out; the flow passes through it all the same.

    Returns:
        Name → float64 tensor of the weight's shape, non-negative; up to one common power of two
        when R is not representable.

    Raises:
        InvalidTypeError: The output is not a tensor, or a parameter holds no real numbers.
        InvalidValueError: Parameters lie on several devices, or the flow leaves 2^±1900 at the
            output, or double precision at every scale on the way there.
        UnsupportedError: The model has recurrent layers, or routes its input by `topk` or the like.
        PruneproofError: As `prunable` raises. What the model itself raises comes with a note.

    Source: SynFlow as stated in Frankle et al. 2021; evaluation mode, double precision.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False))
        >>> for weight in net.parameters(): _ = torch.nn.init.constant_(weight, -0.5)
        >>> {name: score.sum().item() for name, score in synflow(net, (1, 1)).items()}
        {'0.weight': 0.5, '1.weight': 0.5}
    """
    names = tuple(find_prunable("synflow", model, include, exclude))
    model = unwrapped(model)
    device = check_device("synflow", model)
    require_derivatives("synflow")
    require_numbers("synflow", dict(model.named_parameters()))
    require_followable("synflow", model)
    inputs = flow_inputs("synflow", input_shape, device)
    with evaluation_mode(model), torch.enable_grad():
        positive = linearised(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        found = _in_range(positive, names, inputs, readout)
    return Scores(dict(zip(names, found, strict=True)), layouts(model))


def _in_range(
    positive: nn.Module, names: tuple[str, ...], inputs: Inputs, readout: Readout | None
) -> tuple[Tensor, ...]:
    """The scores at the first powers of two at which the flow and its derivatives are representable."""
    empty = [not bool(positive.get_parameter(name).any()) for name in names]  # pruned away: 0 at every scale
    flow, scores = _flow(positive, names, inputs, readout, 0)
    first, sign = flow, 1 if flow < 1.0 else -1  # false for an infinite or NaN flow: scale down
    for exponent in (0, *(sign * step for step in _STEPS)):
        if exponent:
            flow, scores = _flow(positive, names, inputs, readout, exponent)
        found = _complete(scores, exponent, empty) if _representable(flow) else None
        if found is not None:
            return found
    if first == 0.0 and not _reached(positive, inputs, readout):
        return tuple(torch.zeros_like(parameter) for parameter in map(positive.get_parameter, names))
    raise InvalidValueError(
        f"synflow: the flow must stay within what double precision can follow, but it is {first} at the output. "
        "Rescale the weights, for example divide each layer by its largest."
    )


def _representable(flow: float) -> bool:
    return math.isfinite(flow) and flow != 0.0 and abs(math.frexp(flow)[1]) <= _RANGE


def _complete(scores: ScoresAt, exponent: int, empty: list[bool]) -> tuple[Tensor, ...] | None:
    """Finite scores that lose no layer to underflow of its derivatives; None if the output has no scale that gives any.

    A layer is lost if it has no score at this scale of the output and has one at another; one without weights has none.
    """
    tried = [scores(exponent)]
    finite = _finite(tried[0])
    if finite and all(map(operator.or_, _alive(tried[0]), empty)):
        return tried[0]
    others = [sink for sink in _SINKS if sink > exponent] if finite else [-sink for sink in _SINKS if -sink < exponent]
    tried += [scores(sink) for sink in others]  # upwards for what was lost to underflow, downwards from an overflow
    alive = [_alive(candidate) for candidate in tried]
    most = [any(column) for column in zip(*alive, strict=True)]
    return next((c for c, layers in zip(tried, alive, strict=True) if _finite(c) and layers == most), None)


def _finite(scores: tuple[Tensor, ...]) -> bool:
    return all(math.isfinite(most) for most in _largest(scores))


def _alive(scores: tuple[Tensor, ...]) -> list[bool]:
    """Which layers have a score; NaN is 0 · ∞ and none."""
    return [
        bool((s > 0).any()) if math.isnan(most) else most > 0 for s, most in zip(scores, _largest(scores), strict=True)
    ]


def _largest(scores: tuple[Tensor, ...]) -> list[float]:
    """The largest score of each layer, NaN if one is."""
    return [score.max().item() if score.numel() else 0.0 for score in scores]


def _flow(
    positive: nn.Module, names: tuple[str, ...], inputs: Inputs, readout: Readout | None, exponent: int
) -> tuple[float, ScoresAt]:
    """R·2^exponent with input and biases scaled, and the scores by the exponent that scales the output."""
    scale, parameters = 2.0**exponent, dict(positive.named_parameters())
    state = {n: p * scale if n.rpartition(".")[2] == "bias" else p for n, p in parameters.items()}
    if exponent and isinstance(inputs, Tensor) and inputs.is_floating_point():
        inputs = inputs * scale
    output = _output(lambda *a, **k: functional_call(positive, state, a, k), inputs, readout)
    weights = [parameters[name] for name in names]

    def scores(sink: int) -> tuple[Tensor, ...]:
        ones = torch.full_like(output, 2.0**sink)
        gradient = torch.autograd.grad(output, weights, ones, materialize_grads=True, retain_graph=True)
        return tuple((w.detach() * g).abs_() for w, g in zip(weights, gradient, strict=True))

    return output.sum().item(), scores


def _output(network: Callable[..., Any], inputs: Inputs, readout: Readout | None) -> Tensor:
    with explained("synflow", "the model", "Pass the shape of a batch of one example."), Unrouted("synflow"):
        output = call_model(network, inputs)
    output = output if readout is None else readout(output)
    require_logits("synflow", output)
    return output


def _reached(positive: nn.Module, inputs: Inputs, readout: Readout | None) -> bool:
    """Whether any flow reaches the output, in zeros and ones; the network is spent."""
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.copy_(parameter > 0)
    reduce_outputs(list(positive.modules()))
    return bool((_output(positive, inputs, readout) > 0).any())
