"""The constants of P1 for a given network and data: λ₀, ‖X‖², ‖r_0‖, B, M, and whether P1 applies.

f(x; W) = N^(-1/2) Σ a_r σ(w_r·x). The empirical tangent kernel is J₀J₀ᵀ = (XXᵀ) ∘ (1/N)·ΣD_r, with entries
x_i·x_j · (1/N) Σ_r σ'(w_r·x_i) σ'(w_r·x_j). Cost: O(m²(d+N)) time, O(m² + mN) memory.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from pruneproof.errors import InvalidValueError
from pruneproof.theory.theorems.greedy.hull import EPSILON, Floats

from .gradient_descent import P1_STEP_SIZE, P1_WIDTH

Activation = Literal["tanh", "softplus"]
SLOPE = {"tanh": 1.0, "softplus": 1.0}  # B, a bound on abs(σ')
CURVATURE = {"tanh": 4 / (3 * sqrt(3)), "softplus": 0.25}  # M, a bound on abs(σ''); obligations P1.tanh, P1.softplus
UNIT = 1 + 4 * EPSILON  # a row divided by its own computed norm has a norm within a few roundings of one


@dataclass(frozen=True)
class TangentKernel:
    """The constants of P1, and what they imply.

    Args:
        examples: M.
        dimension: D.
        width: N.
        norm: ‖X‖.
        residual: ‖r_0‖.
        eigenvalue: λ₀, lowered by its rounding error.
        slope: B.
        curvature: M, times max‖x_j‖ where rounding leaves that above one.
        rescaled_by: The factor by which the inputs were divided (1.0: not at all).
        required_width: The width from which P1 holds.
        step_size: The largest step size of P1.
        condition: κ = B²‖X‖²/λ₀ (inf for λ₀ = 0).
        applies: Whether the width condition holds.
    """

    examples: int
    dimension: int
    width: int
    norm: float
    residual: float
    eigenvalue: float
    slope: float
    curvature: float
    rescaled_by: float
    required_width: float
    step_size: float
    condition: float
    applies: bool


def tangent_kernel(
    inputs: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike,
    signs: ArrayLike,
    *,
    activation: Activation = "tanh",
    oversized: Literal["refuse", "rescale"] = "refuse",
) -> TangentKernel:
    """Measure a two-layer network in the scaling of P1 (source: theory/theorems/pretraining/proof.md).

    Args:
        inputs: (m, d).
        targets: (m,).
        weights: W_0, (N, d).
        signs: A, (N,), each ±1.
        activation: `"tanh"` or `"softplus"`.
        oversized: What to do when some ‖x_j‖ > 1: `"refuse"`, or `"rescale"` all inputs by 1/max‖x_j‖
            (P1 then speaks of the network trained on the rescaled inputs).

    Returns:
        The constants.

    Raises:
        InvalidValueError: For wrong shapes, NaN, inf, signs other than ±1, and inputs longer than one.
    """
    data, labels, first, outer, factor = _checked(inputs, targets, weights, signs, activation, oversized)
    outputs = _activate(data @ first.T, activation)
    slopes = _slope(data @ first.T, activation)
    width = len(first)
    kernel = (data @ data.T) * (slopes @ slopes.T) / width
    eigenvalue = _smallest(kernel)
    norm = float(np.linalg.norm(data, 2))
    residual = float(np.linalg.norm(outputs @ outer / sqrt(width) - labels))
    slope = SLOPE[activation]
    curvature = CURVATURE[activation] * max(1.0, float(np.linalg.norm(data, axis=1).max()))
    known = eigenvalue > 0 and residual > 0
    required = P1_WIDTH.bound(M=curvature, X=norm, r_0=residual, lambda_0=eigenvalue) if known else np.inf
    return TangentKernel(
        *data.shape,
        width=width,
        norm=norm,
        residual=residual,
        eigenvalue=eigenvalue,
        slope=slope,
        curvature=curvature,
        rescaled_by=factor,
        required_width=required,
        step_size=P1_STEP_SIZE.bound(B=slope, X=norm),
        condition=slope**2 * norm**2 / eigenvalue if eigenvalue > 0 else np.inf,
        applies=width >= required,
    )


def _smallest(kernel: Floats) -> float:
    """A lower bound of the smallest eigenvalue: eigvalsh errs by at most p·eps·λ_max, p = 2m generous (Weyl)."""
    values = np.linalg.eigvalsh(kernel)
    return max(float(values[0]) - 2 * len(kernel) * EPSILON * float(values[-1]), 0.0)


def _activate(preactivations: Floats, activation: Activation) -> Floats:
    return np.tanh(preactivations) if activation == "tanh" else np.logaddexp(0.0, preactivations)


def _slope(preactivations: Floats, activation: Activation) -> Floats:
    if activation == "tanh":
        return 1 - np.tanh(preactivations) ** 2
    return np.asarray(expit(preactivations), dtype=np.float64)


def _checked(
    inputs: ArrayLike, targets: ArrayLike, weights: ArrayLike, signs: ArrayLike, activation: str, oversized: str
) -> tuple[Floats, Floats, Floats, Floats, float]:
    data, labels, first, outer = (np.asarray(part, dtype=np.float64) for part in (inputs, targets, weights, signs))
    fits = data.ndim == 2 and first.ndim == 2 and data.shape[1:] == first.shape[1:] and data.size and first.size
    if not fits or labels.shape != data.shape[:1] or outer.shape != first.shape[:1]:
        received = ", ".join(str(part.shape) for part in (data, labels, first, outer))
        _refuse("shapes (m, d), (m,), (N, d), (N,)", received, "The network has one output and no bias")
    if not all(np.isfinite(part).all() for part in (data, labels, first, outer)):
        _refuse("finite numbers", "NaN or inf", "Check the data")
    if not (np.abs(outer) == 1).all():
        _refuse("outer weights ±1", "others", "P1 fixes them at ±1")
    if activation not in SLOPE:
        _refuse(f"an activation of {sorted(SLOPE)}", activation, "P1 needs bounds on σ' and σ''")
    longest = float(np.linalg.norm(data, axis=1).max())
    if longest <= UNIT:
        return data, labels, first, outer, 1.0
    if oversized != "rescale":
        _refuse("‖x_j‖ ≤ 1 for every example", f"max‖x_j‖ = {longest:.6g}", 'pass oversized="rescale" or divide them')
    return data / longest, labels, first, outer, longest


def _refuse(required: str, received: str, remedy: str) -> None:
    raise InvalidValueError(f"tangent_kernel needs {required}, got {received}. {remedy}.")
