# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportArgumentType=false
"""Layers that store a weight as (inputs, outputs) are pruned, counted and described along their own dimensions."""

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, inspect_model, magnitude, scores, select, synflow
from pruneproof.prune.models.parameters import layouts


class Conv1D(nn.Module):
    """A linear layer of language models: the weight is (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


LAYERS = {
    "linear": (lambda: Conv1D(16, 8), (1, 8)),
    "convolution": (lambda: nn.ConvTranspose2d(8, 16, 1), (1, 8, 3, 3)),
    "volume": (lambda: nn.ConvTranspose3d(8, 16, 1), (1, 8, 3, 3, 3)),
}


def two_of_four(rows: Tensor) -> bool:
    return bool((rows.reshape(len(rows), -1, 4).sum(2) == 2).all())


@pytest.mark.parametrize("kind", LAYERS)
def test_two_of_every_four_inputs_of_an_output(kind: str) -> None:
    """A user prunes to 2:4: two of four inputs of each output are kept, or the layer is refused by name."""
    torch.manual_seed(0)
    try:
        kept = magnitude(nn.Sequential(LAYERS[kind][0]()), scope="2:4")["0.weight"]
    except PruneproofError as error:
        assert "0.weight" in str(error)
    else:
        assert two_of_four(kept.reshape(8, 16).T.contiguous())


@pytest.mark.parametrize("kind", LAYERS)
def test_five_outputs_fed_by_one_input_are_five(kind: str) -> None:
    """A user keeps five weights, all from the first input: five outputs are live."""
    make, shape = LAYERS[kind]
    model = nn.Sequential(make())
    keep = torch.zeros_like(model[0].weight, dtype=torch.bool)
    keep[0, :5] = True
    assert connectivity(model, Masks({"0.weight": keep}), shape).live_units == {"0.weight": 5}


@pytest.mark.parametrize("groups", [1, 2])
def test_the_matrix_of_a_transposed_convolution_is_its_map_from_inputs_to_outputs(groups: int) -> None:
    """Against the convolution itself: at kernel size 1, output o of the unit input i is entry (o, i of its group)."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, 1, groups=groups, bias=False)
    layout = layouts(layer)["weight"]
    matrix = layout.matrix(layer.weight)
    assert matrix.shape == (6, 4 // groups) and layout.row_length(layer.weight.shape) == 4 // groups
    assert torch.equal(layout.tensor(matrix, layer.weight.shape), layer.weight)
    for index in range(4):
        unit = torch.zeros(1, 4, 1, 1)
        unit[0, index] = 1.0
        group, inside = divmod(index, 4 // groups)
        expected = torch.zeros(6)
        rows = slice(group * 6 // groups, (group + 1) * 6 // groups)
        expected[rows] = matrix[rows, inside]
        assert torch.equal(layer(unit).flatten(), expected)


@pytest.mark.parametrize("scope", ["2:4", "row"])
def test_iterations_and_scores_of_ones_own_follow_the_layout(scope: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(8, 16, 1), nn.Flatten())
    own = {"0.weight": model[0].weight.detach().abs()}
    budget = {} if scope == "2:4" else {"density": 0.5}
    expected = magnitude(model, scope=scope, **budget)
    assert select(own, scope=scope, model=model, **budget) == expected
    assert select(scores.magnitude(model), scope=scope, **budget) == expected
    if scope == "row":
        kept = synflow(model, (1, 8, 1, 1), density=0.5, scope="row", iterations=3)["0.weight"]
        assert kept.reshape(8, 16).sum(0).tolist() == [4] * 16


def test_live_positions_of_a_grouped_transposed_convolution() -> None:
    """Within a group: between inputs and outputs that a live weight joins."""
    layer = nn.ConvTranspose1d(4, 6, 1, groups=2, bias=False)
    keep = torch.zeros(4, 3, 1, dtype=torch.bool)
    keep[0, 0] = keep[1, 2] = keep[3, 1] = True
    path = connectivity(layer, Masks({"weight": keep}), (1, 4, 1))
    assert path.live_units == {"weight": 3}
    expected = torch.zeros(4, 3, 1, dtype=torch.bool)
    expected[0, 0] = expected[0, 2] = expected[1, 0] = expected[1, 2] = expected[3, 1] = True
    assert torch.equal(path.live_positions()["weight"], expected)


def test_two_of_every_four_of_a_volume_in_groups() -> None:
    """An output's four: two inputs of its group times two positions of the kernel."""
    torch.manual_seed(0)
    kept = magnitude(nn.Sequential(nn.ConvTranspose3d(4, 8, (1, 1, 2), groups=2)), scope="2:4")["0.weight"]
    assert all(kept[start : start + 2, output].sum() == 2 for start in (0, 2) for output in range(4))


def test_no_speed_is_promised_for_a_pattern_along_outputs() -> None:
    """A user inspects such a layer with the pattern along its outputs: no kernel is faster on it."""
    model = nn.Sequential(Conv1D(16, 8))
    first_half, left = torch.arange(8)[:, None] < 4, torch.arange(16) % 4 < 2
    Masks({"0.weight": first_half == left}).apply_(model)
    assert "faster on GPUs" not in inspect_model(model, input_shape=(1, 8)).layers[0].speed
