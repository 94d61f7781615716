"""The rows of numbers that each linear or convolutional layer of a model meets on a batch.

A convolution is a linear map met at every patch; with groups, one linear map per group. Layers of other kinds are not
met: they stay as they are and count as exact. Cost: one forward pass per layer asked for, and a copy of the inputs and
of what that layer meets, since the model may overwrite both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import PruneproofError
from ...kernels.patches import convolution_patches
from ..parameters import prunable
from ..trial import trial


@dataclass(frozen=True)
class Layer:
    """A weight that sensitivities are defined for.

    Arguments:
        name: the parameter's name.
        modules: the modules that use it (several if it is tied).
        groups: independent linear maps it consists of.
        weight: the parameter.
    """

    name: str
    modules: tuple[nn.Module, ...]
    groups: int
    weight: nn.Parameter

    def rows(self) -> Tensor:
        """The weight as (outputs, inputs of one output)."""
        return self.weight.detach().flatten(1)


def layers(model: nn.Module) -> tuple[list[Layer], list[str]]:
    """The layers that can be met, and the names of the prunable weights that cannot."""
    found: list[Layer] = []
    others: list[str] = []
    for name, weight in prunable(model).items():
        if not bool(weight.detach().isfinite().all()):
            raise PruneproofError(
                "sipp", required="finite weights", received=f"NaN or inf in {name}", remedy="repair it"
            )
        modules = tuple(m for m in model.modules() if getattr(m, "weight", None) is weight)
        if modules and all(supported(module) for module in modules):
            groups = int(getattr(modules[0], "groups", 1))
            found.append(Layer(name, modules, groups, weight))
        else:
            others.append(name)
    return found, others


def supported(module: nn.Module) -> bool:
    """Whether a module is a linear map of the rows that `met` records."""
    if isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return isinstance(module, nn.Linear)


def met(model: nn.Module, inputs: Tensor, layer: Layer) -> tuple[list[Tensor], int]:
    """The rows that each group of a layer meets, (points, inputs of one output), and how many come from one item.

    Raises PruneproofError where an activation is not finite, naming the layer, or if the layer is never reached.
    """
    seen: list[list[Tensor]] = [[] for _ in range(layer.groups)]

    def see(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs = cast(Tensor, arguments[0]).detach()
        for group, rows in enumerate(_rows(module, inputs)):
            shared = rows.untyped_storage().data_ptr() == inputs.untyped_storage().data_ptr()
            seen[group].append(rows.clone() if shared else rows)  # the model may overwrite its own tensors later

    handles = [module.register_forward_pre_hook(see) for module in layer.modules]
    try:
        remedy = "pass inputs of the model's shape, dtype and device"
        with torch.no_grad(), trial("sipp", required="inputs that the model takes", remedy=remedy):
            model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    groups = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in seen if parts]
    if not groups or not all(bool(rows.isfinite().all()) for rows in groups):
        received = f"NaN or inf before {layer.name}" if groups else f"no input for {layer.name}"
        raise PruneproofError(
            "sipp", required="finite activations in every layer", received=received, remedy="check inputs and weights"
        )
    return groups, -(-len(groups[0]) // len(inputs))


def _rows(module: nn.Module, inputs: Tensor) -> Iterator[Tensor]:
    if not isinstance(module, nn.Conv2d):
        yield inputs.flatten(0, -2)
        return
    settings = cast("list[tuple[int, int]]", [module.kernel_size, module.stride, module.padding, module.dilation])
    kernel, stride, padding, dilation = settings
    for part in inputs.chunk(module.groups, dim=1):
        yield convolution_patches(part, kernel, stride=stride, padding=padding, dilation=dilation)


def pseudo_points(rows: Tensor) -> Tensor:
    """Activations of mixed sign as two non-negative points each; zero points say nothing and are dropped."""
    parts = torch.cat([rows.clamp(min=0), (-rows).clamp(min=0)]) if bool((rows < 0).any()) else rows
    return parts[parts.amax(1) > 0]
