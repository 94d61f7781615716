"""Ablations: what a mask loses when its positions, the weights under it, or the order of its scores are destroyed.

Frankle et al. (2021) ask of each method at initialisation whether it matters *which* weights of a layer are kept
(`shuffle`), *which values* they have (`reinitialize`) and *whether the scores mean anything* (`invert`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruneproof.checks import require_type
from pruneproof.errors import InvalidValueError, UnsupportedError
from pruneproof.prune.masks.enforcement import zero_again
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied, require_generator, require_module
from pruneproof.prune.selection.progressive import among_survivors
from pruneproof.prune.selection.selection import Scores, layouts_of, require_scores


def shuffle(masks: Masks, *, generator: torch.Generator, within: Mapping[str, Tensor] | None = None) -> Masks:
    """Permute each layer's mask at random: the same number of kept weights per layer, at other positions.

    Args:
        masks: The masks to shuffle; unchanged.
        generator: The only source of randomness; it advances.
        within: Name → bool tensor of the positions that take part, e.g.
            `Connectivity.live_positions()`; the others keep their mask.

    Returns:
        New `Masks` with the same `counts`.

    Raises:
        InvalidValueError: `within` does not fit the masks.

    Source: the shuffling ablation of Frankle et al. 2021.

    Example:
        >>> masks = Masks({"weight": torch.arange(1000).view(10, 100) < 50})
        >>> shuffled = shuffle(masks, generator=torch.Generator().manual_seed(0))
        >>> shuffled.counts == masks.counts, shuffled == masks
        (True, False)
    """
    require_type("shuffle", masks, Masks, "the masks must be Masks", "Make them by Masks(tensors).")
    require_generator("shuffle", generator)
    if within is not None and {n: w.shape for n, w in within.items()} != {n: m.shape for n, m in masks.items()}:
        raise InvalidValueError(
            f"shuffle: within= must hold positions for each mask, got {', '.join(within)}. "
            "Pass the positions of the same model."
        )
    everywhere = {name: torch.ones_like(mask) for name, mask in masks.items()}
    positions = everywhere if within is None else within
    return Masks({name: _permuted(mask, positions[name], generator) for name, mask in masks.items()})


def _permuted(mask: Tensor, positions: Tensor, generator: torch.Generator) -> Tensor:
    chosen = positions.to(mask.device).flatten().nonzero().squeeze(1)
    order = torch.randperm(len(chosen), generator=generator, device=generator.device).to(mask.device)
    shuffled = mask.flatten()
    shuffled[chosen] = mask.flatten()[chosen[order]]
    return shuffled.view_as(mask)


def reinitialize(
    model: nn.Module, *, generator: torch.Generator, initialize: Callable[[nn.Module], None] | None = None
) -> nn.Module:
    """A copy of the model whose layers are drawn afresh by their own initialisers.

    The draw depends on the generator alone, whatever other threads draw meanwhile, and leaves
    torch's global generators as they are.

    Args:
        model: The network; unchanged.
        generator: Seeds the draw; it advances.
        initialize: What to call on each module instead of its `reset_parameters()`, e.g. a model's
            own weight rule.

    Returns:
        A new model; buffers such as BatchNorm statistics are reset where the layer resets them.
        Masks that are enforced on the model are enforced on the copy, whose pruned weights are zero.

    Raises:
        UnsupportedError: A module holds parameters of its own and has no `reset_parameters()`.

    Source: the re-initialisation ablation of Frankle et al. 2021.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> other = reinitialize(layer, generator=torch.Generator().manual_seed(0))
        >>> torch.equal(layer.weight, other.weight)
        False
    """
    require_module("reinitialize", model)
    require_generator("reinitialize", generator)
    fresh = copied("reinitialize", model)
    owners = [module for module in fresh.modules() if next(module.parameters(recurse=False), None) is not None]
    for module in owners if initialize is None else []:
        if not callable(getattr(module, "reset_parameters", None)):
            raise UnsupportedError(
                f"reinitialize: {type(module).__name__} holds parameters and has no reset_parameters(). "
                "Pass initialize=, the rule that draws the weights of a module."
            )
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    with _DrawingFrom(seed):
        for module in fresh.modules() if initialize is not None else owners:
            _reset(module) if initialize is None else initialize(module)
    zero_again(fresh)
    return fresh


class _DrawingFrom(TorchDispatchMode):
    """While the block runs, this thread draws from generators of its own where it would from torch's global ones.

    Initialisers take no generator. The global ones are shared by all threads, so that seeding them
    would give each thread the draws of another.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Hand the generator to an operation that takes one and got none."""
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            if not any(argument.name == "generator" for argument in func._schema.arguments):
                overload = f"generator_{func._overloadname}" if func._overloadname != "default" else "generator"
                func = getattr(func.overloadpacket, overload, func)
            if any(argument.name == "generator" for argument in func._schema.arguments):
                kwargs["generator"] = self._of_device(args, kwargs)
        return func(*args, **kwargs)

    def _of_device(self, args: Any, kwargs: Any) -> torch.Generator:
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        device = torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def _reset(module: nn.Module) -> None:
    reset = module.reset_parameters
    assert callable(reset)
    reset()


def invert(scores: Mapping[str, Tensor], masks: Masks | None = None) -> dict[str, Tensor]:
    """Negate the scores, so that `select` keeps the lowest; weights already pruned stay last.

    Args:
        scores: Name → tensor, higher is kept.
        masks: Weights that are already pruned get −∞, in the order of the scores and in the inverted
            one; others get a finite number, so that a score of +∞ does not put one behind them.

    Returns:
        Name → new tensor; no division, so a score of zero is as good as another.

    Raises:
        InvalidValueError: The masks are of other parameters.

    Source: the inversion ablation of Frankle et al. 2021.

    Example:
        >>> invert({"weight": torch.tensor([0.0, 2.0])}, Masks({"weight": torch.tensor([False, True])}))
        {'weight': tensor([-inf, -2.])}
    """
    require_scores("invert", scores)
    if masks is None:
        return Scores({name: -score for name, score in scores.items()}, layouts_of(scores))
    if {n: s.shape for n, s in scores.items()} != {n: m.shape for n, m in masks.items()}:
        raise InvalidValueError(
            f"invert: the masks must be of the parameters that were scored, got {', '.join(masks)}. "
            "Pass the masks under which the model was scored."
        )
    negated = Scores({name: -score for name, score in scores.items()}, layouts_of(scores))
    return among_survivors(negated, masks, where="invert")
