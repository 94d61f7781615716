"""Many perceptrons of one shape held as one tensor: R replicates (seeds × widths × noise levels), P parameters each.

Layer l of replicate r computes W_l a + b_l, ReLU between layers, with activations stored features-first, (R, units,
batch), so that every product is one batched matmul without a transposed copy. Narrower replicates are padded with zero
units: ReLU(0) = 0 blocks their gradients, so the padding stays exactly zero under any training without a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import PruneproofError


@dataclass(frozen=True)
class Replicates:
    """Parameters of R perceptrons, one row each, with matrix views into the rows.

    Arguments:
        parameters: (R, P) float32 or float64; every view below shares this storage.
        weights: per layer (R, out, in).
        biases: per layer (R, out, 1); empty for bias-free networks.
        sizes: per replicate its own layer widths, input first.
        seeds: per replicate the seed of its initial values and of its data order.

    Example:
        >>> nets = initial_replicates([(64, 8, 10), (64, 4, 10)], seeds=[0, 1])
        >>> tuple(nets.parameters.shape), nets.prunable.sum(1).tolist()
        ((2, 610), [592, 296])
    """

    parameters: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    sizes: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]

    @property
    def prunable(self) -> Tensor:
        """(R, P) bool: the weights that exist in each replicate; biases and padding are never pruned."""
        mask = torch.zeros_like(self.parameters, dtype=torch.bool)
        for layer, matrix in enumerate(_views(mask, _padded(self.sizes), bias=bool(self.biases))[0]):
            for replicate, widths in enumerate(self.sizes):
                matrix[replicate, : widths[layer + 1], : widths[layer]] = True
        return mask

    def over(self, parameters: Tensor) -> "Replicates":
        """The same networks with other parameters of shape (R, P)."""
        views = _views(parameters, _padded(self.sizes), bias=bool(self.biases))
        return Replicates(parameters, *views, self.sizes, self.seeds)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (R, classes, n) for inputs of shape (n, features), or (R, n, features) if each has its own."""
        hidden = inputs.mT.expand(len(self.seeds), *inputs.mT.shape[-2:])
        for layer, weight in enumerate(self.weights):
            hidden = weight @ (hidden if layer == 0 else hidden.relu_())
            if self.biases:
                hidden += self.biases[layer]
        return hidden

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Class probabilities (R, n, classes)."""
        return self.logits(inputs).softmax(1).mT


def initial_replicates(
    sizes: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    bias: bool = True,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Replicates:
    """Draw R networks, weights and biases uniform on ±1/√fan-in, each from its own generator.

    Arguments:
        sizes: per replicate the layer widths, input and classes included, e.g. `(64, 100, 10)`; the number of layers,
            the input and the output must agree, the hidden widths may differ.
        seeds: per replicate a seed; a replicate's values depend on its own seed and sizes only.
        bias: whether layers have biases.
        device: where the parameters live; the draw itself is made on the CPU, so it is the same everywhere.
        dtype: float32 or float64.

    Raises:
        PruneproofError: if the shapes disagree or a width is not positive.

    Example:
        >>> initial_replicates([(2, 3, 2)], seeds=[7], bias=False).parameters.shape
        torch.Size([1, 12])
    """
    shapes = tuple(tuple(int(width) for width in widths) for widths in sizes)
    _check(shapes, seeds)
    padded = _padded(shapes)
    parameters = torch.zeros(len(shapes), _count(padded, bias=bias), dtype=dtype)
    weights, biases = _views(parameters, padded, bias=bias)
    for replicate, (widths, seed) in enumerate(zip(shapes, seeds, strict=True)):
        generator = torch.Generator().manual_seed(seed)
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            scale = fan_in**-0.5
            weights[layer][replicate, :fan_out, :fan_in].uniform_(-scale, scale, generator=generator)
            if bias:
                biases[layer][replicate, :fan_out].uniform_(-scale, scale, generator=generator)
    moved = parameters.to(device)
    return Replicates(moved, *_views(moved, padded, bias=bias), shapes, tuple(seeds))


def _check(shapes: tuple[tuple[int, ...], ...], seeds: Sequence[int]) -> None:
    ends = {(len(widths), widths[0], widths[-1]) for widths in shapes if len(widths) > 1}
    if len(ends) != 1 or min(map(min, shapes)) < 1 or min(map(len, shapes)) < 2:
        raise PruneproofError(
            "initial_replicates",
            required="positive widths with equal depth, input and output for all replicates",
            received=shapes,
            remedy="train different depths as separate groups",
        )
    if len(shapes) != len(seeds):
        raise PruneproofError(
            "initial_replicates",
            required=f"one seed per replicate ({len(shapes)})",
            received=f"{len(seeds)} seeds",
            remedy="repeat a seed to share an initialisation",
        )


def _padded(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    return tuple(max(widths) for widths in zip(*shapes, strict=True))


def _count(widths: tuple[int, ...], *, bias: bool) -> int:
    return sum(fan_out * (fan_in + bias) for fan_in, fan_out in pairwise(widths))


def _views(flat: Tensor, widths: tuple[int, ...], *, bias: bool) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Matrices (R, out, in) and columns (R, out, 1) inside rows laid out as weight, bias, weight, bias, …"""
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    start = 0
    for fan_in, fan_out in pairwise(widths):
        weights.append(flat[:, start : start + fan_out * fan_in].unflatten(1, (fan_out, fan_in)))
        start += fan_out * fan_in
        if bias:
            biases.append(flat[:, start : start + fan_out].unsqueeze(2))
            start += fan_out
    return tuple(weights), tuple(biases)
