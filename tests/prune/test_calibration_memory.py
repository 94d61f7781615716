"""Calibrated pruning holds no more than two blocks beside the model: counted in bytes of tensors that are alive."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruneproof.prune import calibrated
from pruneproof.prune.calibration.statistics import InputGrams

WIDTH, HIDDEN, ROWS = 256, 704, 16  # the proportions of a block of Llama; few rows, so that weights dominate


class Block(nn.Module):
    """Query, key, value and output without the attention, then a gated perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.o(self.q(x) * self.k(x) + self.v(x))
        return x + self.down(self.gate(x) * self.up(x))


class LiveBytes(TorchDispatchMode):
    """The most bytes of storages that operations have made and that were alive at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._alive[StorageWeakRef(storage)] = storage.nbytes()
        self._alive = {storage: nbytes for storage, nbytes in self._alive.items() if not storage.expired()}
        self.peak = max(self.peak, sum(self._alive.values()))
        return result


def blocks_beside_the_model(method: Any) -> float:
    """The peak in blocks; views count their whole storage, so that the model's own weights are seen and taken off."""
    torch.manual_seed(0)
    model = nn.Sequential(*(Block() for _ in range(2)))
    batches = [torch.randn(ROWS, WIDTH) for _ in range(4)]
    block, whole = (4 * sum(p.numel() for p in part.parameters()) for part in (model[0], model))
    with LiveBytes() as live:
        calibrated(model, batches, method=method, density=0.5)
    assert live.peak > whole
    return (live.peak - whole) / block


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "magnitude"])
def test_two_blocks_beside_the_model(method: str) -> None:
    assert blocks_beside_the_model(method) <= 1.75  # the dense block, and less than the layer at work needs twice


def test_a_copy_of_the_gram_matrices_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    held, take = list[Tensor](), InputGrams.take

    def leak(*args: Any) -> list[Tensor]:
        held.extend(take(*args))
        return [matrix.clone() for matrix in held[-1:]]

    monkeypatch.setattr(InputGrams, "take", leak)
    assert blocks_beside_the_model("sparsegpt") > 2
