"""The theorems hold on objects with known constants, and each refuses its negative control on the same objects.

Slack: 2⁻⁴⁴ times the squared scale of the numbers for losses computed in float64 from sums of at most a few hundred
products (each of relative error 2⁻⁵³).
"""

from collections.abc import Callable
from fractions import Fraction
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pruneproof.testing import half_rows, hulls, network_pairs, tangent_networks
from pruneproof.testing.strategies import HalfRow, Hull, NetworkPair, TangentNetwork
from pruneproof.theory.statistics.exact_tests import falsified
from pruneproof.theory.theorems.greedy import G1, G1_HARMONIC, G2, G3, MARGIN, MARGIN_TARGET
from pruneproof.theory.theorems.greedy.hull import geometry
from pruneproof.theory.theorems.network import N1, N2, N3, N4
from pruneproof.theory.theorems.pretraining import (
    P1_MOVEMENT,
    P1_RATE,
    T1,
    T1_THRESHOLD,
    T2,
    T2_THRESHOLD,
    T3_THRESHOLD,
)
from pruneproof.theory.theorems.sensitivity import S1, S2, S2_PUBLISHED, S2_SYMMETRIC, S3, S4, S5_RANK, S6

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


def trained(hull: Hull, target: np.ndarray, q: float, t: int) -> np.ndarray:
    """The neurons after t steps that move them all alike: the residual contracts by q each, V and γ_s stay."""
    return hull.neurons + (1 - q**t) * (target - hull.dense)


def depth(hull: Hull) -> float:
    """γ_s: a ball around s̄ that lies in the hull, inside of the one around the target."""
    return hull.margin - float(np.linalg.norm(hull.dense - hull.target))


FILTERED = settings(FEW, suppress_health_check=[HealthCheck.filter_too_much])


@FILTERED
@given(hulls(max_extra=2), st.floats(0.3, 0.95), st.integers(0, 2**31 - 1))
def test_selection_after_pretraining_obeys_t2(hull: Hull, q: float, seed: int) -> None:
    gamma_s = depth(hull)
    assume(gamma_s > 1e-3)
    target = hull.dense + np.random.default_rng(seed).normal(size=len(hull.target))
    start = float(((hull.dense - target) ** 2).sum() / 2)
    assume(start > 1e-6)
    t = int(T2_THRESHOLD.bound(L_0=start, gamma_s=gamma_s, q=q))
    neurons = trained(hull, target, q, t)
    reach = float(np.linalg.norm(neurons - target, axis=1).max())
    slack = 2.0**-44 * (hull.scale + np.abs(target).max()) ** 2 * len(target)
    for k, loss in enumerate(greedy(neurons, target), start=1):
        assert loss <= T2.bound(k=k, D_y=reach, gamma_s=gamma_s, t=t, L_0=start, q=q) + slack


def test_a_network_that_was_not_trained_refuses_t2() -> None:
    """The negative control: the same rate before the threshold, with the target outside the hull."""
    line = Hull(np.array([[1.0], [-1.0]]), np.array([0.0]), 1.0, 1.0)
    target = np.array([10.0])
    t = int(T2_THRESHOLD.bound(L_0=50, gamma_s=1, q=0.5))
    rate = T2.bound(k=STEPS, D_y=11, gamma_s=1, t=t, L_0=50, q=0.5)
    assert greedy(trained(line, target, 0.5, 0), target)[-1] > rate >= greedy(trained(line, target, 0.5, t), target)[-1]


def classified(neurons: np.ndarray, labels: np.ndarray, steps: int) -> bool:
    """Whether the selected network is right on every example, by its definition."""
    total = np.zeros_like(labels)
    for k in range(1, steps + 1):
        total = total + neurons[((((total + neurons) / k - labels) ** 2).sum(axis=1)).argmin()]
    return bool((total * labels > 0).all())


@FEW
@given(hulls(), st.floats(0.3, 0.95), st.integers(0, 2**31 - 1))
def test_pretrained_selections_classify_as_t3_says(hull: Hull, q: float, seed: int) -> None:
    m = len(hull.target)
    labels = np.random.default_rng(seed).choice([-1.0, 1.0], size=m)
    values = {"m": m, "V": hull.V / m, "L_0": float(((hull.dense - labels) ** 2).sum() / (2 * m)), "q": q}
    values |= {"D_y": hull.D_y, "gamma_s": hull.D_y * 1e-3}  # of the second size, which is not used
    k = int(4 * hull.V) + 1
    t = int(T3_THRESHOLD.bound(k=k, **values))
    assert classified(trained(hull, labels, q, t), labels, k)


