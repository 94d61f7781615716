"""What SiPP measures before it prunes: what each layer reads on a batch, and its sensitivities and costs.

A convolution is a linear map applied to every patch; with groups, one linear map per group. Layers of
other kinds are not measured: they stay as they are and count as exact. Cost: one forward pass per
measured layer, and a copy of the inputs and of what that layer reads, since the model may overwrite
both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError
from pruneproof.kernels.patches import convolution_patches
from pruneproof.kernels.sensitivity.op import sensitivities
from pruneproof.prune.models.evaluation import explained
from pruneproof.prune.models.parameters import Patterns, find_prunable, require_values

from .half_rows import LEAST, ROWS, Block, blocks, floored


@dataclass(frozen=True)
class Layer:
    """A weight that sensitivities are defined for.

    Args:
        name: The parameter's name.
        modules: The modules that use it (several if it is tied).
        groups: Independent linear maps it consists of.
        weight: The parameter.
    """

    name: str
    modules: tuple[nn.Module, ...]
    groups: int
    weight: nn.Parameter

    def rows(self) -> Tensor:
        """The weight as (outputs, inputs of one output)."""
        return self.weight.detach().flatten(1)


def layers(model: nn.Module, include: Patterns = (), exclude: Patterns = ()) -> tuple[list[Layer], list[str]]:
    """The layers that can be met, and the names of the weights to prune that cannot."""
    found: list[Layer] = []
    others: list[str] = []
    weights = find_prunable("sipp", model, include, exclude)
    require_values("sipp", weights)
    for name, weight in weights.items():
        if not bool(weight.detach().isfinite().all()):
            raise InvalidValueError(f"sipp: {name} contains NaN or infinity. Repair the weights first.")
        modules = tuple(m for m in model.modules() if getattr(m, "weight", None) is weight)
        if weight.numel() and modules and all(supported(module) for module in modules):
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

    Raises:
        InvalidValueError: An activation is not finite (the layer is named), or the layer is never
            reached.
    """
    seen: list[list[Tensor]] = [[] for _ in range(layer.groups)]

    def see(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs = cast(Tensor, arguments[0]).detach()
        for group, rows in enumerate(_rows(module, inputs)):
            shared = rows.untyped_storage().data_ptr() == inputs.untyped_storage().data_ptr()
            seen[group].append(rows.clone() if shared else rows)  # the model may overwrite its own tensors later

    handles = [module.register_forward_pre_hook(see) for module in layer.modules]
    try:
        with torch.no_grad(), explained("sipp", "the model", "Pass inputs of the shape, dtype and device it takes."):
            model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    groups = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in seen if parts]
    if not groups or not all(bool(rows.isfinite().all()) for rows in groups):
        fault = f"what {layer.name} reads contains NaN or infinity" if groups else f"{layer.name} reads no input"
        raise InvalidValueError(f"sipp: {fault}. Check the inputs and the weights.")
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


@dataclass(frozen=True)
class Measured:
    """One layer on the sample.

    Args:
        layer: The layer.
        weight: (outputs, inputs of one output).
        scores: Sensitivities of that shape, floored.
        costs: (2, outputs) float64, mean of z over the pseudo-points of S, times the gain of the row once `priced`; 0
            for dead half-rows.
        events: Half-rows × pseudo-points that one item of the batch gives rise to.
    """

    layer: Layer
    weight: Tensor
    scores: Tensor
    costs: Tensor
    events: int

    def priced(self, gain: Tensor) -> "Measured":
        """The same layer with costs times the gain (outputs,) of their rows."""
        return replace(self, costs=self.costs * gain)

    @property
    def alive(self) -> Tensor:
        """(2, outputs) bool: z > 0 somewhere on S."""
        return self.costs > 0

    def open(self) -> Tensor:
        """(outputs, inputs) bool: the non-zero weights of living half-rows."""
        plus, minus = self.alive.unsqueeze(2)
        kept, below = self.weight > 0, self.weight < 0
        kept &= plus  # in place: a layer's mask is a quarter of its size
        below &= minus
        return kept.logical_or_(below)

    def fixed(self) -> int:
        """Weights that cannot be pruned: those of dead half-rows."""
        return int(((self.weight != 0) & ~self.open()).count_nonzero())  # a sum would first make int64 of it

    def blocks(self, model: nn.Module, inputs: Tensor) -> Iterator[Block]:
        """The half-rows with the points they meet, in a second visit."""
        rows, _ = met(model, inputs, self.layer)
        return blocks(self.weight, self.scores, [pseudo_points(group) for group in rows])


