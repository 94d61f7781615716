"""PFP: remove whole channels by the sensitivity that the next layer has to them, physically.

A channel's score is the largest, over the next layer's half-rows, of the sum of its weights' sensitivities: a bound on
the share it ever has. Channels are dropped deterministically (S2); the bound is the largest share of what was dropped.
After the deterministic variant of Provable Filter Pruning (Liebenwein, Baykal, Lang, Feldman, Rus).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.checks import require_fraction
from pruneproof.errors import UnsupportedError
from pruneproof.kernels.sensitivity.op import sensitivities
from pruneproof.kernels.top_k import top_k_masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import Patterns, find_prunable

from .half_rows import blocks
from .measuring import Layer, met, pseudo_points, supported


@dataclass(frozen=True)
class PfpResult:
    """A smaller network.

    Args:
        model: The copy with channels removed.
        channels: Name of a layer's weight → bool (outputs,), the channels kept.
        bounds: Name of the *next* layer's weight → (2, outputs) float64, ε of its half-rows on S
            (S2, probability 1).

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> pfp(network, torch.rand(16, 4), density=0.5).model[0].out_features
        4
    """

    model: nn.Sequential
    channels: Mapping[str, Tensor]
    bounds: Mapping[str, Tensor]

    def __repr__(self) -> str:
        kept = (f"{int(kept.sum())} of {kept.numel()} in {name}" for name, kept in self.channels.items())
        return f"PfpResult(channels kept: {', '.join(kept)})"


def pfp(
    model: nn.Sequential, inputs: Tensor, *, density: float, include: Patterns = (), exclude: Patterns = ()
) -> PfpResult:
    """Remove the least sensitive channels of every layer but the last.

    Args:
        model: An `nn.Sequential` (nested ones are fine) of linear, 2-d convolution (one group, zero
            padding), BatchNorm, elementwise activation, 2-d pooling, `Flatten()`, dropout and
            identity layers; weights used once.
        inputs: (batch, *item), the sample S.
        density: Kept fraction of channels in each layer, in (0, 1]; at least one stays.
        include: Shell patterns of the layers whose channels may be removed, as in `prunable`.
        exclude: Patterns of the layers that keep all their channels.

    Returns:
        A smaller copy, the channels it keeps of each layer that lost some, and the error bounds of
        the half-rows that read them.

    Raises:
        UnsupportedError: Another kind of model.
        InvalidValueError: A density outside (0, 1].
        PruneproofError: As `prunable` raises.

    Source: S2 in theory/theorems/sensitivity/proof.md.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> pfp(model, torch.rand(16, 4), density=0.5).model
        Sequential(
          (0): Linear(in_features=4, out_features=4, bias=True)
          (1): ReLU()
          (2): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    require_fraction("pfp", "the density", density, one=True)
    small = copied("pfp", model).eval()
    chain = _chain(small, inputs.ndim)
    chosen = find_prunable("pfp", small, include, exclude)
    kept: dict[str, Tensor] = {}
    bounds: dict[str, Tensor] = {}
    weighted = [i for i, (_, module) in enumerate(chain) if isinstance(module, nn.Linear | nn.Conv2d)]
    plans: list[tuple[int, int, Tensor]] = []
    for here, after in pairwise(weighted):
        (name, layer), (following, consumer) = chain[here], chain[after]
        if f"{name}.weight" not in chosen:
            continue
        keep, epsilon = _choose(small, inputs, following, consumer, layer.weight.shape[0], density)
        kept[f"{name}.weight"], bounds[f"{following}.weight"] = keep, epsilon
        plans.append((here, after, keep))
    for here, after, keep in plans:  # only now: the bounds are about the original's activations
        _remove(chain, here, after, keep)
    return PfpResult(small.train(model.training), kept, bounds)


ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign,
    nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Tanhshrink, nn.Softshrink,
    nn.Hardshrink, nn.Threshold,
)  # fmt: skip
POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)
PASSING = (nn.Identity, nn.Dropout, *ELEMENTWISE)
CUT = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
IMAGES: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d, *POOLING)
DIMENSIONS: dict[type[nn.Module], int] = {nn.Linear: 2, nn.BatchNorm1d: 2, **dict.fromkeys(IMAGES, 4)}