def test_a_selection_that_is_too_small_refuses_t3() -> None:
    """The negative control: outputs -1, -1, 5 are right together, and one of them alone is not."""
    neurons, labels = np.array([[-1.0], [-1.0], [5.0]]), np.array([1.0])
    assert not classified(neurons, labels, 1)
    assert classified(neurons, labels, 4 * 8 + 1)


def misses(row: HalfRow, kept: int, draws: int, epsilon: float, generator: np.random.Generator) -> tuple[int, int]:
    """Failures in 400 trials: the largest sensitivities are kept, and the rest drawn in proportion (first point)."""
    order = np.argsort(-row.sensitivities)
    rest = order[kept:][row.sensitivities[order[kept:]] > 0]
    shares, s = row.shares[0, rest], row.sensitivities[rest]
    counts = generator.multinomial(draws, s / s.sum(), size=400)
    estimate = row.shares[0, order[:kept]].sum() + (counts * shares * s.sum() / (draws * s)).sum(axis=1)
    return int((abs(estimate - 1) > epsilon).sum()), 400


@pytest.mark.alpha(10 * 1e-9)
@settings(max_examples=10)
@given(row=half_rows(max_weights=40, max_points=3), draws=st.integers(5, 60), kept=st.integers(0, 6))
def test_hybrids_fail_no_more_often_than_s3(salted: Callable[..., int], row: HalfRow, draws: int, kept: int) -> None:
    rest = np.sort(row.sensitivities)[::-1][kept:]
    assume(float(rest.sum()) > 1e-6)
    generator = np.random.default_rng(salted("hybrid", row.weights.tobytes(), draws, kept))
    failures, trials = misses(row, kept, draws, 0.5, generator)
    b = float(rest.sum())
    limit = min(1.0, S3.bound(rest=draws, epsilon=0.5, b=b, r=min(1.0, b)))
    assert limit == 1 or not falsified(failures, trials, limit, 1e-9)


@pytest.mark.alpha(10 * 1e-9)
@settings(max_examples=10)
@given(row=half_rows(max_weights=400, max_points=3))
def test_half_rows_of_n3s_size_fail_no_more_often_than_allowed(salted: Callable[..., int], row: HalfRow) -> None:
    """At most δ/2 per half-row, η = 1; a half-row that is kept whole is exact."""
    delta, epsilon, mass = 0.2, 0.6, max(row.mass, 1.0)
    size = int(N3.bound(n=len(row.weights), C=1, Sigma=mass, epsilon=epsilon, neurons=1, delta=delta))
    assert size <= len(row.weights)
    if size < len(row.weights):
        generator = np.random.default_rng(salted("N3", row.weights.tobytes()))
        failures, trials = misses(row, 0, size, epsilon, generator)
        assert not falsified(failures, trials, delta / 2, 1e-9)


def test_far_fewer_draws_refuse_s3_and_n3() -> None:
    """The negative control: two of 400 equal weights, met half and half, miss by more than 60 % half of the time."""
    points = np.tile([0.05, 2.0], 200)[None]
    row = HalfRow(np.ones(400), points, points / points.sum(), np.full(400, 1 / 400))  # the shares are no sensitivities
    failures, trials = misses(row, 0, 2, 0.6, np.random.default_rng(0))
    size = N3.bound(n=400, C=1, Sigma=1, epsilon=0.6, neurons=1, delta=0.2)
    assert size > 2 and falsified(failures, trials, 0.1, 1e-9)


