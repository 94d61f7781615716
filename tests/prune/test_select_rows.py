"""Scope "row": every output keeps the nearest whole number of its weights; patterns of names say which layers count."""

import copy
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruneproof.prune import (
    Masks,
    calibrated,
    grasp,
    grasp_abs,
    imp,
    magnitude,
    prunable,
    random,
    select,
    sipp,
    snip,
    synflow,
    wanda,
)


def kept_of_row(row: list[float], count: int) -> list[bool]:
    """By the definition: the highest first, among equals the lowest index."""
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))
    return [i in order[:count] for i in range(len(row))]


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=5),
    st.fractions(Fraction(1, 10), 1).map(float),
)
def test_rows_keep_the_nearest_whole_number_with_ties_to_the_lowest_index(
    rows: list[list[int]], density: float
) -> None:
    scores = torch.tensor(rows, dtype=torch.float32)
    mask = select({"a": scores}, density=density, scope="row")["a"]
    count = math.floor(Fraction(density) * 6 + Fraction(1, 2))
    assert mask.tolist() == [kept_of_row(row, count) for row in scores.tolist()]


def test_a_convolution_counts_all_inputs_of_an_output_as_one_row() -> None:
    scores = torch.randn(4, 3, 2, 2)
    mask = select({"a": scores}, density=0.25, scope="row")["a"]
    assert mask.flatten(1).sum(1).tolist() == [3, 3, 3, 3]


def test_infinite_scores_are_values_like_others() -> None:
    scores = torch.tensor([[torch.inf, -torch.inf, 0.0, -0.0], [-torch.inf] * 4])
    mask = select({"a": scores}, density=0.5, scope="row")["a"]
    assert mask.tolist() == [[True, False, True, False], [True, True, False, False]]


@pytest.mark.parametrize("count", [3, {"a": 3}])
def test_a_count_is_refused(count: int | dict[str, int]) -> None:
    with pytest.raises(ValueError, match="takes a density and no count"):
        select({"a": torch.ones(2, 4)}, count=count, scope="row")


def test_a_density_that_empties_rows_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(100, 8), nn.Linear(4, 8))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"density 0\.1 empties every row of 1\.weight, which has 4"):
        magnitude(model, density=0.1, scope="row")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


class Net(nn.Module):
    """A stack with a head, whose weight may be tied to an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def loss(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, target)


BATCH = (torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4)
METHODS = {
    "magnitude": lambda model, **options: magnitude(model, density=0.5, **options),
    "random": lambda model, **options: random(model, density=0.5, generator=torch.Generator(), **options),
    "snip": lambda model, **options: snip(model, loss, BATCH, density=0.5, **options),
    "synflow": lambda model, **options: synflow(model, (1, 8), density=0.5, iterations=3, **options),
    "wanda": lambda model, **options: wanda(model, BATCH[0], density=0.5, **options),
    "grasp": lambda model, **options: grasp(model, loss, BATCH, density=0.5, **options),
    "grasp_abs": lambda model, **options: grasp_abs(model, loss, BATCH, density=0.5, **options),
    "sipp": lambda model, **options: sipp(model, BATCH[0].abs(), density=0.5, variant="det", **options).masks,
    "calibrated": lambda model, **options: calibrated(model, [BATCH[0]], density=0.5, **options).masks,
    "imp": lambda model, **options: [*imp(model, lambda *run: None, [0.5], iterations=1, **options)][-1].masks,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"exclude": "head"}, ["body.0.weight", "body.2.weight"]),
        ({"exclude": ["body.0.weight", "he*"]}, ["body.2.weight"]),
        ({"include": "body"}, ["body.0.weight", "body.2.weight"]),
        ({"include": ["body.?", "head"], "exclude": "body.2"}, ["body.0.weight", "head.weight"]),
    ],
)
def test_the_density_refers_to_what_the_patterns_leave(method: str, options: dict[str, str], left: list[str]) -> None:
    model = Net()
    masks = METHODS[method](model, **options)
    assert list(masks) == left
    assert masks.count == math.floor(masks.total / 2 + 0.5)
    assert masks.total == sum(weight.numel() for name, weight in prunable(model).items() if name in left)


@pytest.mark.parametrize("method", METHODS)
def test_patterns_that_match_nothing_or_leave_nothing_are_refused(method: str) -> None:
    with pytest.raises(KeyError, match=f"{method}: the exclude pattern 'decoder' matches no"):
        METHODS[method](Net(), exclude="decoder")
    with pytest.raises(KeyError, match=f"{method}: the include pattern '\\*.bias' matches no prunable weight"):
        METHODS[method](Net(), include="*.bias")
    with pytest.raises(KeyError, match="leave nothing to prune"):
        METHODS[method](Net(), exclude="*")
    with pytest.raises(TypeError, match="exclude must be one shell pattern or a list"):
        METHODS[method](Net(), exclude=3)


def test_a_tied_weight_goes_by_each_of_its_names() -> None:
    model = nn.ModuleDict({"first": nn.Linear(4, 4), "second": nn.Linear(4, 4)})
    model["second"].weight = model["first"].weight
    with pytest.raises(KeyError, match="leave nothing"):
        magnitude(model, density=0.5, exclude="second")


def test_rows_run_along_inputs_whichever_way_a_layer_stores_them() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(8, 6, 2, groups=2)
    mask = magnitude(nn.Sequential(layer), density=0.25, scope="row")["0.weight"]
    assert mask.reshape(2, 4, 3, 4).permute(0, 2, 1, 3).reshape(6, 16).sum(1).tolist() == [4] * 6
    assert isinstance(magnitude(nn.Sequential(layer), scope="2:4"), Masks)


def test_long_tensors_are_selected_in_pieces_as_whole_ones_are() -> None:
    scores = torch.randn(5, 1 << 18, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    mask = select({"a": scores}, density=0.3, scope="row")["a"]
    alone = [select({"a": row[None]}, density=0.3, scope="row")["a"][0] for row in scores]
    assert torch.equal(mask, torch.stack(alone))
    assert mask.sum(1).tolist() == [math.floor(0.3 * (1 << 18) + 0.5)] * 5
