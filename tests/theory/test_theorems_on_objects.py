"""The theorems hold on objects with known constants, and each refuses its negative control on the same objects.

Slack: 2⁻⁴⁴ times the squared scale of the numbers for losses computed in float64 from sums of at most a few hundred
products (each of relative error 2⁻⁵³).
"""

from collections.abc import Callable
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruneproof.testing import half_rows, hulls, network_pairs, tangent_networks
from pruneproof.testing.strategies import HalfRow, Hull, NetworkPair, TangentNetwork
from pruneproof.theory.statistics.exact_tests import falsified
from pruneproof.theory.theorems.greedy import G1, G1_HARMONIC, G2, G3, MARGIN, MARGIN_TARGET
from pruneproof.theory.theorems.greedy.hull import geometry
from pruneproof.theory.theorems.network import N2
from pruneproof.theory.theorems.pretraining import P1_MOVEMENT, P1_RATE, T1, T1_THRESHOLD
from pruneproof.theory.theorems.sensitivity import S1, S2, S2_PUBLISHED, S2_SYMMETRIC, S4, S6

STEPS = 24
FEW = settings(max_examples=40)


def greedy(neurons: np.ndarray, target: np.ndarray, steps: int = STEPS) -> list[float]:
    """The losses of greedy selection with replacement, by its definition."""
    total, losses = np.zeros_like(target), []
    for k in range(1, steps + 1):
        candidates = ((((total + neurons) / k - target) ** 2).sum(axis=1)) / 2
        total = total + neurons[candidates.argmin()]
        losses.append(float(candidates.min()))
    return losses


def line_search(neurons: np.ndarray, target: np.ndarray, steps: int = STEPS) -> list[float]:
    """Squared distances of the line-search rule from the target; the first is that of u_0, the best neuron."""
    u = neurons[((neurons - target) ** 2).sum(axis=1).argmin()]
    squares = [float(((u - target) ** 2).sum())]
    for _ in range(steps):
        directions = neurons - u
        lengths = (directions**2).sum(axis=1)
        moves = np.clip((directions @ (target - u)) / np.where(lengths > 0, lengths, 1), 0, 1)
        reached = ((u + moves[:, None] * directions - target) ** 2).sum(axis=1)
        u = u + moves[reached.argmin()] * directions[reached.argmin()]
        squares.append(float(((u - target) ** 2).sum()))
    return squares


@FEW
@given(hulls())
def test_greedy_selection_obeys_g1_and_g2(hull: Hull) -> None:
    slack = 2.0**-44 * hull.scale**2 * len(hull.target)
    for k, loss in enumerate(greedy(hull.neurons, hull.target), start=1):
        assert loss <= G1.bound(k=k, loss=hull.loss, V=hull.V) + slack
        assert loss <= G1_HARMONIC.bound(k=k, loss=hull.loss, V=hull.V) + slack
        assert loss <= G2.bound(k=k, D_y=hull.D_y, gamma=hull.margin) + slack


@FEW
@given(hulls())
def test_line_search_obeys_g3(hull: Hull) -> None:
    squares = line_search(hull.neurons, hull.target)
    values = {"start": squares[0], "D": hull.D, "gamma": hull.margin}
    for k, square in enumerate(squares[1:], start=1):
        assert square <= G3.bound(k=k, **values) + 2.0**-44 * hull.scale**2 * len(hull.target)


@FEW
@given(hulls())
def test_computed_margins_are_lower_bounds(hull: Hull) -> None:
    """A ball around s̄ in the hull needs support in every direction: here along the axes and the diagonal."""
    shape = geometry(hull.neurons, hull.target)
    directions = np.concatenate([np.eye(len(hull.target)), np.ones((1, len(hull.target)))])
    directions = np.concatenate([directions, -directions]) / np.linalg.norm(directions, axis=1).max()
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    reach = ((hull.neurons - hull.dense) @ unit.T).max(axis=0).min()
    assert shape.gamma_s <= reach * (1 + 1e-12)
    assert (
        MARGIN_TARGET.bound(gamma_s=reach, loss=hull.loss)
        <= ((hull.neurons - hull.target) @ unit.T).max(0).min() + 1e-9
    )
    spread = np.linalg.eigvalsh(np.cov(hull.neurons.T, bias=True).reshape(len(hull.target), -1))[0]
    assert MARGIN.bound(eigenvalue=spread * (1 - 1e-9), radius=shape.radius) <= reach * (1 + 1e-9)


def test_hulls_refuse_tightened_greedy_bounds() -> None:
    """Two neurons around the target touch G1 and G2: V/4 for V and W/2 for W are false there."""
    line = Hull(np.array([[1.0], [-1.0]]), np.array([0.0]), 1.0, 1.0)
    losses = greedy(line.neurons, line.target)
    assert losses[0] > G1.bound(k=1, loss=0, V=line.V / 4)
    assert losses[0] > G2.bound(k=1, D_y=1, gamma=1) / 4


