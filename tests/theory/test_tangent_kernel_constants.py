"""The constants of P1 measured on a network are those of its Jacobian, and inputs it does not cover are refused."""

import numpy as np
import pytest

from pruneproof.errors import PruneproofError
from pruneproof.theory.theorems.pretraining.gradient_descent import P1_MOVEMENT, P1_RATE
from pruneproof.theory.theorems.pretraining.tangent_kernel import CURVATURE, SLOPE, Activation, tangent_kernel


def _network(examples: int, dimension: int, width: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(examples, dimension))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    targets = 0.1 * np.sign(generator.normal(size=examples))
    return inputs, targets, generator.normal(size=(width, dimension)), np.sign(generator.normal(size=width))


def _outputs(inputs: np.ndarray, weights: np.ndarray, signs: np.ndarray, activation: Activation) -> np.ndarray:
    z = inputs @ weights.T
    return (np.tanh(z) if activation == "tanh" else np.log1p(np.exp(z))) @ signs / np.sqrt(len(weights))


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_the_kernel_is_that_of_the_jacobian(activation: Activation) -> None:
    inputs, targets, weights, signs = _network(4, 5, 7)
    step, columns = 1e-5, []
    for index in np.ndindex(*weights.shape):
        moved = weights.copy()
        moved[index] += step
        back = weights.copy()
        back[index] -= step
        columns.append(
            (_outputs(inputs, moved, signs, activation) - _outputs(inputs, back, signs, activation)) / (2 * step)
        )
    jacobian = np.array(columns).T
    found = tangent_kernel(inputs, targets, weights, signs, activation=activation)
    # central differences err by step²·(third derivative ≤ 2)/6 + 2^-53/step, about 1e-10
    assert found.eigenvalue == pytest.approx(np.linalg.eigvalsh(jacobian @ jacobian.T)[0], abs=1e-9)
    assert found.residual == pytest.approx(np.linalg.norm(_outputs(inputs, weights, signs, activation) - targets))
    assert found.norm == pytest.approx(np.linalg.norm(inputs, 2))
    assert found.step_size <= 1 / found.norm**2
    assert found.condition >= 1


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_the_derivative_bounds_are_reached_but_not_exceeded(activation: Activation) -> None:
    z = np.linspace(-8, 8, 400_001)
    if activation == "tanh":
        slope, curvature = 1 - np.tanh(z) ** 2, -2 * np.tanh(z) * (1 - np.tanh(z) ** 2)
    else:
        logistic = 1 / (1 + np.exp(-z))
        slope, curvature = logistic, logistic * (1 - logistic)
    for bound, values in ((SLOPE[activation], slope), (CURVATURE[activation], curvature)):
        assert np.abs(values).max() <= bound * (1 + 1e-12)
        assert np.abs(values).max() >= bound * 0.99  # the negative control: one per cent less would be exceeded


def test_p1_holds_where_it_applies_and_says_where_it_does_not() -> None:
    inputs, targets, weights, signs = _network(3, 30, 4000)
    targets = _outputs(inputs, weights, signs, "tanh") + 0.05 * targets / 0.1  # a small residual: the width suffices
    found = tangent_kernel(inputs, targets, weights, signs)
    assert found.applies
    assert found.width >= found.required_width
    narrow = tangent_kernel(inputs, targets + 1, weights, signs)
    assert not narrow.applies
    current, start = weights.copy(), weights
    rate = {"eta": found.step_size, "lambda_0": found.eigenvalue, "r_0": found.residual, "N": found.width}
    rate |= {"M": found.curvature, "B": found.slope, "X": found.norm}
    for t in range(60):
        residual = _outputs(inputs, current, signs, "tanh") - targets
        assert np.linalg.norm(residual) <= P1_RATE.bound(t=t, **rate) * (1 + 1e-9)
        moved = np.linalg.norm(current - start)
        assert moved <= P1_MOVEMENT.bound(**rate)
        slopes = 1 - np.tanh(inputs @ current.T) ** 2
        gradient = (slopes * residual[:, None] * signs).T @ inputs / np.sqrt(len(weights))
        current = current - found.step_size * gradient
    assert np.linalg.norm(_outputs(inputs, current, signs, "tanh") - targets) < 0.9 * found.residual


def test_inputs_longer_than_one_are_refused_or_rescaled_and_said_so() -> None:
    inputs, targets, weights, signs = _network(4, 5, 7)
    with pytest.raises(PruneproofError, match="‖x_j‖ ≤ 1"):
        tangent_kernel(3 * inputs, targets, weights, signs)
    rescaled = tangent_kernel(3 * inputs, targets, weights, signs, oversized="rescale")
    plain = tangent_kernel(inputs, targets, weights, signs)
    assert plain.rescaled_by == 1.0
    assert rescaled.rescaled_by == pytest.approx(3.0)
    assert rescaled.norm == pytest.approx(plain.norm)
    assert rescaled.eigenvalue == pytest.approx(plain.eigenvalue)


def test_a_singular_kernel_never_applies() -> None:
    inputs, targets, weights, signs = _network(4, 5, 7)
    twice = np.vstack([inputs, inputs[:1]])
    found = tangent_kernel(twice, np.append(targets, 0.3), weights, signs)
    assert found.eigenvalue == 0
    assert not found.applies
    assert found.condition == np.inf


def test_bad_input_is_refused() -> None:
    inputs, targets, weights, signs = _network(4, 5, 7)
    cases = {
        "shapes": (inputs, targets[:3], weights, signs),
        "finite": (inputs * np.nan, targets, weights, signs),
        "±1": (inputs, targets, weights, signs * 2),
    }
    for reason, arguments in cases.items():
        with pytest.raises(PruneproofError, match=reason):
            tangent_kernel(*arguments)
    with pytest.raises(PruneproofError, match="activation"):
        tangent_kernel(inputs, targets, weights, signs, activation="relu")  # pyright: ignore[reportArgumentType]
