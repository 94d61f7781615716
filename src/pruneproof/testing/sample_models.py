"""The networks and batches that laws about scores and methods are tried on.

Weights are drawn in float64 from a generator of their own, so that the global random state is left alone.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Sample:
    """A network with a batch to score it on.

    Args:
        name: `"perceptron"` or `"convolutional"`.
        model: An `nn.Sequential` in float64, in training mode.
        batch: (inputs, targets), targets being class indices; every class occurs.
        hidden: Positions in the model of two consecutive layers with parameters, and of
            normalisation between them, whose shared hidden units may be permuted without changing
            the function.

    Example:
        >>> sample = samples()[0]
        >>> sample.name, tuple(sample.model(sample.batch[0]).shape)
        ('perceptron', (12, 3))
    """

    name: str
    model: nn.Sequential
    batch: Batch
    hidden: tuple[int, ...]

    def permuted(self, order: Tensor) -> "Sample":
        """Reorder the hidden units of the network.

        Args:
            order: A permutation of `units` indices.

        Returns:
            The same function with its hidden units in that order.
        """
        model = copy.deepcopy(self.model)
        state = model.state_dict()
        first, *between, second = self.hidden
        for name, value in state.items():
            position = int(name.partition(".")[0])
            if position == second and value.ndim > 1:
                value.copy_(value.index_select(1, order))
            elif position in (first, *between) and value.ndim:
                value.copy_(value.index_select(0, order))
        return Sample(self.name, model, self.batch, self.hidden)

    def reordered(self, tensors: Mapping[str, Tensor], order: Tensor) -> dict[str, Tensor]:
        """Reorder scores or masks as `permuted` reorders the weights.

        Args:
            tensors: Parameter name → tensor of the parameter's shape.
            order: A permutation of `units` indices.

        Returns:
            Parameter name → tensor.
        """
        first, second = f"{self.hidden[0]}.weight", f"{self.hidden[-1]}.weight"
        moved = {first: tensors[first].index_select(0, order), second: tensors[second].index_select(1, order)}
        return {**tensors, **moved}

    @property
    def units(self) -> int:
        """How many hidden units `permuted` reorders."""
        return len(self.model.state_dict()[f"{self.hidden[0]}.weight"])


def samples(seed: int = 0) -> tuple[Sample, ...]:
    """A perceptron with two hidden layers and a convolutional network with BatchNorm, new at every call.

    Args:
        seed: Of the weights and the data.

    Returns:
        Both, each with a batch.

    Example:
        >>> [sample.name for sample in samples()]
        ['perceptron', 'convolutional']
    """
    generator = torch.Generator().manual_seed(seed)
    perceptron = (_linear(5, 8), nn.Tanh(), _linear(8, 6), nn.ReLU(), _linear(6, 3))
    convolutional = (_conv(2, 6), nn.BatchNorm2d(6), nn.ReLU(), _conv(6, 4), nn.Flatten(), _linear(16, 3))
    return (
        _sample("perceptron", perceptron, (5,), (2, 4), generator),
        _sample("convolutional", convolutional, (2, 6, 6), (0, 1, 3), generator),
    )


def _sample(
    name: str,
    layers: tuple[nn.Module, ...],
    shape: tuple[int, ...],
    hidden: tuple[int, ...],
    generator: torch.Generator,
) -> Sample:
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = prod(parameter.shape[1:]) or 1
            parameter.normal_(std=fan_in**-0.5, generator=generator)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
            elif buffer_name.endswith("running_mean"):
                buffer.normal_(generator=generator)
    inputs = torch.randn(12, *shape, generator=generator, dtype=torch.float64)
    return Sample(name, model, (inputs, torch.arange(12) % 3), hidden)


def _linear(inputs: int, outputs: int) -> nn.Module:
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3)
