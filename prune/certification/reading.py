"""Hold a traced reading of a network against the network itself, run at the points in question.

Tracing cannot see everything: `x += y` is recorded as a new value although it overwrites one, a hook or an overridden
`forward` of a known layer is not looked at. A reading that computes something else is refused here before a bound is
drawn from it.
"""

import copy

import torch
from torch import Tensor, nn

from ...errors import PruneproofError
from ..trial import trial
from .enclosures import LIBRARY_ERROR, Interval


def evaluable(model: nn.Module) -> nn.Module:
    """A copy that computes in float64 on the CPU, with evaluation statistics."""
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()


def check_reading(model: nn.Module, inputs: Tensor, outputs: Interval) -> None:
    """Refuse a reading whose outputs are not those of the network.

    Arguments:
        model: as `evaluable` returns it.
        inputs: (batch, *item) float64.
        outputs: (batch, outputs), what the reading says of them, rounding included.

    The network rounds too, by at most what the interval's width allows for and what activations of the C library may
    err: the distance from the interval's middle may be its whole width, and `LIBRARY_ERROR` of the size.

    Raises PruneproofError if it is more, or if the network does not run on the inputs.
    """
    required = "a network that computes what its trace says"
    with torch.no_grad(), trial("certify", required=required, remedy="call the network on these inputs in float64"):
        actual = model(inputs.clone())
    middle, width = 0.5 * (outputs.low + outputs.high), outputs.high - outputs.low
    apart = (actual - middle).abs() - width - LIBRARY_ERROR * (1 + middle.abs())
    if actual.isfinite().all() and bool((apart > 0).any()):
        received = f"an output {float(apart.max()):.3g} away from it"
        remedy = "look for hooks, own versions of known layers, values overwritten, too small a Lipschitz constant"
        raise PruneproofError("certify", required=required, received=received, remedy=remedy)