def exceeding(row: HalfRow, rank: int, held_out: int) -> tuple[int, int]:
    """Blocks of held-out points and one new point each, whose stretch is above the one of that rank; and blocks."""
    sample, rest = row.shares[:5].max(axis=0), row.shares[5:]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(rest > 0, rest / sample, 0.0).max(axis=1)
    blocks = ratios[: len(ratios) // (held_out + 1) * (held_out + 1)].reshape(-1, held_out + 1)
    limits = np.sort(blocks[:, :-1], axis=1)[:, rank - 1]
    return int((blocks[:, -1] > limits).sum()), len(blocks)


@pytest.mark.alpha(10 * 1e-9)
@settings(max_examples=10)
@given(row=half_rows(max_weights=12, max_points=600))
def test_new_points_exceed_s5s_stretch_no_more_often_than_allowed(row: HalfRow) -> None:
    failures, trials = exceeding(row, int(S5_RANK.bound(beta=0.2, held_out=9)), 9)
    assert not trials or not falsified(failures, trials, 0.2, 1e-9)


def test_a_rank_that_is_too_small_refuses_s5() -> None:
    """The negative control: nine of ten new points exceed the smallest of nine held-out ones."""
    generator = np.random.default_rng(0)
    products = generator.exponential(size=(605, 6))
    shares = products / products.sum(axis=1, keepdims=True)
    row = HalfRow(np.ones(6), products, shares, shares.max(axis=0))
    assert falsified(*exceeding(row, 1, 9), 0.2, 1e-9)


def relative_error(pair: NetworkPair, epsilon: float, signs: np.random.Generator, factor: float = 1.0) -> float:
    """The largest |f̂/f - 1| if every half-row of every layer is off by `factor` times the budget of N1; inf if Δ is."""
    activations, stretches = [pair.point], []
    for matrix in pair.original:
        z, sizes = matrix @ activations[-1], np.abs(matrix) @ np.abs(activations[-1])
        if (z[sizes > 0] == 0).any():
            return inf
        stretches.append(float((sizes[sizes > 0] / np.abs(z[sizes > 0])).max(initial=1.0)))
        activations.append(np.maximum(z, 0))
    found, (*hidden, last) = pair.point, range(len(pair.original))
    for index in (*hidden, last):
        amplification = float(np.prod(stretches[index:]))
        error = factor * N1.bound(epsilon=epsilon, layers=len(pair.original) + 1, amplification=amplification)
        matrix = pair.original[index]
        moved = np.array([[1.0, -1.0], [-1.0, 1.0]])[signs.integers(2, size=len(matrix))]  # one way up, the other down
        z = (np.where(matrix * pair_sign(activations[index]) >= 0, moved[:, :1], moved[:, 1:]) * error + 1) * matrix
        found = z @ found if index == last else np.maximum(z @ found, 0)
    outputs = pair.original[-1] @ activations[-2]
    return float(np.abs(found / np.where(outputs == 0, 1, outputs) - (outputs != 0)).max())


def pair_sign(activation: np.ndarray) -> np.ndarray:
    """The sign of the input, which may be negative: a half-row is the products of one sign."""
    return np.where(activation < 0, -1.0, 1.0)


@FILTERED
@given(network_pairs(max_width=3), st.floats(0.01, 0.99), st.integers(0, 2**31 - 1))
def test_relative_errors_obey_n1(pair: NetworkPair, epsilon: float, seed: int) -> None:
    error = relative_error(pair, epsilon, np.random.default_rng(seed))
    assume(error < inf)
    assert error <= epsilon + 1e-9


def test_twice_the_budget_refuses_n1() -> None:
    """The negative control: 3 - 2 = 1 with Δ = 5 moves by 81 % where 50 % are allowed."""
    pair = NetworkPair((np.array([[3.0, -2.0]] * 8),), (np.array([[3.0, -2.0]] * 8),), np.array([1.0, 1.0]), ())
    assert relative_error(pair, 0.5, np.random.default_rng(0)) <= 0.5
    assert relative_error(pair, 0.5, np.random.default_rng(0), factor=2) > 0.5


def allocation_error(rows: list[HalfRow], draws: np.ndarray) -> float:
    """Σ c_i ε_i to first order: ε_i falls as √(Σ_i/m_i), and c_i is what it stands for at the first point."""
    costs = np.array([float((row.weights * row.points[0]).sum()) for row in rows])
    return float((costs * np.sqrt(np.array([row.mass for row in rows]) / draws)).sum())


def allocation(rows: list[HalfRow], budget: int) -> np.ndarray:
    """N4's draws of every half-row."""
    terms = [(float((row.weights * row.points[0]).sum()), row.mass) for row in rows]
    total = sum((cost**2 * mass) ** (1 / 3) for cost, mass in terms) * (1 + 1e-12)  # at least each of its terms
    return np.array([float(N4.bound(budget=budget, cost=cost, Sigma=mass, total=total)) for cost, mass in terms])


def improves(rows: list[HalfRow], draws: np.ndarray) -> bool:
    """Whether moving 1 % of the draws of one half-row to another one lowers the error."""
    least = allocation_error(rows, draws) * (1 - 1e-9)
    ways = [(giver, taker) for giver in range(len(rows)) for taker in range(len(rows)) if giver != taker]
    changes = [draws[giver] / 100 * (np.eye(len(rows))[taker] - np.eye(len(rows))[giver]) for giver, taker in ways]
    return any(allocation_error(rows, draws + change) < least for change in changes)


@FEW
@given(st.lists(half_rows(max_weights=12), min_size=2, max_size=5), st.integers(10, 10**6))
def test_no_other_allocation_is_better_than_n4s(rows: list[HalfRow], budget: int) -> None:
    draws = allocation(rows, budget)
    assert abs(draws.sum() / budget - 1) < 1e-9
    assert not improves(rows, draws)


def test_an_equal_allocation_refuses_n4() -> None:
    """The negative control: half-rows of 1 and of 100 with equally many draws."""
    small, large = (HalfRow(np.ones(1), np.full((1, 1), size), np.ones((1, 1)), np.ones(1)) for size in (1.0, 100.0))
    assert improves([small, large], np.array([50.0, 50.0])) and not improves(
        [small, large], allocation([small, large], 100)
    )
