"""Training steps recorded as CUDA graphs and replayed: launching a step of small networks outlasts the step itself."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[Tensor, float], None]


class RecordedSteps:
    """A step that is recorded once per batch size and learning rate, then replayed.

    Arguments:
        step: (index, rate) → None; works on the same buffers at every call and reads nothing back to the host.
        state: the tensors that a step changes.
    """

    def __init__(self, step: Step, state: Sequence[Tensor]) -> None:
        self._step, self._state = step, tuple(state)
        self._recorded: dict[tuple[int, float], tuple[Tensor, torch.cuda.CUDAGraph]] = {}

    def __call__(self, index: Tensor, rate: float) -> None:
        """Take one step on the examples `index` (R, batch)."""
        key = index.shape[1], rate
        if key not in self._recorded:
            self._recorded[key] = self._record(index.clone(), rate)
        buffer, graph = self._recorded[key]
        buffer.copy_(index)
        graph.replay()

    def _record(self, index: Tensor, rate: float) -> tuple[Tensor, torch.cuda.CUDAGraph]:
        """Run once on a side stream (libraries allocate their workspaces on first use), undo it, then capture there."""
        before = [tensor.clone() for tensor in self._state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._step(index, rate)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, old in zip(self._state, before, strict=True):
            tensor.copy_(old)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            self._step(index, rate)
        return index, graph
