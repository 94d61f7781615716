"""Each hypothesis has a negative control: without it a constructed instance violates the statement.

Hypotheses that follow from what the symbols mean (`domain`: counts are whole, a variance is at most the squared radius)
have none, since no object breaks them. Of the others every one that the program decides must have a control here; of
those that the user must ensure, the ones that can be broken by a small example have one too.
"""

from collections.abc import Callable
from math import inf, log, sqrt

import numpy as np
import pytest

from pruneproof.errors import HypothesisError
from pruneproof.theory import bounds
from pruneproof.theory.theorems.pretraining.tangent_kernel import Activation, tangent_kernel

NAMED = {bound.name: bound for bound in bounds()}


def greedy(neurons: list[float], target: float, steps: int) -> float:
    """The output of the network of the chosen neurons, one output, with replacement."""
    total = 0.0
    for k in range(1, steps + 1):
        total += min(neurons, key=lambda neuron: ((total + neuron) / k - target) ** 2)
    return total / steps


def broken(name: str, text: str, values: dict[str, float]) -> float:
    """The value of a bound of which exactly this hypothesis fails; with it, there is no value."""
    bound = NAMED[name]
    failing = [one.text for one, verdict in bound.check(**values) if verdict is False]
    assert failing == [next(one.text for one in bound.assumptions if text in one.text)]
    with pytest.raises(HypothesisError):
        bound.bound(**values)
    return bound.bound(assume=True, **values)


def contraction_t1() -> bool:
    """Outputs ±1, target 10: with "q = 2" the threshold is 0, where one neuron has ½·9² and not 2V/k = 2."""
    t = broken("T1-threshold", "contracts", {"k": 1, "L_0": 50, "V": 1, "q": 2})
    return t == 0 and (greedy([1, -1], 10, 1) - 10) ** 2 / 2 > 2


def contraction_t2() -> bool:
    """The same network: T2's rate at k = 1000 is not reached at its "threshold" 0."""
    t = broken("T2-threshold", "contracts", {"L_0": 50, "gamma_s": 1, "q": 2})
    rate = NAMED["T2"].bound(assume=True, k=1000, D_y=11, gamma_s=1)
    return t == 0 and (greedy([1, -1], 10, 1000) - 10) ** 2 / 2 > rate


def contraction_t3() -> bool:
    """Outputs -1 and -3, label 1: no pruned network is right at the "threshold" 0, however many neurons it has."""
    values = {"m": 1, "L_0": 4.5, "q": 2, "k": 10, "V": 1, "D_y": 4, "gamma_s": 1}
    return broken("T3-threshold", "contracts", values) == 0 and greedy([-1, -3], 1, 10) < 0


def size_t3(name: str, extra: dict[str, float]) -> bool:
    """Outputs -1, -1, 5: the dense network is right (1, the label), the nearest neuron is wrong, and k = 1 takes it."""
    values = {"m": 1, "L_0": 0.5, "k": 1, "V": 8, "D_y": 4, "gamma_s": 2, **extra}
    return broken(name, "k > 4mV", values) < inf and greedy([-1, -1, 5], 1, 1) < 0


def margin_later_t2() -> bool:
    """At t = 0 the target 10 lies outside the hull [-1, 1]: no rate at all."""
    values = {"k": 1000, "D_y": 11, "gamma_s": 1, "t": 0, "L_0": 50, "q": 0.5}
    return broken("T2", "T2's threshold", values) < (greedy([1, -1], 10, 1000) - 10) ** 2 / 2


def margin_later_t3() -> bool:
    """At t = 0 the label 1 lies outside the hull [-3, -1]: more than W√m neurons are wrong all the same."""
    values = {"m": 1, "D_y": 4, "gamma_s": 1, "t": 0, "L_0": 4.5, "q": 0.5}
    size = broken("T3-size-interior", "T2's threshold", values)
    return greedy([-1, -3], 1, int(size) + 1) < 0