PROBED = 32  # items whose derivatives are taken: the gains steer budgets, no bound rests on them
PROBES = 8  # directions of the output


def gains(model: nn.Module, inputs: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    """How much the model's output moves, to first order, with what each row of a layer gives: (outputs,) float64 each.

    The mean over items, and over directions of random signs, of the sum over positions of the absolute derivative.
    Ones where a model cannot be differentiated.
    """
    found: list[tuple[int, Tensor]] = []

    def see(index: int, module: nn.Module, arguments: Any, output: Any) -> Tensor:
        output = output if output.requires_grad else output.detach().requires_grad_()
        found.append((index, output))
        return output.clone()  # what follows may overwrite it

    each = [(index, module) for index, layer in enumerate(layers) for module in layer.modules]
    handles = [module.register_forward_hook(partial(see, index)) for index, module in each]
    totals = [torch.zeros(len(layer.weight), dtype=torch.float64) for layer in layers]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.enable_grad():
            output = model(inputs[:PROBED].clone())
            for _ in range(PROBES):
                signs = torch.randint(0, 2, output.shape, generator=generator).to(output.dtype) * 2 - 1
                seen = [tensor for _, tensor in found]
                slopes = torch.autograd.grad((output * signs).sum(), seen, retain_graph=True, materialize_grads=True)
                for (index, _), slope in zip(found, slopes, strict=True):
                    outputs = 1 if isinstance(layers[index].modules[0], nn.Conv2d) else -1
                    totals[index] += slope.double().abs().movedim(outputs, 0).flatten(1).sum(1)
    except Exception:  # if the model itself fails, `met` says so
        totals = []
    finally:
        for handle in handles:
            handle.remove()
    if not totals or not all(bool(total.isfinite().all() and total.any()) for total in totals):
        return [torch.ones(len(layer.weight), dtype=torch.float64) for layer in layers]
    largest = max(float(total.max()) for total in totals)
    items = PROBES * min(PROBED, len(inputs))
    return [total.clamp(min=LEAST * largest) / items for total in totals]


def measure(model: nn.Module, inputs: Tensor, layer: Layer) -> Measured:
    """Visit a layer once.

    Raises:
        InvalidValueError: A sum of a float64 layer overflows or nearly vanishes: nothing could be
            said of it.
    """
    weight = layer.rows()
    rows, positions = met(model, inputs, layer)
    signed = 2 if any(bool((group < 0).any()) for group in rows) else 1
    groups = [pseudo_points(group) for group in rows]
    del rows  # as large as the groups
    scores = torch.empty_like(weight, dtype=_wide(weight.dtype))
    halves = zip(weight.chunk(layer.groups), scores.chunk(layer.groups), strict=True)
    for group, points in zip(halves, groups, strict=True):
        for part, target in zip(*(half.split(ROWS) for half in group), strict=True):
            target.copy_(_sensitivities(part, points, scores.dtype))
    costs = torch.zeros(2, len(weight), dtype=torch.float64)
    for block in blocks(weight, scores, groups):
        faint = torch.zeros(len(block.weight), dtype=torch.bool)
        for points, sums in block.sums():
            costs[block.sign, block.rows] += sums.sum(1) / max(
                1, len(block.points)
            )  # no points: the layer reads zeros alone
            faint |= block.faint(points, sums)
        if bool(faint.any()):
            again = block.rows.start + faint.nonzero().squeeze(1)
            scores[again] = _sensitivities(weight[again].double(), block.points, torch.float64).to(scores.dtype)
        if not bool(costs.isfinite().all()) or (weight.dtype == torch.float64 and bool(faint.any())):
            raise InvalidValueError(
                f"sipp: sums of weights times activations overflow or nearly vanish in {layer.name}, so that float64 "
                "cannot compare them. Scale its weights or the inputs."
            )
    return Measured(layer, weight, scores, costs, 2 * len(weight) * signed * positions)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Sensitivities of 16-bit weights are kept in float32: they are computed there, and 16 bits would round them."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _sensitivities(weight: Tensor, points: Tensor, dtype: torch.dtype) -> Tensor:
    return floored(weight, sensitivities(weight.to(dtype).contiguous(), points.to(dtype)).to(dtype))
