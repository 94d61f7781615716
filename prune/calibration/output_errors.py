"""How far a pruned layer's output is from the dense one, on the inputs that it reads in the pruned network.

The relative output error of a layer is ‖(Ŵ − W)X‖ / ‖WX‖ (Frobenius norms, bias left out) over all
rows of all batches, padding aside. With held-out batches, each item of a batch (a sentence, an
image) has such an error of its own; if the items are independent draws from a population, an order
statistic of them bounds the error on a new item whatever the distribution (S5 in
theory/theorems/sensitivity/proof.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.prune.models.layers import Layer

from .layers import is_linear, output_with, without_bias
from .survey import kept_rows

_Sums = tuple[Tensor, Tensor]


class OutputErrors:
    """Adds up squared errors and squared outputs for layers whose present weight is compared with others.

    Args:
        others: Parameter name → the weights to compare with.
        present_is_dense: Whether the present weight is the one that errors are relative to.
    """

    def __init__(self, others: Mapping[str, Sequence[Tensor]], *, present_is_dense: bool) -> None:
        self._others, self._present_is_dense = others, present_is_dense
        self._batch: dict[tuple[str, int], _Sums] = {}
        self._done: dict[tuple[str, int], list[_Sums]] = {}
        self._items = True

    def add(
        self,
        layer: Layer,
        module: nn.Module,
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
        output: Tensor,
        masks: Sequence[Tensor],
        items: int,
    ) -> None:
        """Compare one call of a layer; `items` is the number of items in the batch."""
        for index, weight in enumerate(self._others[layer.name]):
            other = output_with(module, weight, arguments, named)
            dense = without_bias(module, output if self._present_is_dense else other)
            sums = (_by_item(other - output, module, masks, items), _by_item(dense, module, masks, items))
            known = self._batch.get((layer.name, index))
            if known is not None and len(known[0]) == len(sums[0]):
                sums = (known[0] + sums[0], known[1] + sums[1])
            elif known is not None:
                sums = (known[0].sum(0, True) + sums[0].sum(0, True), known[1].sum(0, True) + sums[1].sum(0, True))
            self._batch[layer.name, index] = sums

    def finish(self) -> None:
        """After the last call of a batch."""
        for key, sums in self._batch.items():
            self._done.setdefault(key, []).append(sums)
        self._batch = {}

    def total(self, name: str, index: int) -> float:
        """The relative error of a layer over all batches."""
        parts = self._done.get((name, index), [])
        error, output = (sum(float(part[i].sum()) for part in parts) for i in (0, 1))
        return _ratio(error, output)

    def by_item(self, name: str, index: int, items: int) -> Tensor | None:
        """The relative error of each item; `None` if the layer's output does not keep the items apart."""
        parts = self._done.get((name, index), [])
        if sum(len(part[0]) for part in parts) != items:
            return None
        error, output = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        return torch.tensor([_ratio(e, o) for e, o in zip(error.tolist(), output.tolist(), strict=True)])


def _by_item(values: Tensor, module: nn.Module, masks: Sequence[Tensor], items: int) -> Tensor:
    """Sums of squares: one for each item where the first dimension counts items, else one; padding aside."""
    wide = torch.promote_types(values.dtype, torch.float32)
    values = values.detach()
    if values.ndim < 2 or len(values) != items:
        return torch.linalg.vector_norm(values, dtype=wide).double().square().reshape(1).cpu()
    keep = kept_rows(values, masks) if is_linear(module) else None
    if keep is None:
        return torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=wide).double().square().cpu()
    squares = torch.linalg.vector_norm(values, dim=-1, dtype=wide).double().square()
    return (squares * keep.reshape(keep.shape + (1,) * (squares.ndim - 2))).flatten(1).sum(1).cpu()


def _ratio(error: float, output: float) -> float:
    if error == 0:
        return 0.0
    return (error / output) ** 0.5 if output > 0 else float("inf")
