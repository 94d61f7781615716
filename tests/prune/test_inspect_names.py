"""The report counts each weight once: tied weights, masks under any name, biases, swapped and empty layers."""

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, inspect_model, magnitude, sparsify


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3) → (n, 3)."""
        return self.b(self.a(x))


def repeated() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


@pytest.mark.parametrize(
    ("net", "name", "biases"), [(Tied(), "a", 6), (Tied(), "b", 6), (repeated(), "0", 3), (repeated(), "2", 3)]
)
def test_a_weight_of_two_names_is_counted_once_under_that_of_the_masks(net: nn.Module, name: str, biases: int) -> None:
    report = inspect_model(net, Masks({f"{name}.weight": torch.eye(3) > 0}), input_shape=(1, 3))
    (layer,) = report.layers
    assert (layer.name, layer.kept, report.macs) == (f"{name}.weight", 3, (6, 18))
    assert (report.other_bytes, report.dense_bytes) == (4 * biases, 4 * (9 + biases))


def test_masks_of_a_swapped_layer_count_nothing_again() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Conv1d(1, 1, 2))
    masks = magnitude(net, density=0.5)
    swapped = sparsify(net, masks, format="masked")
    assert inspect_model(swapped, masks) == inspect_model(swapped)


def test_a_masked_bias_is_counted() -> None:
    net = nn.Linear(3, 2)
    report = inspect_model(net, Masks({"weight": torch.ones(2, 3) > 0, "bias": torch.tensor([True, False])}))
    assert [(layer.name, layer.kept, layer.total) for layer in report.layers] == [("weight", 6, 6), ("bias", 1, 2)]
    assert report.other_bytes == 0 and report.layers[1].packed_bytes == 4 + 4  # a number and a word of bits


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_weights_multiplies_nothing() -> None:
    net = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3))
    report = inspect_model(net, input_shape=(1, 4))
    assert (report.macs, report.density, report.dense_bytes) == ((0, 0), 1.0, 12)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int8])
def test_an_input_of_no_real_type_is_not_made_up(dtype: torch.dtype) -> None:
    net = nn.Linear(4, 2, bias=False)
    net.weight = nn.Parameter(torch.ones(2, 4, dtype=dtype), requires_grad=False)
    with pytest.raises(PruneproofError, match=f"a model of {dtype}, .* Pass the inputs"):
        inspect_model(net, input_shape=(1, 4))
    assert inspect_model(net, input_shape=torch.ones(1, 4, dtype=dtype)).macs == (8, 8)
