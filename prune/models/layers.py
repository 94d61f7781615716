"""Prunable weights as matrices (outputs, inputs of one output), whichever way a layer stores them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from .parameters import OUTPUTS_FIRST, Layout, layout_of


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
    def layout(self) -> Layout:
        """How the weight forms the layer's matrix."""
        return layout_of(self.modules[0]) if self.modules else OUTPUTS_FIRST

    @property
    def groups(self) -> int:
        """The number of independent linear maps that the layer consists of."""
        return self.layout.groups

    @property
    def stored_by_inputs(self) -> bool:
        """Whether the first dimension of the weight counts inputs."""
        return self.layout.inputs_first

    def matrix(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as (outputs, inputs of one output)."""
        return self.layout.matrix(tensor)

    def tensor(self, matrix: Tensor) -> Tensor:
        """The inverse of `matrix`, contiguous."""
        return self.layout.tensor(matrix, self.weight.shape).contiguous()


def layers_of(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[Layer]:
    """One `Layer` for each weight."""
    held_by: dict[int, list[nn.Module]] = {id(weight): [] for weight in weights.values()}
    for module in model.modules():
        held = getattr(module, "weight", None)
        if id(held) in held_by:
            held_by[id(held)].append(module)
    return [Layer(name, weight, tuple(held_by[id(weight)])) for name, weight in weights.items()]
