"""How often each layer's weight is multiplied in one forward pass.

A weight is used once at every position of the output; a transposed convolution uses it at every position of its input.
Cost: one forward pass.

What pruning saved, honestly: bytes dense and packed, multiplications, and whether any kernel will be faster.

Unstructured zeros in an ordinary layer save nothing until they are stored or multiplied in another way. Packed bytes
are those of the kept values and one bit per weight (`SparseWeight` in the format "bits"); multiplications are counted
on one forward pass of an example.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]

from pruneproof.errors import PruneproofError
from pruneproof.kernels import BitMask
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import Inputs, call_model, evaluation_mode, explained
from pruneproof.prune.models.parameters import parameters_named, prunable, unwrapped

from .sparse_layers import MaskedLinear, SparseLinear


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
    with explained("inspect_model", "the model", "Pass the shape of a batch of one example."):
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
    with evaluation_mode(model), _counting(layers) as uses, torch.no_grad():
        call_model(lambda *a, **k: functional_call(model, buffers, a, k), inputs)
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


DENSE = "no speed-up expected on dense kernels"


@dataclass(frozen=True)
class LayerCost:
    """One prunable weight.

    **Arguments:**

    - `name`, `shape`: of the parameter.
    - `kept`, `total`: weights.
    - `dense_bytes`, `packed_bytes`: as stored now, and as kept values with one bit per weight.
    - `macs`, `kept_macs`: multiply–accumulates of one example, all and those of kept weights; None if not run.
    - `speed`: what to expect.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    total: int
    dense_bytes: int
    packed_bytes: int
    macs: int | None
    kept_macs: int | None
    speed: str


@dataclass(frozen=True)
class Inspection:
    """The costs of a model.

    **Arguments:**

    - `layers`: one entry per prunable weight.
    - `other_bytes`: all other parameters and buffers.

    Example:
        >>> import torch
        >>> with torch.no_grad():
        ...     layer = nn.Linear(64, 64)
        ...     _ = layer.weight.masked_fill_(torch.arange(64) % 3 > 0, 0)
        >>> report = inspect_model(layer)
        >>> f"{report.density:.0%}", report.dense_bytes, report.packed_bytes
        ('34%', 16640, 6400)
    """

    layers: tuple[LayerCost, ...]
    other_bytes: int

    @property
    def density(self) -> float:
        """The kept fraction of all prunable weights."""
        total = sum(layer.total for layer in self.layers)
        return sum(layer.kept for layer in self.layers) / total if total else 1.0  # of no weights, none is pruned

    @property
    def dense_bytes(self) -> int:
        """Everything as it is stored now."""
        return self.other_bytes + sum(layer.dense_bytes for layer in self.layers)

    @property
    def packed_bytes(self) -> int:
        """Everything with packed weights; a layer too dense to gain stays dense."""
        return self.other_bytes + sum(min(layer.packed_bytes, layer.dense_bytes) for layer in self.layers)

    @property
    def macs(self) -> tuple[int, int] | None:
        """(kept, all) multiply–accumulates of one example, None if it was not run."""
        kept = [layer.kept_macs for layer in self.layers if layer.kept_macs is not None]
        every = [layer.macs for layer in self.layers if layer.macs is not None]
        return (sum(kept), sum(every)) if every else None