def _chain(model: nn.Module, dimensions: int) -> list[tuple[str, Any]]:
    """The layers in order, each known to keep channels apart on what it meets, as their parameters cannot tell."""
    leaves = [(n, m) for n, m in model.named_modules(remove_duplicate=False) if type(m) is not nn.Sequential]
    names: dict[nn.Module, str] = {}
    for name, module in leaves:
        if type(model) is not nn.Sequential or not _separate(module, dimensions):
            raise UnsupportedError(
                "pfp: the model must be a Sequential of linear, convolution (one group, zero padding), BatchNorm, "
                f"elementwise and 2-d pooling layers, got {name or 'the model'} ({type(module).__name__}). Use sipp."
            )
        if names.setdefault(module, name) != name and isinstance(module, CUT):
            raise UnsupportedError(
                f"pfp: a layer must be used once, got {names[module]} again as {name}. Use a copy, or sipp."
            )
        dimensions = 2 if isinstance(module, nn.Flatten) else dimensions
    return leaves


def _separate(module: nn.Module, dimensions: int) -> bool:
    """Whether channels, dimension 1 of an input of so many dimensions, stay apart but for weights that can be cut."""
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if isinstance(module, nn.Conv2d) and (module.groups != 1 or not supported(module)):
        return False
    return type(module) in PASSING or DIMENSIONS.get(type(module)) == dimensions


def _choose(
    model: nn.Module, inputs: Tensor, name: str, consumer: Any, channels: int, density: float
) -> tuple[Tensor, Tensor]:
    """Channels kept, and ε of the consumer's half-rows when the others are dropped."""
    layer = Layer(f"{name}.weight", (consumer,), 1, consumer.weight)
    (rows,), _ = met(model, inputs, layer)
    weight = layer.rows()
    scores = sensitivities(weight, rows)
    halves = torch.cat([scores * (weight > 0), scores * (weight < 0)]).unflatten(1, (channels, -1))
    count = max(1, round(density * channels))
    (keep,) = top_k_masks([halves.sum(2).amax(0)], count)
    dropped = (~keep).repeat_interleave(weight.shape[1] // channels)
    epsilon = torch.zeros(2, len(weight), dtype=torch.float64)
    for block in blocks(weight, scores, [pseudo_points(rows)]):
        epsilon[block.sign, block.rows] = block.worst_share(dropped.expand_as(block.weight))
    return keep, epsilon


def _remove(chain: list[tuple[str, Any]], here: int, after: int, keep: Tensor) -> None:
    layer, consumer = chain[here][1], chain[after][1]
    _slice(layer, 0, keep)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", int(keep.sum()))
    for _, module in chain[here + 1 : after]:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            _slice_batch_norm(module, keep.repeat_interleave(module.num_features // len(keep)))
    spread = consumer.weight.shape[1] // len(keep)  # entries of one channel, where a flatten lies between
    _slice(consumer, 1, keep.repeat_interleave(spread))
    setattr(consumer, "in_features" if isinstance(consumer, nn.Linear) else "in_channels", consumer.weight.shape[1])


def _slice(layer: Any, dimension: int, keep: Tensor) -> None:
    index = keep.nonzero().squeeze(1)
    layer.weight = nn.Parameter(layer.weight.detach().index_select(dimension, index))
    if dimension == 0 and layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[index])


def _slice_batch_norm(module: Any, keep: Tensor) -> None:
    module.num_features = int(keep.sum())
    for name in ("weight", "bias"):
        if getattr(module, name) is not None:
            setattr(module, name, nn.Parameter(getattr(module, name).detach()[keep]))
    for name in ("running_mean", "running_var"):
        if getattr(module, name) is not None:
            setattr(module, name, getattr(module, name)[keep])
