"""The three rules of greedy selection on inner products: equal weights, line search, fully corrective.

Every rule chooses the candidate of lowest score, and among scores that differ by rounding only the
lowest index. Each needs the same few inner products, from a Gram matrix or from the features.

*Equal weights*, u_k = (Φ_{q_1} + … + Φ_{q_k})/k: the k-th choice minimises
½‖z + Φ_q − k y‖² = ½‖z − k y‖² + a_q with a_q = ½‖Φ_q‖² + ⟨z, Φ_q⟩ − k⟨y, Φ_q⟩, z the sum of the
earlier choices. From step to step a changes by −b + G[:, q]; the loss needs only ‖z‖² and ⟨z, y⟩.
A step costs O(neurons), and a path of k steps contains every shorter one. Source: "Fast selection"
in README.md.

*Line search*, u ← u + τ(Φ_q − u) with q and τ ∈ [0, 1] chosen jointly: for a fixed q the loss falls by
τ·slope − ½τ²·square, slope = ⟨Φ_q − u, y − u⟩ and square = ‖Φ_q − u‖², so the best τ is slope/square
clipped to [0, 1]. The path starts at the single best neuron, which is why the bound G3 holds for it
with k − 1 contractions after k choices. O(neurons) a step. Source: G3 in
theory/theorems/greedy/proof.md.

*Fully corrective*: after each choice the weights are the least-squares weights of the chosen set, and
the next neuron is the one most correlated with the residual, argmax |⟨Φ_q, y − u⟩|: orthogonal
matching pursuit (Pati, Rezaiifar, Krishnaprasad 1993), the same choice as scikit-learn's
`orthogonal_mp_gram`. The Cholesky factor of the chosen Gram block grows by one row a step. Row j of
`rows` is ⟨Φ_i, e_j⟩ for all i, e_j the j-th orthonormalised choice; its entries at the chosen neurons
are that factor. Step k + 1 costs O(neurons · k); the memory is steps · neurons.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

# Scores are differences of inner products. In float64 their rounding errors stay below this fraction of the problem's
# scale (2**-52 per operation, times what accumulates); a smaller difference is a tie, whichever method computed it.
TIE = 2.0**-46


class Products(Protocol):
    """Inner products of a problem's neurons and target; `Gram` and `FeatureProducts` are the two implementations."""

    energy: float

    @property
    def correlation(self) -> Tensor:
        """⟨Φ_q, y⟩, (neurons,)."""
        ...

    @property
    def diagonal(self) -> Tensor:
        """‖Φ_q‖², (neurons,)."""
        ...

    def column(self, neuron: int) -> Tensor:
        """⟨Φ_i, Φ_neuron⟩ for every i, (neurons,)."""
        ...


class Path(NamedTuple):
    """What a rule returns: the chosen neurons in order, the loss after each, the weights after the last."""

    indices: list[int]
    losses: list[float]
    weights: Tensor


def lowest(scores: Any, tie: float) -> int:
    """The lowest index whose score is within `tie` of the smallest one, of a tensor or an array.

    Example:
        >>> lowest(torch.tensor([2.0, 1.0 + 1e-9, 1.0]), tie=1e-6)
        1
    """
    if isinstance(scores, Tensor):
        return int((scores <= float(scores.min()) + tie).view(torch.uint8).argmax())  # argmax returns the first
    return int((scores <= scores[scores.argmin()] + tie).argmax())


def array(tensor: Tensor) -> Any:
    """The same memory for NumPy, whose calls on short arrays take a third of torch's time; on a GPU the tensor itself.

    Example:
        >>> type(array(torch.zeros(2))).__name__
        'ndarray'
    """
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def tie_width(diagonal: Tensor, energy: float) -> float:
    """Rounding error of a score in the problem's own units: `TIE` times the largest squared length.

    Example:
        >>> tie_width(torch.tensor([1.0, 3.0]), 1.0) == 4 * TIE
        True
    """
    return TIE * (float(diagonal.max()) + energy)


def average_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` neurons, each the best next summand of the equal-weight average; ties to the lowest index.

    Example:
        >>> from pruneproof.kernels.greedy.problem import Gram
        >>> gram = Gram.from_features(torch.tensor([[0.0], [3.0]]), torch.tensor([1.0]))
        >>> average_path(gram, 3, replacement=True).indices
        [0, 1, 0]
    """
    diagonal, correlation = products.diagonal.double(), products.correlation.double()
    half_score, tie = array(diagonal / 2), tie_width(diagonal, products.energy)
    energies, inner = diagonal.tolist(), correlation.tolist()  # read one by one without a device round trip
    fall = array(correlation)
    sum_energy, sum_inner = 0.0, 0.0  # ‖z‖² and ⟨z, y⟩
    indices: list[int] = []
    losses: list[float] = []
    for k in range(1, steps + 1):
        half_score -= fall
        q = lowest(half_score, tie * k)
        sum_energy += 2 * (float(half_score[q]) + k * inner[q])  # ‖z + Φ_q‖² − ‖z‖² = 2⟨z, Φ_q⟩ + ‖Φ_q‖²
        sum_inner += inner[q]
        half_score += array(products.column(q))
        if not replacement:
            half_score[q] = torch.inf
        indices.append(q)
        losses.append(max(0.0, sum_energy / k**2 - 2 * sum_inner / k + products.energy) / 2)
    weights = torch.bincount(torch.tensor(indices), minlength=len(energies)).double() / steps
    return Path(indices, losses, weights.to(diagonal.device))


def line_search_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` neurons and convex weights, each step the largest fall of the loss; ties to the lowest index.

    Example:
        >>> from pruneproof.kernels.greedy.problem import Gram
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


def corrective_path(products: Products, steps: int, replacement: bool) -> Path:
    """Choose `steps` distinct neurons with refitted weights (`replacement` cannot matter); ties to the lowest index.

    A neuron in the span of the chosen ones cannot lower the loss: it is chosen only when no other is left, lowest index
    first, with weight zero.

    Example:
        >>> from pruneproof.kernels.greedy.problem import Gram
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