def nothing_to_reduce() -> bool:
    """A loss that is small already: the threshold is 0, and not below a negative number of iterations."""
    values = {"m": 1, "kappa": 1, "L_0": 0.001, "k": 100, "V": 1, "D_y": 1, "gamma_s": 1}
    least = NAMED["T3-threshold"].bound(q=1 - 1 / 16, **{name: v for name, v in values.items() if name != "kappa"})
    return least > broken("T3-dataset-size", "a loss to reduce", values)


def _descent(
    weights: np.ndarray, targets: np.ndarray, step: float | None, text: str
) -> tuple[list[float], list[float]]:
    """Residuals of gradient descent on a network of tanh neurons, and P1's bound without one hypothesis."""
    inputs, signs = np.eye(len(targets)), np.ones(len(weights))
    known = tangent_kernel(inputs, targets, weights, signs)
    eta = step if step is not None else known.step_size
    values = {"N": len(weights), "M": known.curvature, "B": known.slope, "X": known.norm, "eta": eta}
    values |= {"r_0": known.residual, "lambda_0": known.eigenvalue}
    residuals, limits, width = [], [], sqrt(len(weights))
    for t in range(0, 400, 20):
        limits.append(broken("P1", text, {**values, "t": t}))
        residual = np.tanh(inputs @ weights.T) @ signs / width - targets
        residuals.append(float(np.linalg.norm(residual)))
        for _ in range(20):
            slopes = 1 - np.tanh(inputs @ weights.T) ** 2
            residual = np.tanh(inputs @ weights.T) @ signs / width - targets
            weights = weights - eta * (residual[:, None] * slopes * signs / width).T @ inputs
    return residuals, limits


def width_p1() -> bool:
    """One neuron cannot reach the targets ±10: its residual stays, P1's bound falls."""
    residuals, limits = _descent(np.array([[0.1, 0.2]]), np.array([10.0, -10.0]), None, "width condition")
    return any(residual > limit for residual, limit in zip(residuals, limits, strict=True))


def step_p1() -> bool:
    """One neuron near 0 with a step eight times too large: it oscillates and does not converge."""
    residuals, limits = _descent(np.array([[0.01]]), np.array([0.0]), 8.0, "step size")
    return any(residual > limit for residual, limit in zip(residuals, limits, strict=True))


def width_movement() -> bool:
    """One neuron f = tanh(w) from w = 0, target 2: as long as w ≤ 17 every step moves it on by η·sech²(17) or more,
    so that it passes 17; P1's limit is 16."""
    known = tangent_kernel([[1.0]], [2.0], [[0.0]], [1.0])
    values = {"N": 1, "M": known.curvature, "B": known.slope, "X": known.norm, "eta": known.step_size}
    values |= {"r_0": known.residual, "lambda_0": known.eigenvalue}
    limit = broken("P1-movement", "width condition", values)
    least = known.step_size * (2 - 1) / np.cosh(17.0) ** 2  # (2 - tanh w)·sech²(w) falls with w
    return limit < 17 and least > 0


def step_movement() -> bool:
    """One neuron near 0 with a step a hundred times too large: the first step is longer than all steps may be."""
    known = tangent_kernel([[1.0]], [0.0], [[0.01]], [1.0])
    values = {"N": 1, "M": known.curvature, "B": known.slope, "X": known.norm, "eta": 100}
    values |= {"r_0": known.residual, "lambda_0": known.eigenvalue}
    first = 100 * np.tanh(0.01) * (1 - np.tanh(0.01) ** 2)
    return first > broken("P1-movement", "step size", values)


def epsilon_n1() -> bool:
    """A hidden neuron with z = 1 - 2 (Δ = 3) turns positive behind a path of 0.001: off by a factor of 200, not 11."""
    epsilon = 10.0
    budget = broken("N1", "no sign turns", {"epsilon": epsilon, "layers": 3, "amplification": 3})
    assert budget == pytest.approx(log(11) / 6)
    hidden = 1 * (1 + budget) - 2 * (1 - budget)
    original, pruned = 0.001 + max(1 - 2, 0), 0.001 + max(hidden, 0)
    return abs(pruned - original) > epsilon * original


def rank_s5() -> bool:
    """With five points and β = 0.1 the rank is 6: there is no sixth smallest of five."""
    return broken("S5-rank", "finite rank", {"beta": 0.1, "held_out": 5}) > 5


