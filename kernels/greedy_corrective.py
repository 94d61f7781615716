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
    correlation = products.correlation.double()  # ⟨Φ_q, y − u⟩
    squares, tie = products.diagonal.double(), tie_width(products.diagonal, products.energy)
    precision = torch.finfo(products.correlation.dtype).eps
    dependent_below = 8 * steps * precision * squares  # what rounding leaves of a squared distance to the span
    rows = products.correlation.new_empty(steps, len(correlation))
    eligible = squares > dependent_below
    coordinates: list[float] = []  # ⟨y, e_j⟩
    chosen: list[int] = []
    losses: list[float] = []
    loss = products.energy / 2
    for j in range(steps):
        q = lowest(torch.where(eligible, -correlation.abs(), torch.inf), tie)
        if not eligible[q]:
            break
        length = float(squares[q]) ** 0.5
        coordinate = float(correlation[q]) / length
        row = torch.addmv(products.column(q), rows[:j].T, rows[:j, q], alpha=-1).div_(length)
        rows[j] = row
        correlation = correlation - coordinate * row
        squares = squares - row.double().square()
        eligible &= squares > dependent_below
        eligible[q] = False
        loss = max(0.0, loss - coordinate**2 / 2)
        coordinates.append(coordinate)
        chosen.append(q)
        losses.append(loss)
    weights = _least_squares_weights(rows[: len(chosen)], chosen, coordinates)
    spare = _unchosen(chosen, len(weights))[: steps - len(chosen)]
    return Path(chosen + spare, losses + [loss] * len(spare), weights)


def _least_squares_weights(rows: Tensor, chosen: list[int], coordinates: list[float]) -> Tensor:
    """Solve Rᵀ-triangular: the chosen block of `rows` is the Cholesky factor's transpose."""
    weights = rows.new_zeros(rows.shape[1], dtype=torch.float64)
    factor = rows[:, chosen].double().triu()
    target = torch.tensor(coordinates, dtype=torch.float64, device=rows.device)[:, None]
    weights[chosen] = torch.linalg.solve_triangular(factor, target, upper=True)[:, 0]
    return weights


def _unchosen(chosen: list[int], neurons: int) -> list[int]:
    free = torch.ones(neurons, dtype=torch.bool)
    free[chosen] = False
    return free.nonzero()[:, 0].tolist()
