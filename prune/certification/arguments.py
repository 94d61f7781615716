"""What `certify` accepts, checked before any work."""

import sys
from collections.abc import Mapping

from torch import Tensor, nn

from ...errors import PruneproofError, described


def check_arguments(
    inputs: Tensor,
    radius: float,
    norm: str,
    method: str,
    refine: int,
    lipschitz: Mapping[type[nn.Module], float],
) -> None:
    """Refuse values that `certify` has no meaning for."""
    if norm not in ("inf", "2"):
        raise _refusal("norm 'inf' or '2'", norm, "choose one")
    if method not in ("cases", "linear"):
        raise _refusal("method 'cases' or 'linear'", method, "choose one")
    if isinstance(refine, bool) or not isinstance(refine, int) or refine < 0:
        raise _refusal("refine >= 0, a number of units", refine, "pass 0 to keep intervals everywhere")
    if not _non_negative(radius):
        raise _refusal("a finite radius ≥ 0", radius, "pass e.g. 0.05")
    for layer, constant in lipschitz.items():
        if not _non_negative(constant):
            required = f"a finite Lipschitz constant ≥ 0 of {getattr(layer, '__name__', layer)}"
            raise _refusal(required, constant, "pass e.g. 1.13 for nn.GELU")
    if not isinstance(inputs, Tensor) or inputs.ndim < 2 or not len(inputs) or not inputs.is_floating_point():
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise _refusal("floating-point inputs (batch, *item), batch ≥ 1", shape, "add a batch dimension")
    if not inputs.isfinite().all():
        raise _refusal("finite inputs", f"{int((~inputs.isfinite()).sum())} that are not", "drop those examples")


def check_weights(model: nn.Module) -> None:
    """Refuse a network with a tensor of its state that is not finite."""
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and not tensor.isfinite().all():
            raise _refusal("finite weights", f"NaN or inf in {name}", "repair the network first")


def _non_negative(value: object) -> bool:
    """An integer too large for a float is no number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def _refusal(required: str, received: object, remedy: str) -> PruneproofError:
    shown = received if isinstance(received, str) else described(received)
    return PruneproofError("certify", required=required, received=shown, remedy=remedy)
