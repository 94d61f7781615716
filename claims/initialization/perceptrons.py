"""One cell of the perceptron claim: all methods and ablations of a seed trained as one batched program.

Seventeen replicates of 64–100–100–10 share initial values and data order and differ in their masks; stacking them
costs a fraction of a loop over them (`bench/test_bench_scores.py` has the ratio).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.claims.engine.cell import Row
from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.trainer import Trainer
from pruneproof.prune import Connectivity, Masks, balanced_batch, connectivity, shuffle

from .measure import ablated
from .networks import MLP_INPUT, MLP_SIZES, digits_mlp
from .settings import DIGITS_RECIPE, digit_images
from .variants import METHODS, masks_of

WITHIN = "shuffle within live units"
VARIANTS = ("none", "shuffle", WITHIN, "reinitialize")
_WITHIN, _CONTROL = 7004, 7003


def pruned_perceptrons(cell: Mapping[str, Any]) -> list[Row]:
    """Every method under every variant at one seed and density: a row each, with live units before training."""
    data, seed = digit_images(), int(cell["seed"])
    train_x, test_x = (x.reshape(len(x), -1) for x in (data.train_x, data.test_x))
    batch = balanced_batch(train_x, data.train_y, generator=torch.Generator().manual_seed(seed))
    model = digits_mlp(seed)
    names, trained = list[tuple[str, str]](), list[tuple[nn.Module, Masks]]()
    for method in ("random ERK", *METHODS):
        masks = masks_of(model, method, cell["density"], batch, MLP_INPUT, seed=seed + _CONTROL)
        path = connectivity(model, masks, MLP_INPUT)
        for variant in VARIANTS if method in METHODS else ("none",):
            names.append((method, variant))
            trained.append(_varied(model, masks, path, variant, seed))
    nets, kept = stacked(trained, seed)
    Trainer(nets, train_x, data.train_y, DIGITS_RECIPE).run(mask=kept)
    correct = (nets.probabilities(test_x).argmax(2) == data.test_y).float().mean(1).tolist()
    paths = [connectivity(network, masks, MLP_INPUT) for network, masks in trained]
    return [
        {"method": method, "variant": variant, "accuracy": score, "kept": path.kept.count, "live": path.live_units}
        for (method, variant), score, path in zip(names, correct, paths, strict=True)
    ]


def _varied(model: nn.Module, masks: Masks, path: Connectivity, variant: str, seed: int) -> tuple[nn.Module, Masks]:
    if variant == WITHIN:
        generator = torch.Generator().manual_seed(seed + _WITHIN)
        return model, shuffle(masks, generator, within=path.live_positions())
    return ablated(model, masks, variant, seed)


def stacked(networks: list[tuple[nn.Module, Masks]], seed: int) -> tuple[Replicates, Tensor]:
    """Perceptrons and masks as replicates (R, P) and a bool mask (R, P); biases are never masked."""
    nets = initial_replicates([MLP_SIZES] * len(networks), [seed] * len(networks))
    kept = torch.ones_like(nets.parameters, dtype=torch.bool)
    mask_views = nets.over(kept).weights
    for replicate, (network, masks) in enumerate(networks):
        for layer, linear in enumerate(module for module in network.modules() if isinstance(module, nn.Linear)):
            nets.weights[layer][replicate] = linear.weight.detach()
            nets.biases[layer][replicate] = linear.bias.detach()[:, None]
            mask_views[layer][replicate] = masks[f"{2 * layer}.weight"]
    return nets, kept
