"""`select` keeps exactly the count asked for, in every scope, the highest scores first and ties by index."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pruneproof import PruneproofError
from pruneproof.prune import magnitude, select, synflow
from pruneproof.prune.scores import magnitude as raw
from pruneproof.prune.selection.budget import erk, kept_count, uniform

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, math.inf, -math.inf])  # few values, so that ties are the rule


@st.composite
def scored_layers(draw: st.DrawFn) -> dict[str, Tensor]:
    shapes = draw(st.lists(SHAPES, min_size=1, max_size=4))
    numbers = [draw(st.lists(VALUES, min_size=math.prod(s), max_size=math.prod(s))) for s in shapes]
    return {f"layer{i}": torch.tensor(v).view(s) for i, (v, s) in enumerate(zip(numbers, shapes, strict=True))}


def first_of_the_highest(score: Tensor, count: int) -> list[bool]:
    values = score.reshape(-1).tolist()
    kept = set(sorted(range(len(values)), key=lambda index: -values[index])[:count])
    return [index in kept for index in range(len(values))]


@given(scored_layers(), st.floats(0, 1, exclude_min=True))
def test_global_density_is_exact(scores: dict[str, Tensor], density: float) -> None:
    total = sum(score.numel() for score in scores.values())
    wanted = math.floor(Fraction(density) * total + Fraction(1, 2))
    if wanted == 0:
        with pytest.raises(PruneproofError, match=r"keeps none of|fewer than"):
            select(scores, density=density)
        return
    masks = select(scores, density=density)
    assert masks.count == wanted
    flat = torch.cat([mask.reshape(-1) for mask in masks.values()]).tolist()
    assert flat == first_of_the_highest(torch.cat([score.reshape(-1) for score in scores.values()]), wanted)


@given(scored_layers(), st.data())
def test_layers_share_as_the_rule_says(scores: dict[str, Tensor], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, sum(score.numel() for score in scores.values())))
    shapes, sizes = [score.shape for score in scores.values()], [score.numel() for score in scores.values()]
    for scope, shares in (("layer", uniform(sizes, count)), ("erk", erk(shapes, count))):
        if 0 in shares:
            with pytest.raises(PruneproofError, match="at least one weight of every layer"):
                select(scores, count=count, scope=scope)
            continue
        masks = select(scores, count=count, scope=scope)
        assert masks.count == count and list(masks.counts.values()) == shares
        for name, mask in masks.items():
            assert mask.reshape(-1).tolist() == first_of_the_highest(scores[name], masks.counts[name])


def one_at_a_time(shares: list[int], sizes: list[int]) -> list[list[int]]:
    """The definition: each weight to the layer of largest share / (2·kept + 1) not yet full, ties to the earlier."""
    paths = [[0] * len(sizes)]
    for _ in range(sum(sizes)):
        kept = list(paths[-1])
        free = [layer for layer, size in enumerate(sizes) if kept[layer] < size]
        kept[max(free, key=lambda layer: Fraction(shares[layer], 2 * kept[layer] + 1))] += 1
        paths.append(kept)
    return paths


@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_budgets_are_those_given_out_one_at_a_time(shapes: list[tuple[int, ...]]) -> None:
    """For every count at once; hence the sums are exact, no layer exceeds its size, and budgets are monotone."""
    sizes = [math.prod(shape) for shape in shapes]
    uniformly = one_at_a_time(sizes, sizes)
    by_dimension = one_at_a_time([sum(shape) for shape in shapes], sizes)
    for count in range(1, sum(sizes) + 1):
        assert uniform(sizes, count) == uniformly[count]
        assert erk(shapes, count) == by_dimension[count]


def test_a_larger_count_takes_from_no_layer() -> None:
    """The case in which largest remainders would: three layers of 6, 6 and 2 at 10 and 11 (4, 4, 2 and 5, 5, 1)."""
    assert [uniform([6, 6, 2], count) for count in (10, 11)] == [[5, 4, 1], [5, 5, 1]]


def test_erk_without_the_capacity_check_would_overflow() -> None:
    """The layer of four weights is due five: it is full, and its surplus goes to the other layer."""
    assert erk([(2, 2), (10, 10)], 30) == [4, 26]
    assert uniform([4, 100], 30) == [1, 29]


def test_erk_fills_layer_after_layer() -> None:
    """Once the first layer is full the second overflows in turn: one pass of the check is not enough."""
    assert erk([(1, 1), (3, 3), (20, 20)], 60) == [1, 8, 51]
    assert erk([(1, 1), (3, 3), (20, 20)], 71) == [1, 9, 61]  # 8.9 are due at first, then 9.1
    assert erk([(1, 1), (3, 3), (20, 20)], 410) == [1, 9, 400]


def test_erk_is_proportional_to_the_sum_of_dimensions() -> None:
    assert erk([(10, 10), (20, 20), (5, 5, 3, 3)], 76) == [20, 40, 16]


def test_uniform_rounds_to_the_nearest_and_ties_go_to_the_earlier() -> None:
    assert uniform([1, 1, 1], 2) == [1, 1, 0]
    assert uniform([10, 25, 15], 7) == [1, 4, 2]  # due 1.4, 3.5, 2.1


def test_budgets_of_large_networks_are_immediate() -> None:
    sizes = [10**6 + 7 * layer for layer in range(200)]
    shares = uniform(sizes, sum(sizes) // 10)
    assert sum(shares) == sum(sizes) // 10
    assert all(abs(share - size / 10) <= 1 for share, size in zip(shares, sizes, strict=True))


@pytest.mark.parametrize(
    ("density", "total", "kept"),
    [
        (0.1, 25, 3),
        (0.5, 5, 3),
        (0.5, 4, 2),
        (0.25, 2, 1),
        (1.0, 7, 7),
        (1, 7, 7),
        (0.1, 50_000_000, 5_000_000),
        (0.01, 50, 1),
    ],
)
def test_densities_round_to_nearest_halves_up(density: float, total: int, kept: int) -> None:
    assert kept_count(density, total, where="test") == kept


def test_a_density_is_the_number_it_is() -> None:
    """0.15 is a little below 3/20 in binary: 0.15 × 10 is below 1.5, though floats round the product to it."""
    assert 0.15 * 10 == 1.5 and kept_count(0.15, 10, where="test") == 1


def test_counts_by_layer_are_copied() -> None:
    scores = {"a": torch.arange(4.0), "b": torch.arange(6.0)}
    other = select({"a": torch.ones(4), "b": torch.zeros(6)}, count=4)
    copied = select(scores, count=other.counts, scope="layer")
    assert copied.counts == other.counts == {"a": 4, "b": 0}
    uneven = select(scores, count={"b": 2, "a": 1}, scope="layer")
    assert dict(uneven)["a"].tolist() == [False, False, False, True] and uneven.counts == {"a": 1, "b": 2}


def test_infinite_scores_are_ordinary() -> None:
    masks = select({"a": torch.tensor([-math.inf, math.inf, 0.0, -math.inf])}, count=3)
    assert masks["a"].tolist() == [True, True, True, False]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31))
def test_patterns_keep_n_of_every_m(n: int, rows: int, groups: int, seed: int) -> None:
    m = 4
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(0, 3, (rows, groups, 2, 2), generator=generator).float()
    mask = select({"w": score}, scope=f"{n}:{m}")["w"]
    for group, kept in zip(score.reshape(-1, m), mask.reshape(-1, m), strict=True):
        assert kept.tolist() == first_of_the_highest(group, n)


def test_a_pattern_group_stays_in_its_row() -> None:
    with pytest.raises(PruneproofError, match="each output of w has 6 weights"):
        select({"w": torch.ones(2, 6)}, scope="2:4")
    assert select({"w": torch.ones(6, 2, 2)}, scope="1:4")["w"].sum() == 6
    assert select({"w": torch.ones(8)}, scope="3:8").count == 3


@pytest.mark.parametrize(
    "scope", ["0:4", "5:4", "2:4:8", "n:m", "-1:4", "2:", ":4", " 2:4", "2:4\n", "1000000:4000000"]
)
def test_refuses_a_pattern_that_is_none(scope: str) -> None:
    with pytest.raises(PruneproofError, match="two numbers n:m"):
        select({"w": torch.ones(4, 8)}, scope=scope)


@pytest.mark.parametrize(
    "budget", [{"density": 0.25}, {"count": 16}, {"density": 0.5, "count": 16}, {"density": "0.5"}]
)
def test_a_pattern_fixes_the_density(budget: dict[str, float]) -> None:
    with pytest.raises(PruneproofError, match=r"fixes the density at 2/4 = 0\.5"):
        select({"w": torch.ones(4, 8)}, scope="2:4", **budget)  # pyright: ignore[reportArgumentType]


def test_a_pattern_may_be_given_with_its_density() -> None:
    scores = {"w": torch.arange(32.0).view(4, 8)}
    assert select(scores, scope="2:4", density=0.5) == select(scores, scope="2:4")
    thirds = {"w": torch.arange(12.0).view(4, 3)}
    assert select(thirds, scope="1:3", density=1 / 3).count == 4


def test_every_method_takes_a_pattern_without_a_density() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    assert magnitude(net, scope="2:4") == magnitude(net, scope="2:4", density=0.5) == select(raw(net), scope="2:4")
    assert synflow(net, (1, 4), scope="1:4", iterations=1).count == 16
    with pytest.raises(PruneproofError, match=r"magnitude: scope .* fixes the density"):
        magnitude(net, scope="2:4", density=0.4)
    with pytest.raises(PruneproofError, match="takes iterations=1"):
        synflow(net, (1, 4), scope="2:4")
    with pytest.raises(PruneproofError, match=r"got None \(NoneType\)"):
        magnitude(net)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda call: call(torch.nn.Linear(2, 2), count=1), "tensors by parameter name, got Linear"),
        (lambda call: call({"a": [1.0]}, count=1), r"the scores of a must be a tensor, got \[1.0\] \(list\)"),
        (lambda call: call({"a": torch.ones(2)}, count="1"), r"got '1' \(str\)"),
        (lambda call: call({"a": torch.ones(2)}, density="0.1"), r"got '0.1' \(str\)"),
        (lambda call: call({"a": torch.ones(2)}, density=0.5, scope=None), "must be a string, got None"),
    ],
)
def test_a_wrong_type_is_named(refused: Callable[[Any], object], message: str) -> None:
    with pytest.raises(PruneproofError, match=message):
        refused(select)


@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.0000001, 2, math.nan, math.inf, True, "0.5"])
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_refuses_a_density_outside_the_unit_interval(density: object, scope: str) -> None:
    with pytest.raises(PruneproofError, match=r"in \(0, 1\]"):
        select({"w": torch.ones(4)}, density=density, scope=scope)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("count", [0, -1, 9, 2.0, True])
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_refuses_a_count_out_of_range(count: object, scope: str) -> None:
    with pytest.raises(PruneproofError, match="a whole number from 1 to 8"):
        select({"w": torch.ones(8)}, count=count, scope=scope)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ({"a": 1}, "counts by layer are needed for"),
        ({"a": 1, "b": 1, "c": 1}, "counts by layer are needed for"),
        ({"a": 5, "b": 1}, "count of a must be .*from 0 to 4"),
        ({"a": -1, "b": 1}, "count of a must be .*from 0 to 4"),
        ({"a": 1.0, "b": 1}, "count of a must be .*from 0 to 4"),
        ({"a": True, "b": 1}, "count of a must be .*from 0 to 4"),
        ({"a": 0, "b": 0}, "all counts are 0"),
    ],
)
def test_refuses_layer_counts_that_do_not_fit(count: dict[str, int], message: str) -> None:
    with pytest.raises(PruneproofError, match=message):
        select({"a": torch.ones(4), "b": torch.ones(4)}, count=count, scope="layer")


@pytest.mark.parametrize(
    "arguments", [{"scope": "global"}, {"scope": "erk"}, {"scope": "rows"}, {"scope": "layer", "density": 0.5}]
)
def test_counts_by_layer_need_the_layer_scope_alone(arguments: dict[str, str]) -> None:
    with pytest.raises(PruneproofError, match="counts by layer go with"):
        select({"w": torch.ones(4)}, count={"w": 2}, **arguments)  # pyright: ignore[reportArgumentType]


def test_refuses_both_and_neither() -> None:
    with pytest.raises(PruneproofError, match="neither"):
        select({"w": torch.ones(4)})
    with pytest.raises(PruneproofError, match="both"):
        select({"w": torch.ones(4)}, density=0.5, count=2)


@pytest.mark.parametrize("scope", ["global", "layer", "erk", "1:2"])
def test_refuses_scores_that_are_not_numbers(scope: str) -> None:
    budget = {} if scope == "1:2" else {"count": 2}
    for bad, message in [
        (torch.tensor([1.0, math.nan]), "scores of w contain NaN"),
        (torch.ones(2, dtype=torch.int32), "scores of w are torch.int32"),
    ]:
        with pytest.raises(PruneproofError, match=message):
            select({"v": torch.ones(2), "w": bad}, scope=scope, **budget)  # pyright: ignore[reportArgumentType]


def test_refuses_no_scores_and_unknown_scopes() -> None:
    for nothing in ({}, {"w": torch.empty(0)}):
        with pytest.raises(PruneproofError, match="there are no scores"):
            select(nothing, density=0.5)
    with pytest.raises(PruneproofError, match="got 'rows'"):
        select({"w": torch.ones(4)}, density=0.5, scope="rows")


@pytest.mark.parametrize("scope", ["layer", "erk"])
def test_refuses_to_empty_a_layer_by_rounding(scope: str) -> None:
    """Global selection may cut a layer; a rule that promises every layer its share may not."""
    scores = {"small": torch.ones(2, 2), "large": torch.full((100, 100), 2.0)}
    with pytest.raises(PruneproofError, match="none for small"):
        select(scores, count=5, scope=scope)
    assert select(scores, count=5).counts == {"small": 0, "large": 5}
