"""Fully corrective selection: after each choice the weights are the least-squares weights of the chosen set.

The next neuron is the one most correlated with the residual, argmax |⟨Φ_q, y − u⟩|: orthogonal matching pursuit (Pati,
Rezaiifar, Krishnaprasad 1993), the same choice as scikit-learn's `orthogonal_mp_gram`. The Cholesky factor of the
chosen Gram block grows by one row a step. Row j of `rows` is ⟨Φ_i, e_j⟩ for all i, e_j the j-th orthonormalised choice;
its entries at the chosen neurons are that factor. One product of the k rows with a vector is the cost of step k + 1:
O(neurons · k), and the memory is steps · neurons. Derivation: kernels/greedy.md.
"""

import torch
from torch import Tensor

from .greedy_choice import Path, Products, lowest, tie_width


def corrective_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` distinct neurons with refitted weights (`replacement` cannot matter); ties to the lowest index.

    A neuron in the span of the chosen ones cannot lower the loss: it is chosen only when no other is left, lowest index
    first, with weight zero.

    Example:
        >>> from .gram import Gram
        >>> features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> path = corrective_path(Gram.from_features(features, torch.tensor([3.0, 1.0])), 3, replacement=True)
        >>> path.indices, path.losses, path.weights.tolist()
        ([1, 2, 0], [0.5, 0.0, 0.0], [0.0, 1.5, 1.0])
    """
    correlation = products.correlation.clone()  # becomes ⟨Φ_q, y − u⟩
    squares, tie = products.diagonal.tolist(), tie_width(products.diagonal, products.energy)
    rounding = 8 * steps * torch.finfo(correlation.dtype).eps  # relative, of a squared distance to the span
    spent = torch.zeros_like(correlation)  # inf for a neuron that is chosen or found dependent
    rows = correlation.new_empty(steps, len(squares))
    coordinates: list[float] = []  # ⟨y, e_j⟩
    chosen: list[int] = []
    losses: list[float] = []
    loss = products.energy / 2
    for _ in range(len(squares)):
        q = lowest(spent - correlation.abs(), tie)
        spent[q] = torch.inf
        j = len(chosen)
        projection = rows[:j, q].contiguous()  # Φ_q in the basis so far; the product below wants it in one piece
        square = squares[q] - float(projection @ projection)
        if square <= rounding * squares[q]:
            continue
        length = square**0.5
        torch.addmv(products.column(q), rows[:j].T, projection, alpha=-1, out=rows[j]).div_(length)
        coordinate = float(correlation[q]) / length
        correlation.sub_(rows[j], alpha=coordinate)
        loss = max(0.0, loss - coordinate**2 / 2)
        coordinates.append(coordinate)
        chosen.append(q)
        losses.append(loss)
        if len(chosen) == steps:
            break
    weights = _least_squares_weights(rows[: len(chosen)], chosen, coordinates)
    spare = _unchosen(chosen, len(weights))[: steps - len(chosen)]
    return Path(chosen + spare, losses + [loss] * len(spare), weights)


def _least_squares_weights(rows: Tensor, chosen: list[int], coordinates: list[float]) -> Tensor:
    """Weights w with Σ_i w_i ⟨Φ_i, e_j⟩ = ⟨y, e_j⟩: triangular, as a chosen neuron has no part in later directions."""
    weights = rows.new_zeros(rows.shape[1], dtype=torch.float64)
    target = torch.tensor(coordinates, dtype=rows.dtype, device=rows.device)[:, None]
    weights[chosen] = torch.linalg.solve_triangular(rows[:, chosen], target, upper=True)[:, 0].double()
    return weights


def _unchosen(chosen: list[int], neurons: int) -> list[int]:
    free = torch.ones(neurons, dtype=torch.bool)
    free[chosen] = False
    return free.nonzero()[:, 0].tolist()
