"""How often each layer's weight is multiplied in one forward pass.

A weight is used once at every position of the output; a transposed convolution uses it at every position of its input.
Cost: one forward pass.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]

from ..errors import PruneproofError
from .scores._frozen import Inputs, call, frozen
from .trial import trial


def count_positions(
    model: nn.Module, layers: dict[nn.Module, str], input_shape: Sequence[int] | Inputs
) -> dict[str, int]:
    """Count them on one batch.

    **Arguments:**

    - `model`: the network; buffers, modes and random generators are as before.
    - `layers`: module → the name of its weight.
    - `input_shape`: shape of a batch of one example, or the inputs themselves.

    **Returns:** name → positions; a layer that is not called as a module has no entry.

    **Raises:** `PruneproofError` if the model does not take the inputs.
    """
    remedy = "pass the shape of a batch of one example"
    with trial("inspect_model", required="inputs that the model takes", remedy=remedy):
        return _counted(model, layers, input_shape)


def _counted(model: nn.Module, layers: dict[nn.Module, str], input_shape: Sequence[int] | Inputs) -> dict[str, int]:
    inputs: Any = input_shape
    if isinstance(input_shape, Sequence) and all(isinstance(size, int) for size in input_shape):
        held = [*model.parameters(), *model.buffers()]
        sample = next((tensor for tensor in held if tensor.is_floating_point()), None)
        if sample is None:
            required, received = "a weight of real floating-point numbers", " and ".join({str(t.dtype) for t in held})
            remedy = "pass the inputs themselves in place of their shape"
            raise PruneproofError("inspect_model", required=required, received=received, remedy=remedy)
        inputs = torch.zeros(tuple(input_shape), dtype=sample.dtype, device=sample.device)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with frozen(model), _counting(layers) as uses, torch.no_grad():
        call(lambda *a, **k: functional_call(model, buffers, a, k), inputs)
    return uses


@contextmanager
def _counting(layers: dict[nn.Module, str]) -> Generator[dict[str, int]]:
    uses = dict[str, int]()

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        positions = inputs[0] if isinstance(layer, _ConvTransposeNd) else output
        spatial = len(tuple(getattr(layer, "kernel_size", ())))
        channels = positions.ndim - 1 - spatial
        examples, places = positions.shape[:channels], positions.shape[channels + 1 :]
        uses[layers[layer]] = uses.get(layers[layer], 0) + examples.numel() * places.numel()

    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()
