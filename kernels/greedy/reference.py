"""The three rules by their definitions: every candidate's residual is formed and measured. The reference, not the tool.

Each function is the shortest code that can be checked against the text of README.md by eye; it costs
O(neurons · points) time and memory a step (and a least-squares solve for `naive_corrective`).
"""

import torch
from torch import Tensor

from .rules import Path, lowest, tie_width


def naive_average(features: Tensor, target: Tensor, steps: int, replacement: bool) -> Path:
    """Choose q_k = argmin_q ‖z + Φ_q − k y‖² by trying every q.

    Example:
        >>> naive_average(torch.tensor([[0.0], [3.0]]), torch.tensor([1.0]), 3, replacement=True).indices
        [0, 1, 0]
    """
    tie, total = _tie(features, target), torch.zeros_like(target)
    indices: list[int] = []
    losses: list[float] = []
    for k in range(1, steps + 1):
        halves = (total + features - k * target).square().sum(1) / 2
        if not replacement:
            halves[indices] = torch.inf
        q = lowest(halves, tie * k)
        total = total + features[q]
        indices.append(q)
        losses.append(float(halves[q]) / k**2)
    weights = torch.bincount(torch.tensor(indices), minlength=len(features)).double() / steps
    return Path(indices, losses, weights.to(features.device))


def naive_line_search(features: Tensor, target: Tensor, steps: int, replacement: bool) -> Path:
    """Choose the q and τ ∈ [0, 1] that bring u + τ(Φ_q − u) nearest to y, u being the first choice at the start.

    Example:
        >>> naive_line_search(torch.tensor([[0.0], [4.0]]), torch.tensor([1.0]), 2, replacement=True).weights.tolist()
        [0.75, 0.25]
    """
    tie, point = _tie(features, target), torch.zeros_like(target)
    weights = torch.zeros(len(features), dtype=torch.float64, device=features.device)
    indices: list[int] = []
    losses: list[float] = []
    for k in range(1, steps + 1):
        moves = features - point
        square = moves.square().sum(1).clamp_min(torch.finfo(features.dtype).tiny)
        tau = (moves @ (target - point) / square).clamp(0, 1) if k > 1 else torch.ones_like(square)
        halves = (point + tau[:, None] * moves - target).square().sum(1) / 2
        if not replacement:
            halves[indices] = torch.inf
        q = lowest(halves, tie)
        point = point + tau[q] * moves[q]
        weights *= 1 - tau[q]
        weights[q] += tau[q]
        indices.append(q)
        losses.append(float(halves[q]))
    return Path(indices, losses, weights)


def naive_corrective(features: Tensor, target: Tensor, steps: int, replacement: bool) -> Path:
    """Choose argmax |⟨Φ_q, residual⟩| outside the span of the chosen set, then solve least squares on that set anew.

    Example:
        >>> naive_corrective(torch.eye(2), torch.tensor([1.0, 2.0]), 2, replacement=True).losses
        [0.5, 0.0]
    """
    tie, residual = _tie(features, target), target
    dependent_below = 8 * steps * torch.finfo(features.dtype).eps
    weights = torch.zeros(len(features), dtype=torch.float64, device=features.device)
    indices: list[int] = []
    losses: list[float] = []
    independent: list[int] = []
    for _ in range(steps):
        basis = torch.linalg.qr(features[independent].T).Q
        outside = features - features @ basis @ basis.T
        eligible = outside.square().sum(1) > dependent_below * features.square().sum(1)
        eligible[independent] = False
        q = lowest(torch.where(eligible, -(features @ residual).abs(), torch.inf), tie)
        if not eligible[q]:
            break
        independent.append(q)
        solution = torch.linalg.lstsq(features[independent].T, target).solution
        residual = target - solution @ features[independent]
        weights[independent] = solution.double()
        losses.append(float(residual.square().sum()) / 2)
    spare = [q for q in range(len(features)) if q not in independent][: steps - len(independent)]
    last = losses[-1] if losses else float(target.square().sum()) / 2
    indices = independent + spare
    return Path(indices, losses + [last] * len(spare), weights)


def _tie(features: Tensor, target: Tensor) -> float:
    return tie_width(features.square().sum(1), float(target.square().sum()))
