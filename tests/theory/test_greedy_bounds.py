"""G1 (both forms), G2 and G3 hold on every instance; the same check refuses each of them with one constant tightened.

The slack 2⁻⁴⁴·(max‖Φ_q‖² + ‖y‖²) is the rounding of a loss computed in float64 from inner products of that size: some
60 accumulated operations of relative error 2⁻⁵³ each, and a margin of 8.
"""

from math import inf, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruneproof.claims.data.digits import digits
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.greedy.hull import geometry
from pruneproof.theory.theorems.greedy.statement import G1, G1_HARMONIC, G2, G3

STEPS = 32
SIZES = range(1, STEPS + 1)
SEEDS = st.integers(0, 10_000)
LINE = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)  # two neurons around the target 0: touches G1 and G2
TRIANGLE = torch.tensor([[2.0, 6.0], [-3.0, -6.0], [6.0, 0.0]], dtype=torch.float64)  # found by search: slow for G3
INSIDE = torch.tensor([1.0, -1.0], dtype=torch.float64)


def _obeys(losses: Tensor, bounds: list[float], features: Tensor, target: Tensor) -> bool:
    slack = 2**-44 * float(features.square().sum(1).max() + target.square().sum())
    return bool((losses <= torch.tensor(bounds, dtype=torch.float64) + slack).all())


def _randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _hull_point(features: Tensor, seed: int) -> tuple[float, Tensor]:
    """A random point s of the hull and its spread V_s; seed 0 gives the dense output s̄."""
    alpha = torch.softmax(3 * min(seed, 1) * _randn(seed, len(features)), 0)
    s = alpha @ features
    return float(alpha @ (features - s).square().sum(1)), s


def _g1(features: Tensor, target: Tensor, point_seed: int, *, spread: float = 1.0) -> tuple[list[float], list[float]]:
    V, s = _hull_point(features, point_seed)
    loss = float((s - target).square().sum()) / 2
    first = [G1.bound(loss=loss, V=spread * V, k=k) for k in SIZES]
    return first, [G1_HARMONIC.bound(loss=loss, V=spread * V, k=k) for k in SIZES]


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 20), st.integers(1, 10), st.integers(0, 5), st.booleans())
def test_g1_holds_for_every_point_of_the_hull(seed: int, neurons: int, points: int, s: int, relu: bool) -> None:
    features, target = _randn(seed, neurons, points), _randn(seed + 1, points)
    features = features.relu() if relu else features
    losses = greedy_select((features, target), STEPS).losses
    for bounds in _g1(features, target, s):
        assert _obeys(losses, bounds, features, target)


@pytest.mark.parametrize("width", [40, 300])
@pytest.mark.parametrize("binary", [True, False])
def test_g1_holds_on_digits_features(width: int, binary: bool) -> None:
    images, labels, _, _ = digits(120, seed=2, binary=binary, dtype=torch.float64)
    features = (_randn(width, width, 64) @ images.T).relu() / sqrt(len(images))
    target = (labels.double() - labels.double().mean()) / sqrt(len(images))
    losses = greedy_select((features, target), STEPS).losses
    for bounds in _g1(features, target, 0):
        assert _obeys(losses, bounds, features, target)


@pytest.mark.parametrize("form", [0, 1])
def test_g1_with_a_quarter_of_the_spread_is_refused(form: int) -> None:
    target = torch.zeros(1, dtype=torch.float64)
    losses = greedy_select((LINE, target), STEPS).losses
    assert _obeys(losses, _g1(LINE, target, 0)[form], LINE, target)
    assert not _obeys(losses, _g1(LINE, target, 0, spread=0.25)[form], LINE, target)


def _cross_polytope(seed: int, points: int, extra: int) -> tuple[Tensor, Tensor, float]:
    """Vertices ±R e_i of a rotated cross-polytope with more neurons among them, a target at a known depth.

    The polytope contains the ball of radius 1/√points; further neurons only widen the hull. The target is off-centre.
    """
    rotation = torch.linalg.qr(_randn(seed, points, points)).Q
    offset = _randn(seed + 1, points)
    depth = 1 / sqrt(points)
    target = offset / offset.norm() * depth * float(torch.rand(1, generator=torch.Generator().manual_seed(seed))) * 0.9
    features = torch.cat([rotation, -rotation, 1.5 * _randn(seed + 2, extra, points)])
    return features, target, depth - float(target.norm())


