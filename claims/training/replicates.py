"""Many perceptrons held as one tensor, R replicates of P parameters each, and their gradients.

Replicates are seeds × widths × noise levels. Layer l of replicate r computes W_l a + b_l, ReLU between
layers, with activations stored features-first, (R, units, batch), so that every product is one batched
matmul without a transposed copy. Narrower replicates are padded with zero units: ReLU(0) = 0 blocks
their gradients, so the padding stays exactly zero under any training without a mask.

The gradients of the mean cross-entropy are derived by hand and written into one (R, P) buffer. With a_0
the inputs, a_l = ReLU(W_l a_{l−1} + b_l) and p = softmax of the last layer, the error of the output layer
is (p − onehot)/B; every other error is W_{l+1}ᵀ error, zero where a_l is zero; ∂W_l = error_l a_{l−1}ᵀ,
∂b_l its row sum. Replicates are taken in blocks of about 8192 examples, which keeps a block's
activations in cache; nothing is allocated after construction, and no Python loop runs over single
replicates unless the batch itself fills a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError


@dataclass(frozen=True)
class Replicates:
    """Parameters of R perceptrons, one row each, with matrix views into the rows.

    Args:
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

    Args:
        sizes: per replicate the layer widths, input and classes included, e.g. `(64, 100, 10)`; the number of layers,
            the input and the output must agree, the hidden widths may differ.
        seeds: per replicate a seed; a replicate's values depend on its own seed and sizes only.
        bias: whether layers have biases.
        device: where the parameters live; the draw itself is made on the CPU, so it is the same everywhere.
        dtype: float32 or float64.

    Raises:
        InvalidValueError: if the shapes disagree or a width is not positive.

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
        raise InvalidValueError(
            "initial_replicates: all replicates need positive widths and the same depth, input and output, got "
            f"{shapes}. Train different depths as separate groups."
        )
    if len(shapes) != len(seeds):
        raise InvalidValueError(
            f"initial_replicates: {len(shapes)} replicates need a seed each, got {len(seeds)} seeds. "
            "Repeat a seed to share an initialisation."
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


EXAMPLES_PER_BLOCK = 8192


class ReplicateGradients:
    """Preallocated forward and backward pass for one batch size.

    Args:
        nets: the networks; their parameters are read at every call.
        gradient: the same networks over a second (R, P) buffer, which every call overwrites.
        inputs: (R or 1, n, features).
        labels: (R or 1, n) class numbers, in the dtype of the parameters.
        batch: examples per replicate and call.
    """

    def __init__(self, nets: Replicates, gradient: Replicates, inputs: Tensor, labels: Tensor, batch: int) -> None:
        self.batch = batch
        self.inputs, self.labels = inputs.reshape(-1, inputs.shape[-1]), labels.reshape(-1)
        self._shift_inputs = _offsets(inputs, len(nets.seeds))
        self._shift_labels = _offsets(labels, len(nets.seeds))
        size = max(1, min(len(nets.seeds), EXAMPLES_PER_BLOCK // batch))
        starts = range(0, len(nets.seeds), size)
        self._blocks = [_Block(nets, gradient, slice(start, start + size), batch) for start in starts]

    def __call__(self, index: Tensor) -> None:
        """Gradients on the examples `index` (R, batch), int64, into the gradient buffer."""
        rows, columns = index + self._shift_inputs, index + self._shift_labels
        for block in self._blocks:
            block(self.inputs, self.labels, rows[block.part], columns[block.part])


def _offsets(data: Tensor, replicates: int) -> Tensor:
    step = data.shape[1] if data.shape[0] > 1 else 0
    return torch.arange(replicates, device=data.device)[:, None] * step


class _Block:
    def __init__(self, nets: Replicates, gradient: Replicates, part: slice, batch: int) -> None:
        self.part = part
        self.weights = [weight[part] for weight in nets.weights]
        self.biases = [bias[part] for bias in nets.biases]
        self.weight_gradients = [weight[part] for weight in gradient.weights]
        self.bias_gradients = [bias[part] for bias in gradient.biases]
        first = self.weights[0]
        count = first.shape[0]
        self.inputs = first.new_empty(count, batch, first.shape[2])
        self.activations = [first.new_empty(count, weight.shape[1], batch) for weight in self.weights]
        self.errors = [torch.empty_like(activation) for activation in self.activations]
        self.classes = torch.arange(self.weights[-1].shape[1], dtype=first.dtype, device=first.device)[:, None]

    def __call__(self, inputs: Tensor, labels: Tensor, rows: Tensor, columns: Tensor) -> None:
        torch.index_select(inputs, 0, rows.reshape(-1), out=self.inputs.view(-1, inputs.shape[1]))
        self._forward()
        self._backward(labels[columns].unsqueeze(1))

    def _forward(self) -> None:
        below = self.inputs.mT
        for layer, (weight, activation) in enumerate(zip(self.weights, self.activations, strict=True)):
            torch.bmm(weight, below, out=activation)
            if self.biases:
                activation.add_(self.biases[layer])
            if layer + 1 < len(self.weights):
                activation.relu_()
            below = activation

    def _backward(self, labels: Tensor) -> None:
        error, scores = self.errors[-1], self.activations[-1]
        torch.softmax(scores, 1, out=scores)
        torch.eq(labels, self.classes, out=error)
        torch.sub(scores, error, out=error).mul_(1.0 / labels.shape[2])
        for layer in range(len(self.weights) - 1, -1, -1):
            below = self.activations[layer - 1].mT if layer else self.inputs
            torch.bmm(self.errors[layer], below, out=self.weight_gradients[layer])
            if self.biases:
                torch.sum(self.errors[layer], 2, keepdim=True, out=self.bias_gradients[layer])
            if layer:
                self._error_below(layer)

    def _error_below(self, layer: int) -> None:
        error, activation = self.errors[layer - 1], self.activations[layer - 1]
        torch.bmm(self.weights[layer].mT, self.errors[layer], out=error)
        gate = torch.ops.aten.threshold_backward.grad_input
        cast(Tensor, gate(error, activation, 0, grad_input=error))
