"""The measured geometry is what G1–G3 and T2 need: V, D, D_y exact, margins lower bounds of the true ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from pruneproof.errors import PruneproofError
from pruneproof.theory.theorems.greedy.hull import geometry


def _true_margin(neurons: np.ndarray, point: np.ndarray) -> float:
    """The distance from a point inside the hull to its nearest facet."""
    return float((-(ConvexHull(neurons).equations @ np.append(point, 1.0))).min())


@given(st.integers(0, 10**6), st.integers(2, 3), st.integers(6, 15))
def test_margins_are_lower_bounds_of_the_true_ones(seed: int, points: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    neurons = generator.normal(size=(count, points)) * generator.uniform(0.1, 3, size=points)
    target = neurons.mean(0) + 0.05 * generator.normal(size=points)
    found = geometry(neurons, target)
    assert found.spans
    assert 0 < found.gamma_s <= _true_margin(neurons, neurons.mean(0))
    if found.gamma_y is not None:
        assert found.gamma_y <= _true_margin(neurons, target)


def test_the_margin_formula_has_a_negative_control() -> None:
    """Twice the bound is not one: two neurons touch it."""
    neurons = np.array([[1.0], [-1.0]])
    found = geometry(neurons, [0.0])
    assert found.gamma_s == pytest.approx(1.0, rel=1e-12)  # rounding of one singular value
    assert 2 * found.gamma_s > _support(neurons)


def _support(neurons: np.ndarray) -> float:
    return float(min(neurons.max(), -neurons.min()))


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 9))
def test_spread_and_distances_are_those_of_the_definitions(seed: int, points: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    neurons, target = generator.normal(size=(count, points)), generator.normal(size=points)
    found = geometry(neurons, target)
    pairs = [np.linalg.norm(a - b) for a in neurons for b in neurons]
    mean = neurons.mean(0)
    assert found.D == pytest.approx(max(pairs), rel=1e-12)
    assert found.V == pytest.approx(np.mean([np.sum((a - mean) ** 2) for a in neurons]), rel=1e-12)
    assert found.D_y == pytest.approx(max(np.linalg.norm(a - target) for a in neurons), rel=1e-12)
    assert found.loss == pytest.approx(np.sum((mean - target) ** 2) / 2, rel=1e-12)
    assert found.V <= found.D**2 / 2 * (1 + 1e-12)


def test_neurons_that_do_not_span_give_no_margin_at_the_target() -> None:
    flat = np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0]])
    found = geometry(flat, [0.0, 0.0])
    assert not found.spans
    assert found.gamma_y is None
    assert found.gamma_s > 0  # in the affine span
    same = geometry(np.ones((4, 3)), np.ones(3))
    assert (same.V, same.D, same.gamma_s, same.gamma_y) == (0.0, 0.0, 0.0, None)


def test_a_margin_at_the_target_puts_it_in_the_hull() -> None:
    generator = np.random.default_rng(5)
    neurons = generator.normal(size=(40, 3))
    found = geometry(neurons, neurons.mean(0))
    assert found.gamma_y is not None
    for direction in generator.normal(size=(20, 3)):
        point = neurons.mean(0) + 0.999 * found.gamma_y * direction / np.linalg.norm(direction)
        system = np.vstack([neurons.T, np.ones(len(neurons))])
        assert linprog(np.zeros(len(neurons)), A_eq=system, b_eq=np.append(point, 1.0)).success


@pytest.mark.parametrize(
    ("features", "target"),
    [([[1.0, 2.0]], [1.0]), ([1.0], [1.0]), (np.zeros((0, 2)), [0.0, 0.0]), ([[np.nan]], [0.0]), ([[1.0]], [np.inf])],
)
def test_bad_input_is_refused(features: object, target: object) -> None:
    with pytest.raises(PruneproofError, match="geometry"):
        geometry(features, target)  # pyright: ignore[reportArgumentType] (on purpose)
