"""Greedy forward selection with equal weights: u_k = (Φ_{q_1} + … + Φ_{q_k})/k, one O(neurons) update a step.

The k-th choice minimises ½‖z + Φ_q − k y‖² = ½‖z − k y‖² + a_q with a_q = ½‖Φ_q‖² + ⟨z, Φ_q⟩ − k⟨y, Φ_q⟩, z the sum of
the earlier choices. From step to step a changes by −b + G[:, q]; the loss needs only ‖z‖² and ⟨z, y⟩. So the loss path
is free, and a path of k steps contains every shorter one. Source: "Fast selection" in kernels/greedy.md.
"""

import torch

from .greedy_choice import Path, Products, lowest, tie_width


def average_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` neurons, each the best next summand of the equal-weight average; ties to the lowest index.

    Example:
        >>> from .gram import Gram
        >>> gram = Gram.from_features(torch.tensor([[0.0], [3.0]]), torch.tensor([1.0]))
        >>> average_path(gram, 3, replacement=True).indices
        [0, 1, 0]
    """
    diagonal, correlation = products.diagonal.double(), products.correlation.double()
    half_score, tie = diagonal / 2, tie_width(diagonal, products.energy)
    energies, inner = diagonal.tolist(), correlation.tolist()  # read one by one without a device round trip
    sum_energy, sum_inner = 0.0, 0.0  # ‖z‖² and ⟨z, y⟩
    indices: list[int] = []
    losses: list[float] = []
    for k in range(1, steps + 1):
        half_score -= correlation
        q = lowest(half_score, tie * k)
        sum_energy += 2 * (float(half_score[q]) + k * inner[q])  # ‖z + Φ_q‖² − ‖z‖² = 2⟨z, Φ_q⟩ + ‖Φ_q‖²
        sum_inner += inner[q]
        half_score += products.column(q)
        if not replacement:
            half_score[q] = torch.inf
        indices.append(q)
        losses.append(max(0.0, sum_energy / k**2 - 2 * sum_inner / k + products.energy) / 2)
    weights = torch.bincount(torch.tensor(indices), minlength=len(energies)).double() / steps
    return Path(indices, losses, weights.to(diagonal.device))
