"""Wanda: weight magnitude times the norm of the input that the weight reads.

abs(w_ij)·‖x_j‖₂, the norm over all examples (Sun et al. 2024); for a convolution, over all patches
too. A module linear in its weight satisfies ∂/∂w Σ f(x²; w) = Σ x², entry by entry, so one backward
pass of the module on its squared input gives ‖x_j‖² for linear, grouped and transposed layers alike,
without unfolding patches.

Cost: one forward pass of the model and one weight gradient per layer; memory of one chunk.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruneproof.prune.models.evaluation import (
    Inputs,
    call_model,
    check_device,
    evaluation_mode,
    explained,
    require_derivatives,
    require_examples,
    wrong_inputs,
)
from pruneproof.prune.models.layers import require_reached
from pruneproof.prune.models.parameters import Patterns, find_prunable, require_numbers, unwrapped
from pruneproof.prune.models.shards import (
    all_reduced,
    is_sharded,
    local,
    local_part,
    placed,
    require_all_sharded,
    reshard,
    whole,
)

from ._objective import finite_scores


def wanda(model: nn.Module, inputs: Inputs, *, include: Patterns = (), exclude: Patterns = ()) -> dict[str, Tensor]:
    """Score each prunable weight by abs(weight) · ‖input it reads‖₂; the model is left bit for bit as it was.

    Args:
        model: Any module on one device whose prunable layers are called as modules; evaluation mode
            is used throughout.
        inputs: The calibration batch: a tensor, a tuple (positional) or a mapping (named). Of a model
            under `fully_shard` every process passes its own, and all count: the sum over p processes
            is rounded p − 1 times, a relative error of a score of at most about p · 2⁻²⁵ in float32.
        include: Shell patterns of the parameters or modules to score, as in `prunable`.
        exclude: Patterns of what is left out.

    Returns:
        Name → tensor of the weight's shape, dtype and placements, non-negative. Wanda compares weights within
        one output: `select(..., scope="layer")` compares them within one layer.

    Raises:
        UnsupportedError: A layer to be scored is not called as a module, or `fully_shard` left it out.
        InvalidValueError: An empty batch; a score that is NaN, or larger than the weight's dtype can hold.
        PruneproofError: As `prunable` raises, for parameters on several devices, and for weights
            without values or real numbers. What the model itself raises comes with a note.

    Source: Sun, Liu, Bair, Kolter 2024, "A Simple and Effective Pruning Approach for Large Language Models".

    Example:
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight, -2.0)
        >>> wanda(layer, torch.tensor([[3.0, 0.0], [4.0, 1.0]]))
        {'weight': tensor([[10.,  2.]])}
    """
    model = unwrapped(model)
    weights = find_prunable("wanda", model, include, exclude)
    check_device("wanda", model, shards=True)
    require_all_sharded("wanda", model, weights)
    require_derivatives("wanda")
    require_numbers("wanda", weights)
    require_examples("wanda", inputs)
    squares = {n: torch.zeros_like(local(w), dtype=_wide(w), requires_grad=False) for n, w in weights.items()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with evaluation_mode(model), _recording(model, weights, squares) as seen, torch.no_grad():
        with explained("wanda", "the model", wrong_inputs(inputs)):
            call_model(lambda *a, **k: functional_call(model, buffers, a, k), inputs)
    require_reached("wanda", sorted(set(weights) - seen))
    reshard(model)
    scored = {n: placed((local(w).detach().abs() * squares[n].sqrt()).to(w.dtype), w) for n, w in weights.items()}
    return finite_scores("wanda", scored, model)


@contextmanager
def _recording(model: nn.Module, weights: dict[str, nn.Parameter], squares: dict[str, Tensor]) -> Generator[set[str]]:
    """Add up squared inputs while the block runs; gives the names of the weights whose layer was called."""
    names, seen = {id(weight): name for name, weight in weights.items()}, set[str]()

    def recorder(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def record(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            squares[name] += _read_by_all(squared_inputs(layer, arguments), layer, weights[name])
            seen.add(name)

        return record

    layers = [(module, names.get(id(getattr(module, "weight", None)))) for module in model.modules()]
    handles = [layer.register_forward_pre_hook(recorder(name)) for layer, name in layers if name is not None]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _read_by_all(squares: Tensor, layer: nn.Module, weight: Tensor) -> Tensor:
    """This process's part of what the processes have read in all, each its own batch.

    While `fully_shard` has a layer gathered, its weight is no longer spread over the dimensions of the
    mesh along which the batches differ; those of tensor parallelism see the same batch.
    """
    if not is_sharded(weight):
        return squares
    mesh, present = cast(Any, weight).device_mesh, cast(Any, layer.weight)
    apart = range(mesh.ndim)
    if is_sharded(present):
        inner = present.device_mesh
        apart = [d for d in apart if inner != mesh and mesh.mesh_dim_names[d] not in inner.mesh_dim_names]
    return local_part(all_reduced(whole(squares), mesh, apart), weight)


class _Alone(nn.Module):
    """A layer's own forward, past the hooks that others have put on the layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *arguments: Any) -> Tensor:
        """What the layer computes."""
        return self.layer.forward(*arguments)


def _wide(weight: Tensor) -> torch.dtype:
    """The precision of the sums: squares and thousands of terms leave the range of half precision."""
    return torch.promote_types(weight.dtype, torch.float32)


@torch.enable_grad()
def squared_inputs(layer: nn.Module, arguments: tuple[Any, ...]) -> Tensor:
    """Σ x² as each weight reads it: the gradient of Σ f(x²; w), whatever w is."""
    squared, *rest = arguments
    alone, wide = _Alone(layer), _wide(layer.get_parameter("weight"))
    tensors = [*alone.named_parameters(), *alone.named_buffers()]
    state = {name: tensor.detach().to(wide) for name, tensor in tensors if tensor.is_floating_point()}
    weight = torch.zeros_like(state["layer.weight"], requires_grad=True)
    value = functional_call(alone, state | {"layer.weight": weight}, (squared.detach().to(wide) ** 2, *rest))
    return torch.autograd.grad(value.sum(), weight)[0]