def _reach(features: Tensor, target: Tensor) -> float:
    return float((features - target).norm(dim=1).max())


def _g2(features: Tensor, target: Tensor, gamma: float, *, constant: float = 1.0, power: int = 1) -> list[float]:
    reach = _reach(features, target)
    return [constant**2 * G2.bound(D_y=reach, gamma=gamma, k=k**power) for k in SIZES]


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 8), st.integers(0, 8))
def test_g2_holds_for_targets_inside_the_hull(seed: int, points: int, extra: int) -> None:
    features, target, gamma = _cross_polytope(seed, points, extra)
    losses = greedy_select((features, target), STEPS).losses
    assert _obeys(losses, _g2(features, target, gamma), features, target)


@pytest.mark.parametrize("control", [{"constant": 0.5}, {"power": 2}])
def test_g2_with_half_the_constant_or_the_size_squared_is_refused(control: dict[str, float]) -> None:
    target = torch.zeros(1, dtype=torch.float64)
    losses = greedy_select((LINE, target), STEPS).losses  # 1/(2k²) at every odd k: the bound itself
    assert _obeys(losses, _g2(LINE, target, 1.0), LINE, target)
    assert not _obeys(losses, _g2(LINE, target, 1.0, **control), LINE, target)  # pyright: ignore[reportArgumentType]


def _g3(features: Tensor, target: Tensor, gamma: float, losses: Tensor, *, power: int = 1) -> list[float]:
    """Bounds on ½‖u_k − y‖²: the first choice is u_0, so after k choices k − 1 line searches were made."""
    D = float(torch.cdist(features, features).max())
    start = 2 * float(losses[0])
    return [inf] + [G3.bound(start=start, gamma=gamma, D=D, k=k**power) / 2 for k in SIZES[:-1]]


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 8), st.integers(0, 8))
def test_g3_holds_with_line_search(seed: int, points: int, extra: int) -> None:
    features, target, gamma = _cross_polytope(seed, points, extra)
    losses = greedy_select((features, target), STEPS, rule="line_search").losses
    assert _obeys(losses, _g3(features, target, gamma, losses), features, target)


def test_g3_with_its_exponent_squared_is_refused() -> None:
    gamma = _depth_in_triangle(TRIANGLE, INSIDE)
    losses = greedy_select((TRIANGLE, INSIDE), STEPS, rule="line_search").losses
    assert _obeys(losses, _g3(TRIANGLE, INSIDE, gamma, losses), TRIANGLE, INSIDE)
    assert not _obeys(losses, _g3(TRIANGLE, INSIDE, gamma, losses, power=2), TRIANGLE, INSIDE)


def _depth_in_triangle(corners: Tensor, point: Tensor) -> float:
    edges = corners.roll(-1, 0) - corners
    offsets = point - corners
    areas = edges[:, 0] * offsets[:, 1] - edges[:, 1] * offsets[:, 0]
    return float((areas.abs() / edges.norm(dim=1)).min())


@pytest.mark.parametrize("rule", ["average", "line_search"])
def test_g2_and_g3_hold_on_digits_features_at_the_dense_output(rule: str) -> None:
    """Five images, so that the neurons span the outputs and the certified margin is positive; y is the dense output."""
    images = digits(5, seed=3, dtype=torch.float64).train_x
    features = torch.tanh(4 * _randn(9, 400, 64) @ images.T) / sqrt(len(images))
    target = features.mean(0)
    shape = geometry(features.numpy(), target.numpy())
    assert shape.gamma_y is not None
    losses = greedy_select((features, target), STEPS, rule=rule).losses
    bounds = _g2(features, target, shape.gamma_y) if rule == "average" else _g3(features, target, shape.gamma_y, losses)
    assert _obeys(losses, bounds, features, target)


def test_without_replacement_g2_is_not_promised() -> None:
    """Why the bounds ask for replacement: once the good neurons are spent, the rest pull the average away."""
    features = torch.tensor([[1.0], [-1.0], [0.9], [0.9], [0.9]], dtype=torch.float64)
    target = torch.zeros(1, dtype=torch.float64)
    bounds = _g2(features, target, 1.0)[:5]
    assert _obeys(greedy_select((features, target), 5).losses, bounds, features, target)
    once = greedy_select((features, target), 5, replacement=False).losses
    assert not _obeys(once, bounds, features, target)
