"""The Gram form of a greedy selection problem: all that choosing neurons needs to know about data of any size.

With features Φ (neurons × points) and a target y, ‖Σ_q c_q Φ_q − y‖² = cᵀGc − 2cᵀb + ‖y‖² where G = ΦΦᵀ and b = Φy.
So G, b and ‖y‖² decide every choice and every loss, and each is a sum over points: batches may come one at a time.
Rank-one neurons Φ_q = h_q ⊗ v_q (a hidden unit feeding many outputs) have G = (HHᵀ) ∘ (VVᵀ), b = rowsum((HY) ∘ V), at a
cost that hardly depends on the number of outputs. Derivation: kernels/greedy.md. Cost: neurons² · points flops, once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PruneproofError
from .greedy_input import require_tensor

_ROWS = 128  # rows of G formed at a time: the working memory is this many rows, and half of the products are saved


@dataclass(eq=False)
class Gram:
    """Inner products of neurons with each other and with the target, accumulated over batches.

    **Arguments** (of the fields; build one with `from_features`, `from_rank_one`, or `empty` and `update`)

    - `matrix`: (neurons, neurons) float, G = ΦΦᵀ, exactly symmetric.
    - `correlation`: (neurons,) float, b = Φy.
    - `energy`: ‖y‖², the squared length of the target.
    - `points`: number of points summed so far. Nothing is divided by it: scale the features by 1/√m beforehand, or the
      losses by 1/m afterwards, when a mean over m examples is wanted.

    Source: "Fast selection" in kernels/greedy.md.

    Example:
        >>> gram = Gram.empty(2)
        >>> gram.update(torch.eye(2), torch.tensor([1.0, 2.0]))
        >>> gram.correlation.tolist(), gram.energy, gram.points
        ([1.0, 2.0], 5.0, 2)
    """

    matrix: Tensor
    correlation: Tensor
    energy: float
    points: int

    @classmethod
    def empty(
        cls, neurons: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
    ) -> "Gram":
        """The Gram form of no points at all, to be filled by `update`; accumulates in float64 unless told otherwise.

        **Arguments**

        - `neurons`: how many candidates there are, at least 1.
        - `dtype`: float64 or float32, the type of the sums. `device`: where they live.

        Raises `PruneproofError` for fewer than one neuron or another dtype.

        Example:
            >>> Gram.empty(3).matrix.shape
            torch.Size([3, 3])
        """
        if isinstance(neurons, bool) or not isinstance(neurons, int) or neurons < 1:
            raise PruneproofError("Gram.empty", required="at least one neuron", received=neurons, remedy="pass neurons")
        if dtype not in (torch.float32, torch.float64):
            required = "float64 or float32 accumulation"
            raise PruneproofError("Gram.empty", required=required, received=dtype, remedy="pass dtype=torch.float64")
        matrix = torch.zeros(neurons, neurons, dtype=dtype, device=device)
        return cls(matrix, torch.zeros(neurons, dtype=dtype, device=device), 0.0, 0)

    @classmethod
    def from_features(cls, features: Tensor, target: Tensor) -> "Gram":
        """The Gram form of features held in memory, in their own precision (float32 for half types).

        **Arguments**

        - `features`: (neurons, points) float, each neuron's output on each point.
        - `target`: (points,) float, what the selected neurons should reproduce together.

        Raises `PruneproofError` for empty, mismatched, NaN or infinite input.

        Example:
            >>> Gram.from_features(torch.eye(2), torch.ones(2)).matrix.tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        gram = cls._like("Gram.from_features", features, "features (neurons, points)")
        gram.update(features, target)
        return gram

    @classmethod
    def from_rank_one(cls, hidden: Tensor, outgoing: Tensor, target: Tensor) -> "Gram":
        """The Gram form of hidden units that feed many outputs, Φ_q = hidden_q ⊗ outgoing_q, without forming Φ.

        **Arguments**

        - `hidden`: (neurons, points) float, the activation of each unit on each point.
        - `outgoing`: (neurons, outputs) float, the unit's weight to each output.
        - `target`: (points, outputs) float.

        Raises `PruneproofError` for empty, mismatched, NaN or infinite input.

        Example:
            >>> hidden, outgoing = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
            >>> Gram.from_rank_one(hidden, outgoing, torch.ones(2, 2)).matrix.item()
            125.0
        """
        gram = cls._like("Gram.from_rank_one", hidden, "hidden (neurons, points)")
        gram.update_rank_one(hidden, outgoing, target)
        return gram

    @torch.no_grad()
    def update(self, features: Tensor, target: Tensor) -> None:
        """Add a batch of points: G += ΦΦᵀ, b += Φy, ‖y‖² += ‖y_batch‖².

        **Arguments**

        - `features`: (neurons, points) float. `target`: (points,) float. Any number of points but zero.

        Raises `PruneproofError` for empty, mismatched, NaN or infinite input, before anything is added.

        Example:
            >>> gram = Gram.empty(1)
            >>> gram.update(torch.tensor([[3.0]]), torch.tensor([2.0]))
            >>> gram.update(torch.tensor([[1.0]]), torch.tensor([1.0]))
            >>> gram.matrix.item(), gram.correlation.item(), gram.energy
            (10.0, 7.0, 5.0)
        """
        phi = self._batch("Gram.update", features, "features (neurons, points)", (len(self.matrix), None))
        y = self._batch("Gram.update", target, "target (points,)", (phi.shape[1],))
        _add_symmetric_product(self.matrix, phi)
        self.correlation += phi @ y
        self._count(y, phi.shape[1])

    @torch.no_grad()
    def update_rank_one(self, hidden: Tensor, outgoing: Tensor, target: Tensor) -> None:
        """Add a batch of points seen by rank-one neurons: G += (HHᵀ) ∘ (VVᵀ), b += rowsum((HY) ∘ V).

        **Arguments** as in `from_rank_one`.

        Raises `PruneproofError` for empty, mismatched, NaN or infinite input, before anything is added.

        Example:
            >>> gram = Gram.empty(1)
            >>> gram.update_rank_one(torch.tensor([[2.0]]), torch.tensor([[1.0, 1.0]]), torch.ones(1, 2))
            >>> gram.matrix.item(), gram.correlation.item()
            (8.0, 4.0)
        """
        where, neurons = "Gram.update_rank_one", len(self.matrix)
        h = self._batch(where, hidden, "hidden (neurons, points)", (neurons, None))
        v = self._batch(where, outgoing, "outgoing (neurons, outputs)", (neurons, None))
        y = self._batch(where, target, "target (points, outputs)", (h.shape[1], v.shape[1]))
        _add_symmetric_product(self.matrix, h, v)
        self.correlation += ((h @ y) * v).sum(1)
        self._count(y, h.shape[1])

    @property
    def diagonal(self) -> Tensor:
        """Squared lengths ‖Φ_q‖² of the neurons, (neurons,).

        Example:
            >>> Gram.from_features(torch.tensor([[3.0, 4.0]]), torch.ones(2)).diagonal.tolist()
            [25.0]
        """
        return self.matrix.diagonal()

    def column(self, neuron: int) -> Tensor:
        """Inner products ⟨Φ_i, Φ_neuron⟩ with every neuron i, (neurons,).

        Example:
            >>> Gram.from_features(torch.eye(2), torch.ones(2)).column(1).tolist()
            [0.0, 1.0]
        """
        return self.matrix[neuron]  # a row: G is exactly symmetric, and rows are contiguous

    @classmethod
    def _like(cls, where: str, features: Tensor, name: str) -> "Gram":
        require_tensor(where, features, name, (None, None))
        dtype = torch.float64 if features.dtype is torch.float64 else torch.float32
        return cls.empty(len(features), dtype=dtype, device=features.device)

    def _batch(self, where: str, tensor: Tensor, name: str, shape: tuple[int | None, ...]) -> Tensor:
        require_tensor(where, tensor, name, shape, self.matrix.device)
        return tensor.to(self.matrix.dtype)

    def _count(self, target: Tensor, points: int) -> None:
        self.energy += float(target.double().square().sum())
        self.points += points


def _add_symmetric_product(matrix: Tensor, rows: Tensor, factors: Tensor | None = None) -> None:
    """matrix += rows rowsᵀ (∘ factors factorsᵀ) by blocks of the upper triangle, mirrored: half the work, symmetric."""
    for start in range(0, len(rows), _ROWS):
        stop = start + _ROWS
        block = rows[start:stop] @ rows[start:].T
        if factors is not None:
            block *= factors[start:stop] @ factors[start:].T
        corner = block[:, :_ROWS]
        corner.copy_(corner.triu() + corner.triu(1).T)
        matrix[start:stop, start:] += block
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