ACTIVATIONS: dict[Activation, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
}


def published_form(text: str, weights: list[float], label: int, eta: float, k: int, activation: Activation) -> bool:
    """Is a network of this form, one example x = 1 and outer weights 1, pruned wrongly at its "threshold" or later?

    Every symbol is measured on the network itself: at the start, and V, D_y and γ_s after the steps that were taken.
    """
    function, slope = ACTIVATIONS[activation]
    w, width = np.array(weights), sqrt(len(weights))
    known = tangent_kernel([[1.0]], [label], w[:, None], np.ones(len(w)), activation=activation)
    start = {"m": 1, "rho": known.residual, "eta": eta, "lambda_0": known.eigenvalue, "N": len(w), "k": k}
    start |= {"M": known.curvature, "B": known.slope, "X": known.norm}
    threshold = NAMED["T3-published-form"].bound(assume=True, V=1, D_y=1, gamma_s=1, **start)  # it depends on none
    for step in range(int(threshold) + 20):
        neurons = width * function(w)
        if step >= threshold and greedy(list(neurons), label, k) * label < 0:
            mean = neurons.mean()
            later = {"V": neurons.var(), "D_y": abs(neurons - label).max()}
            later["gamma_s"] = min(neurons.max() - mean, mean - neurons.min())
            return broken("T3-published-form", text, {**start, **later}) == threshold
        w = w - eta * (width * function(w).mean() - label) * slope(w) / width
    return False


def size_published_form() -> bool:
    """Eight neurons with the output -0.1 and four with 3.2 have the mean 1, the label: k = 1 takes -0.1."""
    outputs = np.array([-0.1] * 8 + [3.23] * 4) / sqrt(12)
    return published_form("k > 4mV", list(np.arctanh(outputs)), 1, 1, 1, "tanh")


def width_published_form() -> bool:
    """Two neurons of softplus: the output is positive, the label -1, the "threshold" finite all the same."""
    return published_form("width condition", [0.0, 0.1], -1, 1, 100, "softplus")


def step_published_form() -> bool:
    """Right at the start, where the threshold is 0; with steps twelve times too large the output swings past 0."""
    outputs = np.array([0.93, 0.95, 0.95, 0.97]) / 2
    return published_form("step size", list(np.arctanh(outputs)), 1, 12, 100, "tanh")


DECIDED: dict[tuple[str, str], Callable[[], bool]] = {
    ("T1-threshold", "contracts"): contraction_t1,
    ("T2-threshold", "contracts"): contraction_t2,
    ("T3-threshold", "contracts"): contraction_t3,
    ("T3-threshold", "k > 4mV"): lambda: size_t3("T3-threshold", {"q": 0.9}),
    ("T3-dataset-size", "k > 4mV"): lambda: size_t3("T3-dataset-size", {"kappa": 10}),
    ("T3-dataset-size", "a loss to reduce"): nothing_to_reduce,
    ("T2", "T2's threshold"): margin_later_t2,
    ("T3-size-interior", "T2's threshold"): margin_later_t3,
    ("P1", "width condition"): width_p1,
    ("P1", "step size"): step_p1,
    ("P1-movement", "width condition"): width_movement,
    ("P1-movement", "step size"): step_movement,
    ("T3-published-form", "k > 4mV"): size_published_form,
    ("T3-published-form", "width condition"): width_published_form,
    ("T3-published-form", "step size"): step_published_form,
    ("N1", "no sign turns"): epsilon_n1,
    ("S5-rank", "finite rank"): rank_s5,
}


@pytest.mark.parametrize("key", DECIDED, ids=lambda key: f"{key[0]}: {key[1]}")
def test_without_a_decided_hypothesis_the_statement_is_false_somewhere(key: tuple[str, str]) -> None:
    assert DECIDED[key]()


def test_every_decided_hypothesis_has_a_negative_control() -> None:
    for bound in bounds():
        if bound.status == "derived":
            needed = [one.text for one in bound.assumptions if one.condition is not None and not one.domain]
            for text in needed:
                assert any(name == bound.name and part in text for name, part in DECIDED), (bound.name, text)


