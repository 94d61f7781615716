"""Greedy selection is what its definition says: exact rational arithmetic, least squares and scikit-learn agree."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruneproof.kernels import Gram, greedy_select

RULES, METHODS = ("average", "line_search", "corrective"), ("gram", "stream", "naive")
Vector = list[Fraction]


@st.composite
def integer_problems(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Small integers: repeated neurons, dead neurons and exact ties are common, and float64 sums are exact."""
    neurons, points = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    integers = st.integers(-3, 3)
    features = draw(st.lists(st.lists(integers, min_size=points, max_size=points), min_size=neurons, max_size=neurons))
    target = draw(st.lists(integers, min_size=points, max_size=points))
    return torch.tensor(features, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)


def _generic(seed: int, neurons: int, points: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(neurons, points, generator=generator, dtype=torch.float64)
    if seed % 2:
        features = features.relu()  # with dead neurons at few points
    return features, torch.randn(points, generator=generator, dtype=torch.float64) / 2


def _exact(tensor: Tensor) -> list[Vector]:
    return [[Fraction(value) for value in row] for row in tensor.tolist()]


def _half_square(a: Vector, b: Vector) -> Fraction:
    return sum(((x - y) ** 2 for x, y in zip(a, b, strict=True)), Fraction(0)) / 2


def _exact_average(phi: list[Vector], y: Vector, steps: int) -> tuple[list[int], list[Fraction]]:
    total, indices, losses = [Fraction(0)] * len(y), list[int](), list[Fraction]()
    for k in range(1, steps + 1):
        means = [[(z + f) / k for z, f in zip(total, row, strict=True)] for row in phi]
        scores = [_half_square(mean, y) for mean in means]
        q = scores.index(min(scores))
        total = [z + f for z, f in zip(total, phi[q], strict=True)]
        indices.append(q)
        losses.append(scores[q])
    return indices, losses


def _exact_line_search(phi: list[Vector], y: Vector, steps: int) -> tuple[list[int], list[Fraction]]:
    point, indices, losses = [Fraction(0)] * len(y), list[int](), list[Fraction]()
    for k in range(1, steps + 1):
        ends = [row if k == 1 else _nearest_on_segment(point, row, y) for row in phi]
        scores = [_half_square(end, y) for end in ends]
        q = scores.index(min(scores))
        point = ends[q]
        indices.append(q)
        losses.append(scores[q])
    return indices, losses


def _nearest_on_segment(start: Vector, end: Vector, y: Vector) -> Vector:
    move = [e - s for s, e in zip(start, end, strict=True)]
    square = sum(x * x for x in move)
    slope = sum(x * (t - s) for x, t, s in zip(move, y, start, strict=True))
    tau = min(max(Fraction(slope, square), Fraction(0)), Fraction(1)) if square else Fraction(0)
    return [s + tau * x for s, x in zip(start, move, strict=True)]


@settings(max_examples=60)
@given(integer_problems())
@pytest.mark.parametrize("method", METHODS)
def test_average_is_the_exact_argmin_with_ties_to_the_lowest_index(method: str, problem: tuple[Tensor, Tensor]) -> None:
    indices, losses = _exact_average(_exact(problem[0]), _exact(problem[1][None])[0], 9)
    selection = greedy_select(problem, 9, method=method)
    assert selection.indices.tolist() == indices
    scale = float(problem[0].square().sum(1).max() + problem[1].square().sum())
    assert np.abs(selection.losses.numpy() - np.array([float(loss) for loss in losses])).max() <= 2**-48 * scale
    assert selection.weights.tolist() == [indices.count(q) / 9 for q in range(len(problem[0]))]


@settings(max_examples=60)
@given(integer_problems())
@pytest.mark.parametrize("method", METHODS)
def test_line_search_is_the_exact_joint_minimum(method: str, problem: tuple[Tensor, Tensor]) -> None:
    indices, losses = _exact_line_search(_exact(problem[0]), _exact(problem[1][None])[0], 4)
    selection = greedy_select(problem, 4, rule="line_search", method=method)
    scale = float(problem[0].square().sum(1).max() + problem[1].square().sum())
    assert np.abs(selection.losses.numpy() - np.array([float(loss) for loss in losses])).max() <= 2**-44 * scale
    converged = next((k for k, loss in enumerate(losses) if loss == losses[-1]), 4)
    assert selection.indices[: converged + 1].tolist() == indices[: converged + 1]
    reached = selection.weights @ problem[0]
    assert float((reached - problem[1]).square().sum()) / 2 == pytest.approx(float(losses[-1]), abs=2**-44 * scale)
    assert float(selection.weights.sum()) == pytest.approx(1) and float(selection.weights.min()) >= 0


@settings(max_examples=40)
@given(integer_problems())
@pytest.mark.parametrize("method", METHODS)
def test_corrective_weights_are_least_squares_and_indices_distinct(method: str, problem: tuple[Tensor, Tensor]) -> None:
    features, target = problem
    selection = greedy_select(problem, len(features), rule="corrective", method=method)
    assert sorted(selection.indices.tolist()) == list(range(len(features)))
    scale = float(features.square().sum(1).max() + target.square().sum())
    for k in range(1, len(features) + 1):
        chosen = features[selection.indices[:k]].numpy()
        fit = np.linalg.lstsq(chosen.T, target.numpy(), rcond=None)[0] @ chosen
        assert abs(float(selection.losses[k - 1]) - ((fit - target.numpy()) ** 2).sum() / 2) <= 2**-44 * scale
    reached = float((selection.weights @ features - target).square().sum()) / 2
    assert reached == pytest.approx(float(selection.losses[-1]), abs=2**-40 * scale)


def test_corrective_chooses_what_scikit_learn_chooses() -> None:
    from sklearn.linear_model import orthogonal_mp_gram

    for seed in range(4):
        features, target = _generic(seed, 40, 60)
        gram = Gram.from_features(features, target)
        for k in (1, 5, 20):
            coefficients = orthogonal_mp_gram(gram.matrix.numpy(), gram.correlation.numpy(), n_nonzero_coefs=k)
            weights = greedy_select(gram, k, rule="corrective").weights.numpy()
            np.testing.assert_allclose(weights, coefficients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 20))
def test_all_methods_choose_the_same_neurons(
    rule: str, replacement: bool, seed: int, neurons: int, points: int
) -> None:
    problem = _generic(seed, neurons, points)
    steps = neurons if rule == "corrective" or not replacement else 40
    gram, stream, naive = (
        greedy_select(problem, steps, rule=rule, replacement=replacement, method=method) for method in METHODS
    )
    assert gram.indices.equal(stream.indices) and gram.indices.equal(naive.indices)
    scale = float(problem[0].square().sum(1).max() + problem[1].square().sum())
    for other in (stream, naive):
        assert float((gram.losses - other.losses).abs().max()) <= 2**-44 * scale
    if not replacement:
        assert len(set(gram.indices.tolist())) == steps


def test_auto_gives_the_same_selection_on_either_side_of_its_switch() -> None:
    problem = _generic(2, 60, 30)
    assert greedy_select(problem, 1).indices.equal(greedy_select(problem, 40).indices[:1])
    few = greedy_select(problem, 2, method="auto")
    assert few.indices.equal(greedy_select(problem, 2, method="naive").indices)


def test_selection_leaves_the_gram_as_it_was() -> None:
    gram = Gram.from_features(*_generic(4, 12, 8))
    matrix, correlation = gram.matrix.clone(), gram.correlation.clone()
    for rule in RULES:
        greedy_select(gram, 6, rule=rule)
    assert gram.matrix.equal(matrix) and gram.correlation.equal(correlation)
