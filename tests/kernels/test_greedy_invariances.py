"""What greedy selection may not depend on: the number of steps asked for, the order of neurons, the units."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruneproof.kernels import Gram, Selection, greedy_select

RULES = ("average", "line_search", "corrective")
INSTANCES = (st.integers(0, 10_000), st.integers(2, 25), st.integers(2, 15))


def _problem(seed: int, neurons: int, points: int) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(neurons, points, generator=generator, dtype=torch.float64)
    return features, torch.randn(points, generator=generator, dtype=torch.float64) / 2, generator


def _select(features: Tensor, target: Tensor, rule: str, steps: int) -> Selection:
    return greedy_select(Gram.from_features(features, target), steps, rule=rule)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(*INSTANCES)
def test_a_path_contains_every_shorter_one(rule: str, seed: int, neurons: int, points: int) -> None:
    features, target, _ = _problem(seed, neurons, points)
    whole = _select(features, target, rule, neurons)
    for k in (1, neurons // 2, neurons - 1):
        part = _select(features, target, rule, k) if k else None
        if part is not None:
            assert part.indices.equal(whole.indices[:k]) and part.losses.equal(whole.losses[:k])


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(*INSTANCES)
def test_reordered_neurons_are_chosen_under_their_new_numbers(rule: str, seed: int, neurons: int, points: int) -> None:
    features, target, generator = _problem(seed, neurons, points)
    order = torch.randperm(neurons, generator=generator)
    steps = min(neurons, points) - 1  # beyond, the residual is rounding and every choice a tie
    losses = _select(features, target, rule, steps).losses
    moved = losses.diff().abs() > 1e-12 * losses[0]  # thousands of roundings; at the optimum every choice is a tie
    steps = 1 + int(moved.cumprod(0).sum())
    before, after = _select(features, target, rule, steps), _select(features[order], target, rule, steps)
    assert order[after.indices].equal(before.indices)
    torch.testing.assert_close(after.weights, before.weights[order], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(*INSTANCES, st.integers(-20, 20))
def test_units_scale_the_loss_and_change_nothing_else(
    rule: str, seed: int, neurons: int, points: int, exponent: int
) -> None:
    features, target, _ = _problem(seed, neurons, points)
    unit = 2.0**exponent  # a power of two, so that scaling is exact and equality may be demanded
    before, after = _select(features, target, rule, neurons), _select(unit * features, unit * target, rule, neurons)
    assert after.indices.equal(before.indices) and after.weights.equal(before.weights)
    assert after.losses.equal(unit**2 * before.losses)


def test_equal_neurons_are_told_apart_by_index_only() -> None:
    features = torch.tensor([[0.1, 0.7], [0.3, 0.2], [0.3, 0.2], [0.1, 0.7]], dtype=torch.float64)
    for method in ("gram", "stream", "naive"):
        for rule in ("average", "line_search"):
            indices = greedy_select((features, features[1]), 4, rule=rule, method=method).indices
            assert indices[0] == 1
        assert greedy_select((features, features[3]), 1, rule="corrective", method=method).indices.tolist() == [0]
        once = greedy_select((features, features[1]), 4, replacement=False, method=method).indices
        assert once.tolist() == [1, 2, 0, 3]
