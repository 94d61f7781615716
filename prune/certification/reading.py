"""Hold a traced reading of a network against the network itself, run at the points in question.

Tracing refuses what it knows that it does not see. This is the second line: a reading that computes something else at
the inputs, for whatever reason, is refused before a bound is drawn from it.
"""

import torch
from torch import Tensor, nn

from ...errors import PruneproofError
from ..trial import trial
from .enclosures import LIBRARY_ERROR, Interval


def check_reading(model: nn.Module, inputs: Tensor, outputs: Interval, *, smooth: bool) -> None:
    """Refuse a reading whose outputs are not those of the network.

    Arguments:
        model: as `evaluable` returns it.
        inputs: (batch, *item) float64.
        outputs: (batch, outputs), what the reading says of them, rounding included.
        smooth: whether activations of the C library are among the steps.

    The network rounds too, by at most what the interval's width allows for and what activations of the C library may
    err: the distance from the interval's middle may be its whole width and, where there are such, `LIBRARY_ERROR` of
    the size. Where overflow leaves nothing known, nothing is compared.

    Raises PruneproofError if it is more, or if the network does not run on the inputs.
    """
    required = "a network that computes what its trace says"
    with torch.no_grad(), trial("certify", required=required, remedy="call the network on these inputs in float64"):
        actual = model(inputs.clone())
    if not isinstance(actual, Tensor) or actual.shape != outputs.low.shape:
        received = f"an output of type {type(actual).__name__} and shape {tuple(getattr(actual, 'shape', ()))}"
        remedy = f"return a tensor of shape {tuple(outputs.low.shape)}"
        raise PruneproofError("certify", required=required, received=received, remedy=remedy)
    middle, width = 0.5 * (outputs.low + outputs.high), outputs.high - outputs.low
    apart = (actual - middle).abs() - width - (LIBRARY_ERROR * (1 + middle.abs()) if smooth else 0.0)
    if bool(((apart > 0) | (actual.isnan() & width.isfinite())).any()):
        received = f"an output {float(apart.max()):.3g} away from it"
        remedy = "look for values overwritten, own versions of known layers, too small a Lipschitz constant"
        raise PruneproofError("certify", required=required, received=received, remedy=remedy)
