"""Greedy selection with line search: u ← u + τ(Φ_q − u), neuron and step τ ∈ [0, 1] chosen jointly; O(neurons) a step.

For a fixed q the loss falls by τ·slope − ½τ²·square, slope = ⟨Φ_q − u, y − u⟩ and square = ‖Φ_q − u‖², so the best τ is
slope/square clipped to [0, 1]. The path starts at the single best neuron, which is why the bound G3 holds for it with
k − 1 contractions after k choices. Source: G3 in theory/greedy.md.
"""

import torch

from .greedy_choice import Path, Products, lowest, tie_width


def line_search_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` neurons and convex weights, each step the largest fall of the loss; ties to the lowest index.

    Example:
        >>> from .gram import Gram
        >>> gram = Gram.from_features(torch.tensor([[0.0], [4.0]]), torch.tensor([1.0]))
        >>> line_search_path(gram, 2, replacement=True).weights.tolist()
        [0.75, 0.25]
    """
    diagonal, correlation = products.diagonal.double(), products.correlation.double()
    tie, smallest = tie_width(diagonal, products.energy), torch.finfo(torch.float64).tiny
    with_point = torch.zeros_like(diagonal)  # ⟨Φ_q, u⟩
    point_energy, point_inner = 0.0, 0.0  # ‖u‖² and ⟨u, y⟩
    weights, taken = torch.zeros_like(diagonal), torch.zeros_like(diagonal, dtype=torch.bool)
    indices: list[int] = []
    losses: list[float] = []
    for k in range(1, steps + 1):
        slope = correlation - with_point + (point_energy - point_inner)
        square = (diagonal - 2 * with_point + point_energy).clamp_min(smallest)
        tau = (slope / square).clamp(0, 1) if k > 1 else torch.ones_like(slope)  # the first choice is u itself
        rise = tau * (tau * square / 2 - slope)
        if not replacement:
            rise[taken] = torch.inf
        q = lowest(rise, tie)
        step, rest = float(tau[q]), 1 - float(tau[q])
        point_energy = rest**2 * point_energy + 2 * step * rest * float(with_point[q]) + step**2 * float(diagonal[q])
        point_inner = rest * point_inner + step * float(correlation[q])
        with_point = rest * with_point + step * products.column(q)
        weights *= rest
        weights[q] += step
        taken[q] = True
        indices.append(q)
        losses.append(max(0.0, point_energy - 2 * point_inner + products.energy) / 2)
    return Path(indices, losses, weights)