@FEW
@given(tangent_networks())
def test_gradient_descent_obeys_p1_and_the_pruned_network_t1(network: TangentNetwork) -> None:
    known = network.constants
    values = {"N": known.width, "M": known.curvature, "B": known.slope, "X": known.norm, "eta": known.step_size}
    values |= {"r_0": known.residual, "lambda_0": known.eigenvalue}
    assert known.applies
    weights, m = network.weights, len(network.targets)
    q = 1 - known.step_size * known.eigenvalue / 16
    start = known.residual**2 / (2 * m)
    for t in range(0, 31):
        residual = network.residual(weights)
        assert np.linalg.norm(residual) <= P1_RATE.bound(t=t, **values) * (1 + 1e-9)
        assert np.linalg.norm(weights - network.weights) <= P1_MOVEMENT.bound(**values) * (1 + 1e-9)
        if t % 10 == 0:
            neurons = (np.tanh(network.inputs @ weights.T) * network.signs).T * sqrt(len(weights)) / sqrt(m)
            goal = network.targets / sqrt(m)
            V = float(((neurons - neurons.mean(0)) ** 2).sum(1).mean())
            slack = 2.0**-40 * float((neurons**2).sum(1).max())
            for k, loss in enumerate(greedy(neurons, goal, 8), start=1):
                assert loss <= T1.bound(q=q, t=t, L_0=start, V=V, k=k) + slack
                if t >= T1_THRESHOLD.bound(k=k, L_0=start, V=V, q=q):
                    assert loss <= 2 * V / k + slack
        weights = weights - known.step_size * network.gradient(weights)


@FEW
@given(half_rows(), st.floats(0.05, 0.95))
def test_dropping_the_least_sensitive_obeys_s2(row: HalfRow, kept: float) -> None:
    order = np.argsort(row.sensitivities)
    dropped = order[: int(len(order) * (1 - kept))]
    share = float(row.shares[:, dropped].sum(axis=1).max())
    estimate = 1 - row.shares[:, dropped].sum(axis=1)  # ẑ/z at each point
    assert (estimate >= 1 - S2.bound(share=min(share, 1.0)) - 1e-12).all() and (estimate <= 1 + 1e-12).all()
    assert share <= S2_PUBLISHED.bound(dropped=float(row.sensitivities[dropped].sum()), C=1) + 1e-12
    if share < 1:
        scaled = estimate / (1 - share / 2)
        assert (abs(scaled - 1) <= S2_SYMMETRIC.bound(share=share) + 1e-12).all()
    if share > 1e-6:
        assert not (estimate >= 1 - share / 2 - 1e-12).all()  # half the share is not enough


@pytest.mark.alpha(2 * 10 * 1e-9)
@settings(max_examples=10)
@given(row=half_rows(max_weights=12, max_points=3), draws=st.integers(20, 200))
def test_rand_and_poisson_fail_no_more_often_than_s1_and_s4(
    salted: Callable[..., int], row: HalfRow, draws: int
) -> None:
    """Falsified only where the exact binomial tail is below 1e-9: two tests in each of ten examples."""
    generator = np.random.default_rng(salted("half rows", row.weights.tobytes(), draws))
    trials, epsilon = 400, 0.6
    met = row.sensitivities > 0  # a weight that no point of S meets has no share there
    mass, shares, s = row.mass, row.shares[0, met], row.sensitivities[met]
    counts = generator.multinomial(draws, s / s.sum(), size=trials)
    failures = int((abs((counts * shares * mass / (draws * s)).sum(axis=1) - 1) > epsilon).sum())
    limit = min(1.0, S1.bound(m=draws, epsilon=epsilon, C=1, Sigma=max(mass, 1.0)))
    assert limit == 1 or not falsified(failures, trials, limit, 1e-9)
    tau = draws / mass
    keep = np.minimum(1, tau * s)
    kept = generator.random((trials, len(keep))) < keep
    failures = int((abs((kept * shares / keep).sum(axis=1) - 1) > epsilon).sum())
    residue = float((shares * (1 - keep)).sum())
    limit = min(1.0, S4.bound(tau=tau, epsilon=epsilon, C=1, r=min(max(residue, 1e-9), 1.0)))
    assert limit == 1 or not falsified(failures, trials, limit, 1e-9)


@FEW
@given(network_pairs())
def test_absolute_errors_obey_n2(pair: NetworkPair) -> None:
    """e = |Ŵ|e + |(Ŵ-W)a|, with the incoming error and gain of each row; exact numbers, so no slack."""
    errors, activation = np.zeros(len(pair.point)), pair.point
    for index, (before, after) in enumerate(zip(pair.original, pair.pruned, strict=True)):
        own = np.abs((after - before) @ activation)
        spread = np.abs(after) @ errors
        bounds = []
        for incoming, change in zip(spread, own, strict=True):
            values = {
                "gain": incoming,
                "incoming": 1,
                "epsilon_plus": change,
                "z_plus": 1,
                "epsilon_minus": 0,
                "z_minus": 0,
            }
            bounds.append(N2.bound(**values))
        errors = np.array(bounds)
        activation = before @ activation
        if index < len(pair.original) - 1:
            activation = np.maximum(activation, 0)
    assert all(abs(found) <= Fraction(float(limit)) for found, limit in zip(pair.difference, errors, strict=True))


@FEW
@given(half_rows(), half_rows())
def test_signed_rows_obey_s6(plus: HalfRow, minus: HalfRow) -> None:
    """The first half of each half-row is dropped: the signed sum moves by at most the larger share of both parts."""
    parts = []
    for row in (plus, minus):
        dropped = row.shares[0, : len(row.weights) // 2].sum()
        parts.append((float((row.weights * row.points[0]).sum()), float(dropped)))
    (z_plus, lost_plus), (z_minus, lost_minus) = parts
    epsilon = max(lost_plus, lost_minus, 1e-12)
    moved = abs(z_plus * lost_plus - z_minus * lost_minus)
    assert moved <= S6.bound(epsilon=epsilon, z_plus=z_plus, z_minus=z_minus) * (1 + 1e-12)
