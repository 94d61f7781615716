"""Sensitivities of weights: the largest share a weight ever has in its neuron's sum.

For `weight` (out, in) and points a(x) in a batch, split by sign (W = W⁺ − W⁻, and a = a⁺ − a⁻ as two pseudo-points):

    s_ij = max over points of |w_ij| a_j / z_i,   z_i = Σ_k |w_ik| a_k over the k whose w_ik has the sign of w_ij,

with 0/0 = 0. Since z does not depend on j, s_ij = |w_ij| · max_x a_j(x) · (1/z_i(x)): a matrix product in which
addition is replaced by max. No (batch, out, in) tensor is formed; memory is O(out·in) beyond the inputs. See
README.md.
"""

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError
from pruneproof.kernels.backend import FLOATS, Choice, choose, require_tensors
from pruneproof.kernels.transforms import map_over_slices, refuse_derivatives, without_autocast

from .reference import sensitivities_reference

OP = "sensitivities"


def sensitivities(weight: Tensor, inputs: Tensor) -> Tensor:
    """The sensitivity of every weight of a linear map over a batch of its inputs.

    Args:
        weight: (out, in), floating point.
        inputs: (batch, in), the same dtype and device, any signs; a convolution passes its patches
            (`convolution_patches`) and its weight flattened to (out, in).

    Returns:
        (out, in), in [0, 1]; 0 for a zero weight and for an empty batch. A sum that, after scaling
        every half-row of the weight and every point to maximum 1, lies below the dtype's smallest
        normal number counts as zero. The relative error of an entry is at most (in + 8)·u/(1 − (in
        + 8)·u), u the unit roundoff.

    Raises:
        PruneproofError: For mismatched shapes, dtypes or devices, and for NaN or infinite values.

    Source: sensitivity s_ij of SiPP (arXiv 1910.05422), sign-split as in its released procedure.

    Example:
        >>> import torch
        >>> sensitivities(torch.tensor([[3.0, 1.0, -2.0]]), torch.tensor([[1.0, 1.0, 5.0]]))
        tensor([[0.7500, 0.2500, 1.0000]])
    """
    _refuse_bad(weight, inputs)
    refuse_derivatives(OP, weight, inputs)
    return sensitivity_matrix(weight.detach(), inputs.detach())


def plan(weight: Tensor, inputs: Tensor) -> Choice:
    """What `sensitivities` would run."""
    return choose(OP, weight)


@torch.library.custom_op("pruneproof::sensitivities", mutates_args=())
@without_autocast
def sensitivity_matrix(weight: Tensor, inputs: Tensor) -> Tensor:
    """The operation behind `sensitivities`; values are checked here, where a compiled graph has them too."""
    for name, tensor in (("weight", weight), ("inputs", inputs)):
        if not torch.isfinite(tensor).all():
            raise InvalidValueError(f"{OP}: {name} must be finite, got NaN or inf. Clean the values first.")
    if plan(weight, inputs).backend == "triton":
        from .triton_kernels import sensitivities_triton

        return sensitivities_triton(weight, inputs)
    return sensitivities_reference(weight, inputs)


@sensitivity_matrix.register_fake
def _(weight: Tensor, inputs: Tensor) -> Tensor:
    return torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)


map_over_slices(sensitivity_matrix)


def _refuse_bad(weight: Tensor, inputs: Tensor) -> None:
    require_tensors(OP, weight=weight, inputs=inputs)
    if weight.dim() != 2 or inputs.dim() != 2 or weight.shape[1] != inputs.shape[1]:
        raise InvalidValueError(
            f"{OP}: the shapes must be weight (out, in) and inputs (batch, in), got {tuple(weight.shape)} and "
            f"{tuple(inputs.shape)}. For a convolution, flatten the weight and pass convolution_patches(inputs, …)."
        )
    if weight.dtype != inputs.dtype or weight.device != inputs.device or weight.dtype not in FLOATS:
        raise InvalidValueError(
            f"{OP}: weight and inputs must have one floating dtype and one device, got {weight.dtype} on "
            f"{weight.device} and {inputs.dtype} on {inputs.device}. Convert one of them with .to(…)."
        )
