"""Gradients of the mean cross-entropy of R stacked perceptrons, derived by hand and written into one (R, P) buffer.

With a_0 the inputs, a_l = ReLU(W_l a_{l−1} + b_l) and p = softmax of the last layer, the error of the output layer is
(p − onehot)/B; every other error is W_{l+1}ᵀ error, zero where a_l is zero; ∂W_l = error_l a_{l−1}ᵀ, ∂b_l its row sum.
Replicates are taken in blocks of about 8192 examples, which keeps a block's activations in cache; nothing is allocated
after construction, and no Python loop runs over single replicates unless the batch itself fills a block.
"""

from typing import cast

import torch
from torch import Tensor

from .replicates import Replicates

EXAMPLES_PER_BLOCK = 8192


class ReplicateGradients:
    """Preallocated forward and backward pass for one batch size.

    Arguments:
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
