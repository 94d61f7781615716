"""Refuse a `Gram` whose parts do not belong together or whose sums are not finite, before any choice is made."""

import math

import torch

from ..errors import PruneproofError
from .gram import Gram
from .greedy_input import require_layout


def require_gram_layout(where: str, gram: Gram) -> None:
    """Refuse a `Gram` put together from tensors that do not belong to each other, or one without points."""
    if gram.points == 0:
        remedy = "call gram.update(features, target) first"
        raise PruneproofError(where, required="a Gram with points in it", received="an empty one", remedy=remedy)
    correlation = require_layout(where, gram.correlation, "correlation (neurons,)", (None,))
    neurons, shape = len(correlation), (len(correlation), len(correlation))
    matrix = require_layout(where, gram.matrix, "matrix (neurons, neurons)", shape, correlation.device)
    if matrix.dtype != correlation.dtype or matrix.dtype not in (torch.float32, torch.float64):
        required = f"matrix and correlation of {neurons} neurons, both float64 or both float32"
        received = f"{matrix.dtype} and {correlation.dtype}"
        raise PruneproofError(where, required=required, received=received, remedy="build it by Gram.from_features")


def require_finite_gram(where: str, gram: Gram) -> None:
    """Refuse sums that overflowed or hold NaN; |⟨Φ_q, Φ_r⟩| ≤ max ‖Φ_q‖², so the diagonal speaks for the matrix."""
    sums = (gram.diagonal.double().sum() + gram.correlation.double().sum()).item() + gram.energy
    if not math.isfinite(sums):
        required, remedy = "a Gram of finite sums", "remove NaN and inf, or rescale the features"
        raise PruneproofError(where, required=required, received="NaN or inf in it", remedy=remedy)