def without_replacement_g2() -> bool:
    """Outputs 1, -1, 0.9, 0.9, 0.9 around 0: once the good neurons are spent, the rest pull the average away."""
    left, total, losses = [1.0, -1.0, 0.9, 0.9, 0.9], 0.0, []
    for k in range(1, 6):
        chosen = min(left, key=lambda neuron: ((total + neuron) / k) ** 2)
        left.remove(chosen)
        total += chosen
        losses.append((total / k) ** 2 / 2)
    return any(loss > NAMED["G2"].bound(k=k, D_y=1, gamma=1) for k, loss in enumerate(losses, start=1))


def target_outside_g2() -> bool:
    """A target at 2 outside the hull [-1, 1], passed off as lying at depth 1."""
    return (greedy([1, -1], 2, 50) - 2) ** 2 / 2 > NAMED["G2"].bound(k=50, D_y=3, gamma=1)


def labels_t3() -> bool:
    """A label of 0.01: outputs -½ (ten times) and 5 have the mean 0, and some selections stay on its wrong side."""
    neurons, label = [-0.5] * 10 + [5.0], 0.01
    values = {"m": 1, "L_0": label**2 / 2, "q": 0.9, "V": 2.5, "D_y": 5 - label, "gamma_s": 0.5}
    sizes = [k for k in range(11, 60) if NAMED["T3-threshold"].bound(k=k, **values) == 0]
    return any(greedy(neurons, label, k) * label < 0 for k in sizes)


def point_chosen_afterwards_s1() -> bool:
    """A thousand weights, each met by a point of its own: after the draw, take the point of one that was not drawn.

    There ẑ = 0. Which weights are drawn is negatively associated, so that one is missing with at least the probability
    that it would have if they were drawn independently.
    """
    n, draws = 1000, 5000
    promised = NAMED["S1"].bound(m=draws, epsilon=0.99, C=1, Sigma=n)
    return 1 - (1 - (1 - 1 / n) ** draws) ** n > promised


def stretch_s2() -> bool:
    """A weight that no point of S meets is dropped; a point that only meets it loses everything, not 0 %."""
    weights, sample, other = np.array([1.0, 1.0]), np.array([[1.0, 0.0]]), np.array([0.0, 1.0])
    products = weights * sample
    sensitivities = (products / products.sum(axis=1, keepdims=True)).max(axis=0)
    kept = np.array([1.0, 0.0])
    lost = 1 - (kept * weights * other).sum() / (weights * other).sum()
    return lost > NAMED["S2-published"].bound(dropped=float(sensitivities[1]), C=1)


def span_margin() -> bool:
    """Neurons on a line through s̄ with depth 1 there: a target beside the line is outside of their hull."""
    neurons, target = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0.0, 0.1])
    loss = float(((neurons.mean(0) - target) ** 2).sum() / 2)
    depth = float(((neurons - target) @ np.array([0.0, 1.0])).max())
    return depth < NAMED["MARGIN-target"].bound(gamma_s=1, loss=loss)


def both_half_rows_s6() -> bool:
    """Half-rows of 1 and 1 of which one is lost whole: the sum moves by 1, not by ε(z⁺+z⁻) = 0.2."""
    plus, minus, kept_plus, kept_minus = 1.0, 1.0, 0.0, 1.0
    moved = abs((kept_plus - kept_minus) - (plus - minus))
    return moved > NAMED["S6"].bound(epsilon=0.1, z_plus=plus, z_minus=minus)


ENSURED = {
    "G2: with replacement": without_replacement_g2,
    "G2: y in the hull": target_outside_g2,
    "T3-threshold: labels ±1": labels_t3,
    "S1: fixed before the draw": point_chosen_afterwards_s1,
    "S2-published: g_j ≤ C·s_j": stretch_s2,
    "MARGIN-target: the neurons span": span_margin,
    "S6: both half-rows hold": both_half_rows_s6,
}


@pytest.mark.parametrize("name", ENSURED)
def test_without_what_the_user_must_ensure_the_statement_is_false_somewhere(name: str) -> None:
    assert ENSURED[name]()
