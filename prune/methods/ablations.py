"""Ablations: what a mask loses when its positions, the weights under it, or the order of its scores are destroyed.

Frankle et al. (2021) ask of each method at initialisation whether it matters *which* weights of a layer are kept
(`shuffle`), *which values* they have (`reinitialize`) and *whether the scores mean anything* (`invert`).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError, require_type
from pruneproof.prune.masks.enforcement import zero_again
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.selection.progressive import among_survivors
from pruneproof.prune.selection.selection import Scores, layouts_of


def shuffle(masks: Masks, generator: torch.Generator, *, within: Mapping[str, Tensor] | None = None) -> Masks:
    """Permute each layer's mask at random: the same number of kept weights per layer, at other positions.

    **Arguments:**

    - `masks`: the masks to shuffle; unchanged.
    - `generator`: the only source of randomness; it advances.
    - `within`: name → bool tensor of the positions that take part, e.g. `Connectivity.live_positions()`; the others
      keep their mask.

    **Returns:** new `Masks` with the same `counts`.

    **Raises:** `PruneproofError` if `within` does not fit the masks.

    Source: the shuffling ablation of Frankle et al. 2021.

    Example:
        >>> masks = Masks({"weight": torch.arange(1000).view(10, 100) < 50})
        >>> shuffled = shuffle(masks, torch.Generator().manual_seed(0))
        >>> shuffled.counts == masks.counts, shuffled == masks
        (True, False)
    """
    require_type("shuffle", masks, Masks, required="masks", remedy="pass a Masks object")
    _require_generator("shuffle", generator)
    if within is not None and {n: w.shape for n, w in within.items()} != {n: m.shape for n, m in masks.items()}:
        remedy = "pass the positions of the same model"
        raise PruneproofError("shuffle", required="positions for each mask", received=list(within), remedy=remedy)
    everywhere = {name: torch.ones_like(mask) for name, mask in masks.items()}
    positions = everywhere if within is None else within
    return Masks({name: _permuted(mask, positions[name], generator) for name, mask in masks.items()})


def _require_generator(where: str, generator: object) -> None:
    remedy = "pass torch.Generator().manual_seed(seed)"
    require_type(where, generator, torch.Generator, required="a torch.Generator", remedy=remedy)


def _permuted(mask: Tensor, positions: Tensor, generator: torch.Generator) -> Tensor:
    chosen = positions.to(mask.device).flatten().nonzero().squeeze(1)
    order = torch.randperm(len(chosen), generator=generator, device=generator.device).to(mask.device)
    shuffled = mask.flatten()
    shuffled[chosen] = mask.flatten()[chosen[order]]
    return shuffled.view_as(mask)


def reinitialize(
    model: nn.Module, generator: torch.Generator, *, initialize: Callable[[nn.Module], None] | None = None
) -> nn.Module:
    """A copy of the model whose layers are drawn afresh by their own initialisers.

    **Arguments:**

    - `model`: the network; unchanged, and its random generators too.
    - `generator`: seeds the draw; it advances.
    - `initialize`: what to call on each module instead of its `reset_parameters()`, e.g. a model's own weight rule.

    **Returns:** a new model; buffers such as BatchNorm statistics are reset where the layer resets them. Masks that are
    enforced on the model are enforced on the copy, whose pruned weights are zero.

    **Raises:** `PruneproofError` if a module holds parameters of its own and has no `reset_parameters()`.

    Source: the re-initialisation ablation of Frankle et al. 2021.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> other = reinitialize(layer, torch.Generator().manual_seed(0))
        >>> torch.equal(layer.weight, other.weight)
        False
    """
    remedy = "pass the module itself"
    require_type("reinitialize", model, nn.Module, required="a model (torch.nn.Module)", remedy=remedy)
    _require_generator("reinitialize", generator)
    fresh = copied(model)
    owners = [module for module in fresh.modules() if next(module.parameters(recurse=False), None) is not None]
    for module in owners if initialize is None else []:
        if not callable(getattr(module, "reset_parameters", None)):
            remedy = "pass initialize=, the rule that draws the weights of a module"
            received = f"{type(module).__name__} without one"
            raise PruneproofError("reinitialize", required="reset_parameters()", received=received, remedy=remedy)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed every GPU, forked or not
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        for module in fresh.modules() if initialize is not None else owners:
            _reset(module) if initialize is None else initialize(module)
    zero_again(fresh)
    return fresh


def _reset(module: nn.Module) -> None:
    reset = module.reset_parameters
    assert callable(reset)
    reset()


def invert(scores: Mapping[str, Tensor], masks: Masks | None = None) -> dict[str, Tensor]:
    """Negate the scores, so that `select` keeps the lowest; weights already pruned stay last.

    **Arguments:**

    - `scores`: name → tensor, higher is kept.
    - `masks`: weights that are already pruned get −∞, in the order of the scores and in the inverted one;
      others get a finite number, so that a score of +∞ does not put one behind them.

    **Returns:** name → new tensor; no division, so a score of zero is as good as another.

    **Raises:** `PruneproofError` if the masks are of other parameters.

    Source: the inversion ablation of Frankle et al. 2021.

    Example:
        >>> invert({"weight": torch.tensor([0.0, 2.0])}, Masks({"weight": torch.tensor([False, True])}))
        {'weight': tensor([-inf, -2.])}
    """
    remedy = "pass what a function of pruneproof.prune.scores returned"
    require_type("invert", scores, Mapping, required="scores by parameter name", remedy=remedy)
    if masks is None:
        return Scores({name: -score for name, score in scores.items()}, layouts_of(scores))
    if {n: s.shape for n, s in scores.items()} != {n: m.shape for n, m in masks.items()}:
        remedy = "pass the masks under which the model was scored"
        raise PruneproofError("invert", required="a mask for each score", received=list(masks), remedy=remedy)
    negated = Scores({name: -score for name, score in scores.items()}, layouts_of(scores))
    return among_survivors(negated, masks, where="invert")
