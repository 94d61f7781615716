"""One cell of the claims: prune a network at some step by some method, ablate the mask, train, test."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pruneproof.claims.engine.cell import Row
from pruneproof.claims.training.single import accuracy, train
from pruneproof.prune import Masks, balanced_batch, connectivity, scores, select, shuffle

from .networks import redrawn
from .settings import SETTINGS, Setting
from .variants import masks_of

ABLATIONS = ("shuffle", "reinitialize", "invert")
_SHUFFLE, _REDRAW, _CONTROL = 7001, 7002, 7003  # added to a seed, so that its draws differ


def pruned_early(cell: Mapping[str, Any]) -> list[Row]:
    """Train to step `at`, prune by `method` at `density` under `ablation`, train to the end: one row.

    `ablation` is "none" or one of `ABLATIONS`. With `restart` the pruned network is trained by the whole recipe
    instead of its remaining steps. All cells of a seed share initial weights, scoring batch and data order.
    """
    setting, seed = SETTINGS[cell["network"]], int(cell["seed"])
    model = _trained(setting, setting.build(seed), seed, stop=cell["at"])
    masks = masks_of(
        model,
        cell["method"],
        cell["density"],
        balanced_batch(
            setting.images().train_x, setting.images().train_y, generator=torch.Generator().manual_seed(seed)
        ),
        setting.input_shape,
        seed=seed + _CONTROL,
        inverted=cell["ablation"] == "invert",
    )
    model, masks = ablated(model, masks, cell["ablation"], seed)
    start = 0 if cell.get("restart") else cell["at"]
    return [_row(setting, _trained(setting, model, seed, masks=masks, start=start), masks)]


def pruned_late(cell: Mapping[str, Any]) -> list[Row]:
    """Magnitude after training, and lottery tickets from its masks: a row for each, and for the dense network.

    `after` is retrained by the whole recipe from its trained weights (learning-rate rewinding); `ticket` returns to the
    weights after the setting's rewinding step and trains on; so do both ablations of the ticket.
    """
    setting, seed = SETTINGS[cell["network"]], int(cell["seed"])
    dense = _trained(setting, setting.build(seed), seed, stop=setting.rewind)
    early = copy.deepcopy(dense)
    _trained(setting, dense, seed, start=setting.rewind)
    masks = select(scores.magnitude(dense), density=cell["density"])
    everything = Masks({name: torch.ones_like(mask) for name, mask in masks.items()})
    rows = [{"variant": "dense"} | _row(setting, dense, everything)]
    rows.append({"variant": "after"} | _row(setting, _trained(setting, dense, seed, masks=masks), masks))
    for ablation in ("none", "shuffle", "reinitialize"):
        ticket, kept = ablated(copy.deepcopy(early), masks, ablation, seed)
        _trained(setting, ticket, seed, masks=kept, start=setting.rewind)
        name = "ticket" if ablation == "none" else f"ticket {ablation}"
        rows.append({"variant": name} | _row(setting, ticket, kept))
    return rows


def ablated(model: nn.Module, masks: Masks, ablation: str, seed: int) -> tuple[nn.Module, Masks]:
    """The model and masks after shuffling or re-initialising; inversion happens when scores are selected."""
    if ablation == "shuffle":
        return model, shuffle(masks, torch.Generator().manual_seed(seed + _SHUFFLE))
    if ablation == "reinitialize":
        return redrawn(model, seed + _REDRAW), masks
    return model, masks


def _trained(
    setting: Setting,
    model: nn.Module,
    seed: int,
    *,
    masks: Masks | None = None,
    start: int = 0,
    stop: int | None = None,
) -> nn.Module:
    data = setting.images()
    return train(
        model,
        data.train_x,
        data.train_y,
        setting.recipe,
        seed=seed,
        masks=masks,
        start=start,
        stop=stop,
        augment=setting.augment,
    )


def _row(setting: Setting, model: nn.Module, masks: Masks) -> Row:
    """What is recorded of a trained network: test accuracy, kept weights, layer densities, live units."""
    data, path = setting.images(), connectivity(model, masks, setting.input_shape)
    return {
        "accuracy": accuracy(model, data.test_x, data.test_y),
        "kept": masks.count,
        "layers": {name: masks.counts[name] / mask.numel() for name, mask in masks.items()},
        "live": path.live_units,
        "cut": list(path.cut),
    }
