"""What a pruning method has to know of a layer's inputs, added up batch by batch.

*Wanda* needs the squared norm of each input, *SparseGPT* the Gram matrix of the inputs, *SiPP* the
largest share of each weight. Layers that receive the same tensor (query, key and value; gate and up)
share one Gram matrix, recognised by the storage and version of what they are called with.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pruneproof.errors import UnsupportedError
from pruneproof.kernels.greedy.problem import Gram
from pruneproof.kernels.sensitivity.op import sensitivities
from pruneproof.prune.models.layers import Layer
from pruneproof.prune.scores._wanda import squared_inputs

from .layers import has_rows, is_linear, rows_read


class Statistics(Protocol):
    """Adds up what layers read."""

    def add(self, layer: Layer, module: nn.Module, inputs: Tensor, rest: Sequence[Any], keep: Tensor | None) -> None:
        """Take in one call of a layer; `keep` says which rows count."""
        ...

    def finish(self) -> None:
        """After the last call of a batch."""
        ...


class NoStatistics:
    """Magnitude looks at no inputs."""

    def add(self, layer: Layer, module: nn.Module, inputs: Tensor, rest: Sequence[Any], keep: Tensor | None) -> None:
        """Nothing to add."""

    def finish(self) -> None:
        """Nothing to finish."""


class InputNorms:
    """Σ x_j², in float32 at least: a vector for a linear layer, a tensor of the weight's shape for others."""

    def __init__(self) -> None:
        self._squares: dict[str, Tensor] = {}

    def add(self, layer: Layer, module: nn.Module, inputs: Tensor, rest: Sequence[Any], keep: Tensor | None) -> None:
        """Add the squares of one call."""
        if is_linear(module):
            (rows,) = rows_read(module, inputs.detach(), keep)
            squares = rows.to(torch.promote_types(rows.dtype, torch.float32)).square().sum(0)
        else:
            squares = layer.matrix(squared_inputs(module, (inputs, *rest)))
        known = self._squares.get(layer.name)
        self._squares[layer.name] = squares if known is None else known.add_(squares)

    def finish(self) -> None:
        """Nothing is pending."""

    def scores(self, layer: Layer) -> Tensor:
        """|w_ij| · ‖x_j‖₂ as (outputs, inputs of one output), in float32 at least."""
        norms = self._squares[layer.name].sqrt()
        return layer.matrix(layer.weight.detach()).to(norms.dtype).abs().mul_(norms)


class InputGrams:
    """X Xᵀ of the rows that each group of a layer reads."""

    def __init__(self) -> None:
        self._grams: dict[tuple[str, ...], list[Gram]] = {}
        self._pending: tuple[Tensor, tuple[object, ...], list[Tensor], list[str]] | None = None

    def add(self, layer: Layer, module: nn.Module, inputs: Tensor, rest: Sequence[Any], keep: Tensor | None) -> None:
        """Take the rows of one call, or note that they are those of the call before."""
        key = (*_identity(inputs), None if keep is None else id(keep), is_linear(module))
        if self._pending is not None and is_linear(module) and self._pending[1] == key:
            self._pending[3].append(layer.name)
            return
        self.finish()
        parts = [
            rows.to(torch.promote_types(rows.dtype, torch.float32), copy=True)  # the model may overwrite its own
            for rows in rows_read(module, inputs.detach(), keep)
            if len(rows)
        ]
        if parts:
            self._pending = (inputs, key, parts, [layer.name])  # the tensor is held, so that its storage stays its own

    def finish(self) -> None:
        """Add the products of what is pending to the Gram matrices of the layers that share it."""
        if self._pending is None:
            return
        _, _, parts, names = self._pending
        self._pending = None
        if tuple(names) not in self._grams:
            self._grams[tuple(names)] = [Gram.empty(len(x.T), dtype=x.dtype, device=x.device) for x in parts]
        for gram, rows in zip(self._grams[tuple(names)], parts, strict=True):
            gram.update(rows.T, rows.new_zeros(len(rows)))

    def shared(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Which sums make up a layer's Gram matrices: layers with an equal answer have equal ones."""
        return tuple(names for names in self._grams if name in names)

    def take(self, name: str, waiting: Collection[str]) -> list[Tensor]:
        """The Gram matrix of each group of a layer, to be overwritten; a copy where other layers wait for it."""
        first, *others = (self._grams[names] for names in self.shared(name))
        awaited = any(set(names) & set(waiting) for names in self.shared(name))
        matrices = [gram.matrix.clone() if awaited else gram.matrix for gram in first]
        for parts in others:
            for matrix, gram in zip(matrices, parts, strict=True):
                matrix += gram.matrix
        for names in self.shared(name):
            if not set(names) & set(waiting):
                del self._grams[names]
        return matrices


class InputShares:
    """The largest share that each weight ever has in its half-row's sum: SiPP's sensitivities."""

    def __init__(self) -> None:
        self._shares: dict[str, Tensor] = {}

    def add(self, layer: Layer, module: nn.Module, inputs: Tensor, rest: Sequence[Any], keep: Tensor | None) -> None:
        """Take the larger of the shares so far and those of one call."""
        weight = layer.matrix(layer.weight.detach())
        wide = torch.promote_types(weight.dtype, torch.float32)
        parts = [
            sensitivities(part.to(wide).contiguous(), rows.to(wide))
            for part, rows in zip(weight.chunk(layer.groups), rows_read(module, inputs.detach(), keep), strict=True)
        ]
        shares, known = torch.cat(parts), self._shares.get(layer.name)
        self._shares[layer.name] = shares if known is None else torch.maximum(known, shares)

    def finish(self) -> None:
        """Nothing is pending."""

    def scores(self, layer: Layer) -> Tensor:
        """The sensitivities, (outputs, inputs of one output)."""
        return self._shares[layer.name]


def _identity(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two tensors of the same content because of the same memory, as long as one of them is held."""
    return (tensor.data_ptr(), tensor._version, tuple(tensor.shape), tensor.stride(), tensor.dtype)


def require_rows(method: str, layers: Sequence[Layer], *, where: str) -> None:
    """Refuse layers whose rows of inputs the method would need and that have none.

    Raises:
        UnsupportedError: Such as a transposed or 3-d convolution.
    """
    if method not in ("sparsegpt", "sipp"):
        return
    for layer in layers:
        for module in layer.modules:
            if not has_rows(module):
                raise UnsupportedError(
                    f"{where}: {method} is defined for linear layers and 1-d and 2-d convolutions, and {layer.name} "
                    f'belongs to {type(module).__name__}. Leave it dense by exclude=["{layer.name}"], or take '
                    'method="wanda", which knows every layer.'
                )


STATISTICS: Mapping[str, type[NoStatistics] | type[InputNorms] | type[InputGrams] | type[InputShares]] = {
    "magnitude": NoStatistics,
    "wanda": InputNorms,
    "sparsegpt": InputGrams,
    "sipp": InputShares,
}
