"""Prunable weights as matrices (outputs, inputs of one output), whichever way a layer stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pruneproof.errors import UnsupportedError

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

    def matrix(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as (outputs, inputs of one output)."""
        return self.layout.matrix(tensor)

    def tensor(self, matrix: Tensor) -> Tensor:
        """The inverse of `matrix`, contiguous."""
        return self.layout.tensor(matrix, self.weight.shape).contiguous()


def require_reached(where: str, unreached: Sequence[str]) -> None:
    """Refuse to prune layers that the model does not call as modules: nothing is known of what they read."""
    if unreached:
        raise UnsupportedError(
            f"{where}: the model does not call the layers of {', '.join(unreached[:8])}{' …' * (len(unreached) > 8)} "
            "as modules, so nothing is known of their inputs. Leave them dense by exclude=."
        )


def layers_of(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[Layer]:
    """One `Layer` for each weight."""
    held_by: dict[int, list[nn.Module]] = {id(weight): [] for weight in weights.values()}
    for module in model.modules():
        held = getattr(module, "weight", None)
        if id(held) in held_by:
            held_by[id(held)].append(module)
    return [Layer(name, weight, tuple(held_by[id(weight)])) for name, weight in weights.items()]
