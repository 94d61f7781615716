"""The Gram form of a greedy selection problem, which is all that a selection needs to know of its data.

With features Φ (neurons × points) and a target y, ‖Σ_q c_q Φ_q − y‖² = cᵀGc − 2cᵀb + ‖y‖² where
G = ΦΦᵀ and b = Φy. So G, b and ‖y‖² decide every choice and every loss, and each is a sum over
points: batches may come one at a time. Rank-one neurons Φ_q = h_q ⊗ v_q (a hidden unit feeding many
outputs) have G = (HHᵀ) ∘ (VVᵀ), b = rowsum((HY) ∘ V), at a cost that hardly depends on the number of
outputs. Derivation: README.md. Cost: neurons² · points flops, once.

Features, targets and Gram matrices that no selection can be made from are refused before any work.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.checks import require_integer
from pruneproof.errors import InvalidTypeError, InvalidValueError
from pruneproof.kernels.backend import FLOATS
from pruneproof.kernels.memory_order import extremes
from pruneproof.kernels.transforms import without_autocast

_ROWS = 128  # rows of G formed at a time: the working memory is this many rows, and half of the products are saved


@dataclass(eq=False)
class Gram:
    """Inner products of neurons with each other and with the target, accumulated over batches.

    Build one with `from_features`, `from_rank_one`, or `empty` and `update`.

    Args:
        matrix: (neurons, neurons) float, G = ΦΦᵀ, exactly symmetric.
        correlation: (neurons,) float, b = Φy.
        energy: ‖y‖², the squared length of the target.
        points: Number of points summed so far. Nothing is divided by it: scale the features by 1/√m
            beforehand, or the losses by 1/m afterwards, when a mean over m examples is wanted.

    Source: "Fast selection" in kernels/greedy/README.md.

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
        """The Gram form of no points at all, to be filled by `update`.

        Args:
            neurons: How many candidates there are, at least 1.
            dtype: Float64 or float32, the type of the sums.
            device: Where the sums lie.

        Returns:
            Sums that are all zero.

        Raises:
            PruneproofError: For fewer than one neuron or another dtype.

        Example:
            >>> Gram.empty(3).matrix.shape
            torch.Size([3, 3])
        """
        require_integer("Gram.empty", "neurons", neurons)
        if dtype not in (torch.float32, torch.float64):
            raise InvalidValueError(f"Gram.empty: sums are kept in float64 or float32, got {dtype}.")
        matrix = torch.zeros(neurons, neurons, dtype=dtype, device=device)
        return cls(matrix, torch.zeros(neurons, dtype=dtype, device=device), 0.0, 0)

    @classmethod
    def from_features(cls, features: Tensor, target: Tensor) -> "Gram":
        """The Gram form of features held in memory, in their own precision (float32 for half types).

        Args:
            features: (neurons, points) float, each neuron's output on each point.
            target: (points,) float, what the selected neurons should reproduce together.

        Returns:
            All inner products of features and target.

        Raises:
            PruneproofError: For empty, mismatched, NaN or infinite input.

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

        Args:
            hidden: (neurons, points) float, the activation of each unit on each point.
            outgoing: (neurons, outputs) float, the unit's weight to each output.
            target: (points, outputs) float.

        Returns:
            All inner products of Φ and the flattened target.

        Raises:
            PruneproofError: For empty, mismatched, NaN or infinite input.

        Example:
            >>> hidden, outgoing = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
            >>> Gram.from_rank_one(hidden, outgoing, torch.ones(2, 2)).matrix.item()
            125.0
        """
        gram = cls._like("Gram.from_rank_one", hidden, "hidden (neurons, points)")
        gram.update_rank_one(hidden, outgoing, target)
        return gram

    @torch.no_grad()
    @without_autocast
    def update(self, features: Tensor, target: Tensor) -> None:
        """Add a batch of points: G += ΦΦᵀ, b += Φy, ‖y‖² += ‖y_batch‖².

        Args:
            features: (neurons, points) float, any number of points but zero.
            target: (points,) float.

        Raises:
            PruneproofError: For empty, mismatched, NaN or infinite input, before anything is added.

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
    @without_autocast
    def update_rank_one(self, hidden: Tensor, outgoing: Tensor, target: Tensor) -> None:
        """Add a batch of points seen by rank-one neurons: G += (HHᵀ) ∘ (VVᵀ), b += rowsum((HY) ∘ V).

        Args:
            hidden, outgoing, target: As in `from_rank_one`.

        Raises:
            PruneproofError: For empty, mismatched, NaN or infinite input, before anything is added.

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
        """Inner products ⟨Φ_i, Φ_neuron⟩ with every neuron i.

        Args:
            neuron: Its index.

        Returns:
            (neurons,), a view of `matrix`.

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


def require_gram_layout(where: str, gram: Gram) -> None:
    """Refuse a `Gram` put together from tensors that do not belong to each other, or one without points."""
    if gram.points == 0:
        raise InvalidValueError(f"{where}: the Gram has no points yet. Call gram.update(features, target) first.")
    correlation = require_layout(where, gram.correlation, "correlation (neurons,)", (None,))
    shape = (len(correlation), len(correlation))
    matrix = require_layout(where, gram.matrix, "matrix (neurons, neurons)", shape, correlation.device)
    if matrix.dtype != correlation.dtype or matrix.dtype not in (torch.float32, torch.float64):
        raise InvalidValueError(
            f"{where}: matrix and correlation of a Gram must both be float64 or both float32, got {matrix.dtype} "
            f"and {correlation.dtype}. Use Gram.from_features."
        )


def require_finite_gram(where: str, gram: Gram) -> None:
    """Refuse sums that overflowed or hold NaN; |⟨Φ_q, Φ_r⟩| ≤ max ‖Φ_q‖², so the diagonal speaks for the matrix."""
    sums = (gram.diagonal.double().sum() + gram.correlation.double().sum()).item() + gram.energy
    if not math.isfinite(sums):
        raise InvalidValueError(
            f"{where}: the sums of the Gram must be finite. Remove NaN and inf, or rescale the features."
        )


def require_tensor(
    where: str, tensor: object, name: str, shape: tuple[int | None, ...], device: torch.device | None = None
) -> None:
    """Refuse anything but a non-empty floating-point tensor of this shape, on this device, whose squares can be summed.

    Args:
        where: The public function that refuses. `name`: what the tensor is, with its axes.
        tensor: What was received. `shape`: required lengths, None for any. `device`: required
            device, None for any.

    Raises:
        PruneproofError: . Costs one pass and no memory.

    Example:
        >>> require_tensor("Gram.update", torch.ones(2), "target (points,)", (None,))
    """
    require_summable(where, require_layout(where, tensor, name, shape, device), name)


def require_layout(
    where: str, tensor: object, name: str, shape: tuple[int | None, ...], device: torch.device | None = None
) -> Tensor:
    """The part of `require_tensor` that looks at no value, hence can be traced: dtype, shape and device."""
    if not isinstance(tensor, Tensor) or tensor.dtype not in FLOATS:
        shown = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise InvalidTypeError(f"{where}: {name} must be a tensor of floating point, got {shown}. Convert it.")
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.numel() == 0:
        wanted = " x ".join("any" if want is None else str(want) for want in shape)
        raise InvalidValueError(
            f"{where}: {name} must have shape {wanted} and not be empty, got {tuple(tensor.shape)}. "
            "Pass one row per neuron and at least one point."
        )
    if device is not None and tensor.device != device:
        raise InvalidValueError(
            f"{where}: {name} must be on {device}, got {tensor.device}. Move it with .to('{device}')."
        )
    return tensor


def require_summable(where: str, tensor: Tensor, name: str) -> None:
    """Refuse NaN, infinities, and values so large that a sum of their squares overflows."""
    low, high = (float(extreme) for extreme in extremes(tensor))  # propagates NaN, allocates nothing
    limit = max(torch.finfo(tensor.dtype).max, torch.finfo(torch.float32).max)  # half types are summed in float32
    largest = max(-low, high)
    if not largest * largest * tensor.shape[-1] < limit:  # also when NaN, which compares false; a power would raise
        raise InvalidValueError(
            f"{where}: {name} must be finite, with squares that can be summed, got values from {low} to {high}. "
            "Remove NaN and inf, and rescale what is left."
        )
