"""Our scores as importance for Torch-Pruning: what a channel is worth is what the scores lose with it."""

import copy
from typing import Any

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from pruneproof.prune import prunable, scores, torch_pruning_importance

tp: Any = torch_pruning
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Convolutions (plain, depthwise, transposed), normalisation, a residual sum, and a linear layer on pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 6, 1)
        self.hidden = nn.Linear(6 * 64, 10)
        self.last = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.up(x + self.second(self.depthwise(x))))
        return self.last(torch.relu(self.hidden(x.flatten(1))))


def network() -> Network:
    torch.manual_seed(0)
    model = Network().eval()
    with torch.no_grad():
        for weight in prunable(model).values():
            weight.copy_((weight * 64).round())  # whole numbers, whose sums are exact
    return model


def groups(model: nn.Module) -> list[tuple[Any, Any]]:
    """Layers whose outputs can be removed, with the function of the package that does it."""
    return [
        (layer, tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and name not in ("last", "depthwise")
    ]


def total(model: nn.Module) -> float:
    return sum(float(score.double().sum()) for score in scores.magnitude(model).values())


@pytest.mark.parametrize("number", range(4))
def test_a_channel_is_worth_what_the_scores_lose_with_it(number: int) -> None:
    """Removed by the package itself from a copy; every channel, and everything that depends on it."""
    model = network()
    importance = torch_pruning_importance(model, scores.magnitude)
    layer, remove = groups(model)[number]
    graph = tp.DependencyGraph().build_dependency(model, IMAGES)
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    worth = importance(graph.get_pruning_group(layer, remove, idxs=list(range(channels))))
    assert worth is not None
    lost: list[float] = []
    for channel in range(channels):
        smaller = copy.deepcopy(model)
        graph = tp.DependencyGraph().build_dependency(smaller, IMAGES)
        graph.get_pruning_group(groups(smaller)[number][0], remove, idxs=[channel]).prune()
        lost.append(total(model) - total(smaller))
    assert worth.tolist() == lost
    assert len(set(lost)) > 1


@pytest.mark.parametrize("everywhere", [False, True], ids=["local", "global"])
def test_a_pruner_keeps_the_channels_of_highest_scores(everywhere: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5))
    inputs, targets = torch.randn(32, 8), torch.arange(32) % 5

    def snip(network: nn.Module) -> dict[str, Tensor]:
        return scores.snip(network, nn.functional.cross_entropy, (inputs, targets))

    found = snip(model)
    worth = found["0.weight"].sum(1) + found["2.weight"].sum(0)
    before = model[0].get_parameter("weight").detach().clone()
    pruner = tp.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning_importance(model, snip),
        pruning_ratio=0.5,
        global_pruning=everywhere,
        ignored_layers=[model[4]],
    )
    pruner.step()
    assert model(inputs).shape == (32, 5)
    rows = model[0].get_parameter("weight").detach()
    kept = [index for index, row in enumerate(before) if any(torch.equal(row, other) for other in rows)]
    assert len(kept) == len(rows) < 16
    if everywhere:
        others = found["2.weight"].sum(1) + found["4.weight"].sum(0)
        assert len(rows) + len(model[2].get_parameter("weight")) == 14
        threshold = torch.cat([worth, others]).sort().values[14]
        assert kept == (worth >= threshold).nonzero()[:, 0].tolist()
    else:
        assert kept == sorted(worth.topk(8).indices.tolist())


def test_a_group_without_scores_has_no_importance() -> None:
    model = network()
    importance = torch_pruning_importance(model, lambda model: scores.magnitude(model, include=["last"]))
    graph = tp.DependencyGraph().build_dependency(model, IMAGES)
    assert importance(graph.get_pruning_group(model.first, tp.prune_conv_out_channels, idxs=[0])) is None
