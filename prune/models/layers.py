"""Prunable weights as matrices (outputs, inputs of one output), whichever way a layer stores them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, eq=False)
class Layer:
    """A prunable weight with the modules that multiply by it.

    Args:
        name: The parameter's name.
        weight: The parameter.
        modules: The modules whose `weight` it is; several if it is tied, none if it is used otherwise.
    """

    name: str
    weight: nn.Parameter
    modules: tuple[nn.Module, ...]

    @property
    def groups(self) -> int:
        """The number of independent linear maps that the layer consists of."""
        return int(getattr(self.modules[0], "groups", 1)) if self.modules else 1

    @property
    def stored_by_inputs(self) -> bool:
        """Whether the first dimension of the weight counts inputs."""
        return self._is(is_transposed_linear) or self._is(_is_transposed_convolution)

    def matrix(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as (outputs, inputs of one output)."""
        if self._is(is_transposed_linear):
            return tensor.T
        if self._is(_is_transposed_convolution):
            return self._grouped(tensor).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
        return tensor.flatten(1) if tensor.ndim > 1 else tensor.reshape(1, -1)

    def tensor(self, matrix: Tensor) -> Tensor:
        """The inverse of `matrix`, contiguous."""
        if self._is(is_transposed_linear):
            return matrix.T.contiguous()
        if self._is(_is_transposed_convolution):
            groups, inputs, outputs, kernel = self._grouped(self.weight).shape
            parts = matrix.reshape(groups, outputs, inputs, kernel).permute(0, 2, 1, 3)
            return parts.reshape(self.weight.shape).contiguous()
        return matrix.reshape(self.weight.shape).contiguous()

    def _is(self, kind: Callable[[nn.Module], bool]) -> bool:
        return bool(self.modules) and kind(self.modules[0])

    def _grouped(self, tensor: Tensor) -> Tensor:
        """The weight of a transposed convolution as (groups, inputs, outputs, kernel)."""
        return tensor.reshape(self.groups, len(tensor) // self.groups, tensor.shape[1], -1)


def layers_of(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[Layer]:
    """One `Layer` for each weight."""
    held_by: dict[int, list[nn.Module]] = {id(weight): [] for weight in weights.values()}
    for module in model.modules():
        held = getattr(module, "weight", None)
        if id(held) in held_by:
            held_by[id(held)].append(module)
    return [Layer(name, weight, tuple(held_by[id(weight)])) for name, weight in weights.items()]


def is_transposed_linear(module: nn.Module) -> bool:
    """Whether it is the linear layer of Hugging Face's GPT-2, whose weight is (inputs, outputs)."""
    return type(module).__name__ == "Conv1D"


def _is_transposed_convolution(module: nn.Module) -> bool:
    return isinstance(module, _ConvTransposeNd)
