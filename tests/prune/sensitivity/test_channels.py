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


def test_a_batch_norm_of_flattened_channels_is_cut_with_them() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(16)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), norm, nn.Linear(16, 2)).eval()
    assert norm.running_mean is not None
    norm.running_mean.normal_()
    norm.weight.data.normal_()
    inputs = torch.rand(6, 1, 4, 4)
    result, silenced = pfp(model, inputs, density=0.5), copy.deepcopy(model)
    last = silenced[4]
    assert isinstance(last, nn.Linear)
    last.weight.data *= result.channels["0.weight"].float().repeat_interleave(4)
    torch.testing.assert_close(result.model(inputs), silenced(inputs))


@pytest.mark.parametrize("density", [0.0, 1.5])
def test_bad_densities_are_refused(density: float) -> None:
    with pytest.raises(PruneproofError, match="density"):
        pfp(_model(), torch.rand(4, 1, 8, 8), density=density)


def test_other_networks_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2))
    with pytest.raises(PruneproofError, match="Embedding"):
        pfp(model, torch.zeros(2, dtype=torch.long), density=0.5)


SHARED, NORM = nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False)
FLAT = (nn.Flatten(), nn.Linear(8, 2))
MIXING: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
    "Softmax": ([nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)], (4,)),
    "GLU": ([nn.Linear(4, 8), nn.GLU(), nn.Linear(4, 2)], (4,)),
    "MaxPool1d": ([nn.Linear(4, 8), nn.MaxPool1d(2), nn.Linear(4, 2)], (4,)),
    "AvgPool1d": ([nn.Linear(4, 8), nn.AvgPool1d(2), nn.Linear(4, 2)], (4,)),
    "PixelShuffle": ([nn.Conv2d(1, 4, 1), nn.PixelShuffle(2), nn.Conv2d(1, 2, 1)], (1, 2, 2)),
    "ChannelShuffle": ([nn.Conv2d(1, 4, 1), nn.ChannelShuffle(2), nn.Conv2d(4, 2, 1)], (1, 2, 2)),
    "LocalResponseNorm": ([nn.Conv2d(1, 4, 1), nn.LocalResponseNorm(2), nn.Conv2d(4, 2, 1)], (1, 2, 2)),
    "2 \\(Conv2d": ([nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1, padding_mode="reflect")], (1, 3, 3)),
    "1 \\(Conv2d": ([nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=2)], (1, 2, 2)),
    "Flatten": ([nn.Linear(2, 4), nn.Flatten(0), nn.Linear(4, 2)], (2,)),
    "0 \\(Linear": ([nn.Linear(4, 4), *FLAT], (2, 4)),  # features come last here, not as dimension 1
    "1 \\(MaxPool2d": ([nn.Linear(8, 8), nn.MaxPool2d((1, 2)), nn.Linear(4, 2)], (8,)),
    "0 again as 2": ([SHARED, nn.ReLU(), SHARED, nn.ReLU(), nn.Linear(4, 2)], (4,)),
    "1 again as 3": ([nn.Linear(4, 4), NORM, nn.ReLU(), NORM, nn.Linear(4, 2)], (4,)),
}


@pytest.mark.parametrize("named", MIXING)
def test_layers_that_mix_channels_are_refused(named: str) -> None:
    layers, item = MIXING[named]
    with pytest.raises(PruneproofError, match=named):
        pfp(nn.Sequential(*layers), torch.rand(1 if named == "Flatten" else 5, *item), density=0.5)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Tanh(), nn.Identity(), nn.Dropout(), nn.Softplus(), nn.BatchNorm1d(8)])
def test_layers_that_keep_channels_apart_are_taken(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 8), layer, nn.Sequential(nn.Linear(8, 6), layer if not list(layer.parameters())
                          else nn.ReLU()), nn.Linear(6, 2))  # fmt: skip
    assert pfp(model, torch.rand(5, 4), density=0.5).model(torch.rand(5, 4)).shape == (5, 2)


def test_an_excluded_layer_keeps_its_channels() -> None:
    torch.manual_seed(0)
    model, inputs = (
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)),
        torch.rand(9, 4),
    )
    whole, result = pfp(model, inputs, density=0.5), pfp(model, inputs, density=0.5, exclude="0")
    assert list(result.channels) == ["2.weight"] and result.model[0].out_features == 8
    assert torch.equal(result.channels["2.weight"], whole.channels["2.weight"])
    included = pfp(model, inputs, density=0.5, include="2")
    assert torch.equal(included.model(inputs), result.model(inputs))
    with pytest.raises(PruneproofError):
        pfp(model, inputs, density=0.5, exclude="head")