def inspect_model(
    model: nn.Module, masks: Masks | None = None, *, input_shape: Sequence[int] | Inputs | None = None
) -> Inspection:
    """Count what a pruned model stores and multiplies.

    **Arguments:**

    - `model`: the network; unchanged.
    - `masks`: which weights count as kept; by default those that are not zero.
    - `input_shape`: shape of a batch of one example, or the inputs themselves, to count multiply–accumulates.

    **Returns:** `Inspection`.

    **Raises:** `PruneproofError` if the masks are of another model, or nothing is prunable.

    Example:
        >>> report = inspect_model(nn.Linear(64, 32), input_shape=(1, 64))
        >>> report.dense_bytes, report.macs, report.layers[0].speed
        (8320, (2048, 2048), 'dense')
    """
    plain = unwrapped(model)
    swapped = {n: m for n, m in plain.named_modules() if isinstance(m, MaskedLinear | SparseLinear)}
    weights = _weights(plain, masks, swapped)
    kept = {
        name: masks[name].to(weight.device) if masks is not None and name in masks else weight.detach() != 0
        for name, weight in weights.items()
    }
    owners = {id(weight): name for name, weight in weights.items()}
    layers = {m: owners[id(m.weight)] for m in plain.modules() if id(getattr(m, "weight", None)) in owners}
    layers |= {layer: f"{name}.weight" for name, layer in swapped.items()}
    uses = {} if input_shape is None else count_positions(plain, layers, input_shape)
    costs = [layer_cost(name, weight, kept[name], uses.get(name)) for name, weight in weights.items()]
    costs += [_swapped_cost(f"{n}.weight".lstrip("."), layer, uses.get(f"{n}.weight")) for n, layer in swapped.items()]
    stored = {id(t): t.numel() * t.element_size() for t in [*plain.parameters(), *plain.buffers()]}
    return Inspection(tuple(costs), sum(stored.values()) - sum(cost.dense_bytes for cost in costs))


def _weights(
    plain: nn.Module, masks: Masks | None, swapped: Mapping[str, MaskedLinear | SparseLinear]
) -> dict[str, nn.Parameter]:
    """What is counted: prunable and masked weights, each once, but not those of swapped layers."""
    weights = {} if swapped and not _has_prunable(plain) else prunable(plain)
    if masks is not None:
        named = parameters_named(plain, {name: mask.shape for name, mask in masks.items()}, where="inspect_model")
        names = {id(weight): name for name, weight in named.items()}  # a tied weight goes by the name in the masks
        weights = {names.get(id(weight), name): weight for name, weight in weights.items()} | named
    inside = {id(layer.weight) for layer in swapped.values() if isinstance(layer, MaskedLinear)}
    return {name: weight for name, weight in weights.items() if id(weight) not in inside}


def _has_prunable(model: nn.Module) -> bool:
    try:
        return bool(prunable(model))
    except PruneproofError:
        return False


def _swapped_cost(name: str, layer: MaskedLinear | SparseLinear, uses: int | None) -> LayerCost:
    """A layer of `sparsify`: its bytes are those it holds now, its speed what its kernels were chosen for."""
    weight = layer.dense().weight
    cost = layer_cost(name, weight, weight != 0, uses)
    if isinstance(layer, SparseLinear):
        stored = layer.sparse.nbytes
        return replace(cost, dense_bytes=stored, packed_bytes=stored, speed=f"{layer.format}: {layer.reason}")
    stored = cost.dense_bytes + layer.words.numel() * layer.words.element_size()
    return replace(cost, dense_bytes=stored, speed="masked kernel, for training; what it runs depends on the device")


def layer_cost(name: str, weight: Tensor, kept: Tensor, uses: int | None) -> LayerCost:
    """The cost of one weight, used `uses` times per example (None if unknown)."""
    count, size = int(kept.count_nonzero()), weight.element_size()
    rows = kept.flatten(1) if kept.ndim > 1 else kept.reshape(1, -1)
    packed = count * size + BitMask.pack(rows).words.numel() * 4
    speed = "dense" if count == weight.numel() else _pattern(rows)
    macs = None if uses is None else uses * weight.numel()
    kept_macs = None if uses is None else uses * count
    return LayerCost(
        name, tuple(weight.shape), count, weight.numel(), weight.numel() * size, packed, macs, kept_macs, speed
    )


def _pattern(rows: Tensor) -> str:
    """What the positions of the zeros allow."""
    if not bool(rows.any(1).all()) or not bool(rows.any(0).all()):
        return "faster only if empty rows or columns are removed; " + DENSE
    if rows.shape[1] % 4 == 0 and bool((rows.view(len(rows), -1, 4).sum(2) <= 2).all()):
        return "2:4 pattern: faster on GPUs with sparse tensor cores, by torch.sparse.to_sparse_semi_structured"
    return DENSE
