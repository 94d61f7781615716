"""`pfp` removes channels physically: the small network is the original with those channels silenced."""

import copy

import pytest
import torch
from torch import nn

from pruneproof import PruneproofError
from pruneproof.prune import pfp


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 12), nn.ReLU(),
        nn.Linear(12, 3),
    ).eval()  # fmt: skip


def test_the_small_network_is_the_original_with_silenced_channels() -> None:
    model, inputs = _model(), torch.rand(16, 1, 8, 8)
    result = pfp(model, inputs, density=0.5)
    silenced = copy.deepcopy(model)
    for consumer, producer, entries in ((5, "0.weight", 9), (7, "5.weight", 1)):
        layer = silenced[consumer]
        assert isinstance(layer, nn.Linear)
        layer.weight.data *= result.channels[producer].float().repeat_interleave(entries)
    torch.testing.assert_close(result.model(inputs), silenced(inputs))
    assert sum(p.numel() for p in result.model.parameters()) < 0.5 * sum(p.numel() for p in model.parameters())


def test_the_bound_holds_for_the_next_layers_half_rows() -> None:
    torch.manual_seed(1)
    model, inputs = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 4)).double(), torch.rand(30, 8).double()
    result = pfp(model, inputs, density=0.6)
    hidden, consumer = torch.relu(model[0](inputs)).detach(), model[2]
    assert isinstance(consumer, nn.Linear)
    for half, epsilon in zip((1, -1), result.bounds["2.weight"], strict=True):
        weight = (half * consumer.weight.detach()).clamp(min=0)
        old, new = hidden @ weight.T, hidden @ (weight * result.channels["0.weight"]).T
        torch.testing.assert_close(((old - new) / old).amax(0), epsilon)


def test_everything_is_kept_at_density_one() -> None:
    model, inputs = _model(), torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(pfp(model, inputs, density=1.0).model(inputs), model(inputs))


@pytest.mark.parametrize("density", [0.0, 1.5])
def test_bad_densities_are_refused(density: float) -> None:
    with pytest.raises(PruneproofError, match="density"):
        pfp(_model(), torch.rand(4, 1, 8, 8), density=density)


def test_other_networks_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2))
    with pytest.raises(PruneproofError, match="Embedding"):
        pfp(model, torch.zeros(2, dtype=torch.long), density=0.5)
