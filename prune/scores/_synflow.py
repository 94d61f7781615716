"""SynFlow: the share of each weight in the flow through the network with every weight made positive.

With R = Σ f(1; abs θ) the score is abs(θ·∂R/∂θ) (Tanaka et al. 2020). It needs no data. Without biases each layer's
scores add up to the same R (a conservation law, and a free certificate of the computation). One evaluation is one
iteration; the method `prune.synflow` runs 100 of them with density ρ^(k/100).

R is a product over layers and leaves the range of a double in very deep nets. The copy is positively homogeneous in its
input and biases together, so these are multiplied by a power of two when R leaves [2⁻⁹⁰⁰, 2⁹⁰⁰], and the output is too:
all scores are then multiplied by the same power of two, which changes no selection.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...errors import PruneproofError
from ..linearised import linearised
from ..parameters import prunable, unwrapped
from ..trial import trial
from ._frozen import Inputs, call, check_device, frozen
from ._objective import Readout

_RANGE = 900  # exponents of R that leave room for its derivatives in a double
_STEPS = (0, 250, 500, 750, 1000)  # exponents tried for input and output


def synflow(
    model: nn.Module, input_shape: Sequence[int] | Inputs, *, readout: Readout | None = None
) -> dict[str, Tensor]:
    """Score each prunable weight by abs(weight · ∂R/∂weight), R the flow of an all-ones input through abs(weights).

    **Arguments:**

    - `model`: any module on one device; it is copied (see `linearised`), so nothing in it changes.
    - `input_shape`: shape of a batch of one example, e.g. `(1, 3, 32, 32)`; or the inputs themselves (a tensor, a
      tuple, a mapping), for a model that takes tokens.
    - `readout`: takes the tensor to be summed out of an output that is not a tensor.

    **Returns:** name → float64 tensor of the weight's shape, non-negative; up to one common power of two when R is not
    representable.

    **Raises:** `PruneproofError` if the output is not a tensor, parameters lie on several devices, or the flow leaves
    2^±1900.

    Source: SynFlow as stated in Frankle et al. 2021; evaluation mode, double precision.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False))
        >>> for weight in net.parameters(): _ = torch.nn.init.constant_(weight, -0.5)
        >>> {name: score.sum().item() for name, score in synflow(net, (1, 1)).items()}
        {'0.weight': 0.5, '1.weight': 0.5}
    """
    model = unwrapped(model)
    device = check_device("synflow", model)
    names = tuple(prunable(model))
    with frozen(model), torch.enable_grad():
        positive = linearised(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        return dict(zip(names, _in_range(positive, names, _inputs(input_shape, device), readout), strict=True))


def _inputs(input_shape: Sequence[int] | Inputs, device: torch.device) -> Inputs:
    if isinstance(input_shape, Sequence) and all(isinstance(size, int) for size in input_shape):
        with trial("synflow", required="sizes >= 0", remedy="pass the shape of a batch of one example"):
            return torch.ones(tuple(input_shape), dtype=torch.float64, device=device)
    return input_shape  # pyright: ignore[reportReturnType] (a tuple of inputs is a Sequence too)


def _in_range(
    positive: nn.Module, names: tuple[str, ...], inputs: Inputs, readout: Readout | None
) -> tuple[Tensor, ...]:
    """The scores at the first power-of-two scale at which the flow is representable."""
    flow, scores = _flow(positive, names, inputs, readout, 0)
    if _representable(flow, scores):
        return scores
    sign = 1 if flow < 1.0 else -1  # false for an infinite or NaN flow: scale down
    for exponent in _STEPS[1:]:
        scaled, candidate = _flow(positive, names, inputs, readout, sign * exponent)
        if _representable(scaled, candidate):
            return candidate
    if flow == 0.0:  # no path at any scale
        return scores
    remedy = "rescale the weights, e.g. divide each layer by its largest"
    raise PruneproofError("synflow", required="a flow within 2^±1900", received=flow, remedy=remedy)


def _representable(flow: float, scores: tuple[Tensor, ...]) -> bool:
    in_range = math.isfinite(flow) and flow != 0.0 and abs(math.frexp(flow)[1]) <= _RANGE
    return in_range and all(bool(score.isfinite().all()) for score in scores)


def _flow(
    positive: nn.Module, names: tuple[str, ...], inputs: Inputs, readout: Readout | None, exponent: int
) -> tuple[float, tuple[Tensor, ...]]:
    """R·2^exponent, and the scores times 2^(2·exponent): input and biases scaled, then the output."""
    scale, parameters = 2.0**exponent, dict(positive.named_parameters())
    state = {n: p * scale if n.rpartition(".")[2] == "bias" else p for n, p in parameters.items()}
    if exponent and isinstance(inputs, Tensor) and inputs.is_floating_point():
        inputs = inputs * scale
    with trial("synflow", required="inputs that the model takes", remedy="pass the shape of a batch of one example"):
        output = call(lambda *a, **k: functional_call(positive, state, a, k), inputs)
    output = output if readout is None else readout(output)
    if not isinstance(output, Tensor):
        remedy = "pass readout=, the function that takes the logits out of the output"
        raise PruneproofError("synflow", required="a tensor output", received=type(output).__name__, remedy=remedy)
    weights = [parameters[name] for name in names]
    gradient = torch.autograd.grad(output, weights, torch.full_like(output, scale), materialize_grads=True)
    return output.sum().item(), tuple((w.detach() * g).abs() for w, g in zip(weights, gradient, strict=True))
