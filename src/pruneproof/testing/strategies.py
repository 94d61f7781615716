"""Hypothesis strategies for the objects of the theorems: check a bound of your own on them in a few lines.

    from hypothesis import given
    from pruneproof.testing import hulls

    @given(hulls())
    def test_my_rate(hull):
        assert my_loss(hull.neurons, hull.target, steps=10) <= my_bound(hull.D_y, hull.margin, steps=10)

What a theorem needs to know about an object (a margin, sensitivities, a difference) is known by construction, not
estimated. They need the package `hypothesis`.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pruneproof.errors import MissingPackageError
from pruneproof.theory.theorems.pretraining.tangent_kernel import TangentKernel, tangent_kernel

try:
    from hypothesis import strategies as st
except ImportError:
    raise MissingPackageError(
        "pruneproof.testing: the strategies need hypothesis, which is not installed. Run pip install hypothesis."
    ) from None

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**31 - 1)


@dataclass(frozen=True)
class Hull:
    """Neurons whose hull contains a ball of known radius around a target.

    Args:
        neurons: (N, P): the outputs Φ_i.
        target: (P,): y.
        margin: γ, the radius of a ball around y that lies in the hull.
        scale: A length that no coordinate exceeds, for bounds on rounding.
    """

    neurons: Floats
    target: Floats
    margin: float
    scale: float

    @property
    def dense(self) -> Floats:
        """s̄, the mean of the neurons."""
        return self.neurons.mean(axis=0)

    @property
    def loss(self) -> float:
        """½‖s̄-y‖²."""
        return float(((self.dense - self.target) ** 2).sum() / 2)

    @property
    def V(self) -> float:
        """The mean squared distance of the neurons from s̄."""
        return float(((self.neurons - self.dense) ** 2).sum(axis=1).mean())

    @property
    def D_y(self) -> float:
        """The distance from the target to the farthest neuron."""
        return float(np.linalg.norm(self.neurons - self.target, axis=1).max())

    @property
    def D(self) -> float:
        """The diameter of the hull."""
        return max(float(np.linalg.norm(self.neurons - neuron, axis=1).max()) for neuron in self.neurons)


@st.composite
def hulls(draw: st.DrawFn, *, max_points: int = 6, max_extra: int = 8) -> Hull:
    """Hulls with a known margin: the corners ±r of a cross-polytope around the target, and further neurons.

    Args:
        draw: Given by Hypothesis.
        max_points: The largest P.
        max_extra: How many neurons there may be beside the 2P corners.

    Returns:
        A strategy of `Hull`; the margin r/√P is that of the cross-polytope, lowered by a rounding.

    Example:
        >>> from hypothesis import given
        >>> @given(hulls())
        ... def test_dense_output_is_in_the_hull(hull):
        ...     assert hull.margin > 0
        >>> test_dense_output_is_in_the_hull()
    """
    points, extra = draw(st.integers(1, max_points)), draw(st.integers(0, max_extra))
    generator = np.random.default_rng(draw(SEEDS))
    radius = float(generator.uniform(0.1, 3))
    target = generator.normal(size=points)
    corners = np.concatenate([np.eye(points), -np.eye(points)]) * radius
    neurons = target + np.concatenate([corners, generator.normal(size=(extra, points)) * 2])
    scale = float(np.abs(neurons).max() + np.abs(target).max())
    margin = radius / sqrt(points) - 2.0**-48 * scale * points
    return Hull(generator.permutation(neurons), target, margin, scale)


@dataclass(frozen=True)
class HalfRow:
    """Non-negative weights met by non-negative activations.

    Args:
        weights: (n,).
        points: (S, n): the activations of the sample S.
        shares: (S, n): g_j(x) = w_j a_j(x)/z(x).
        sensitivities: (n,): s_j, the largest share over S.
    """

    weights: Floats
    points: Floats
    shares: Floats
    sensitivities: Floats

    @property
    def mass(self) -> float:
        """Σ, the sum of the sensitivities."""
        return float(self.sensitivities.sum())


@st.composite
def half_rows(draw: st.DrawFn, *, max_weights: int = 40, max_points: int = 8) -> HalfRow:
    """Half-rows with known sensitivities; every point is live (z > 0).

    Args:
        draw: Given by Hypothesis.
        max_weights: The largest n.
        max_points: The largest number of points of S.

    Returns:
        A strategy of `HalfRow`.
    """
    n, count = draw(st.integers(1, max_weights)), draw(st.integers(1, max_points))
    generator = np.random.default_rng(draw(SEEDS))
    weights = generator.exponential(size=n) + 1e-3
    points = generator.exponential(size=(count, n)) * (generator.random((count, n)) < 0.8)
    points[:, 0] += 0.1  # live
    products = points * weights
    shares = products / products.sum(axis=1, keepdims=True)
    return HalfRow(weights, points, shares, shares.max(axis=0))


@dataclass(frozen=True)
class TangentNetwork:
    """A two-layer network, wide enough for P1 on its data.

    Args:
        inputs: (m, d), rows no longer than 1.
        targets: (m,).
        weights: (N, d): W_0.
        signs: (N,): the outer weights, ±1.
        constants: The constants of P1; `constants.applies` is true.
    """

    inputs: Floats
    targets: Floats
    weights: Floats
    signs: Floats
    constants: TangentKernel

    def residual(self, weights: Floats) -> Floats:
        """f(X; W) - y for the activation tanh."""
        return np.tanh(self.inputs @ weights.T) @ self.signs / sqrt(len(self.signs)) - self.targets

    def gradient(self, weights: Floats) -> Floats:
        """The gradient of ½‖r‖²."""
        slopes = 1 - np.tanh(self.inputs @ weights.T) ** 2
        errors = self.residual(weights)[:, None] * slopes * self.signs / sqrt(len(self.signs))
        return np.asarray(errors.T @ self.inputs, dtype=np.float64)


@st.composite
def tangent_networks(draw: st.DrawFn, *, max_examples: int = 4) -> TangentNetwork:
    """Networks in the regime of P1: the targets are the network's outputs but for as much as its width allows.

    Args:
        draw: Given by Hypothesis.
        max_examples: The largest m.

    Returns:
        A strategy of `TangentNetwork`.
    """
    m = draw(st.integers(1, max_examples))
    generator = np.random.default_rng(draw(SEEDS))
    d, width = m + draw(st.integers(0, 3)), draw(st.integers(200, 400))
    inputs = generator.normal(size=(m, d))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True) * (1 + 1e-12)
    weights, signs = generator.normal(size=(width, d)) / 2, np.sign(generator.normal(size=width))
    outputs = np.tanh(inputs @ weights.T) @ signs / sqrt(width)
    direction = generator.normal(size=m)
    direction /= np.linalg.norm(direction)
    first = tangent_kernel(inputs, outputs - direction, weights, signs)  # the required width grows with ‖r_0‖²
    size = 0.99 * sqrt(width / first.required_width)
    targets = outputs - min(size, 1.0) * direction
    return TangentNetwork(inputs, targets, weights, signs, tangent_kernel(inputs, targets, weights, signs))


@dataclass(frozen=True)
class NetworkPair:
    """Two ReLU networks without biases with whole weights, a point, and the exact difference of their outputs.

    Args:
        original: Weight matrices, (out, in) each, of whole numbers.
        pruned: The same with some entries zero.
        point: (inputs,), whole numbers.
        difference: F̂(x) - f(x), exact.
    """

    original: tuple[Floats, ...]
    pruned: tuple[Floats, ...]
    point: Floats
    difference: tuple[Fraction, ...]


@st.composite
def network_pairs(draw: st.DrawFn, *, max_layers: int = 3, max_width: int = 6) -> NetworkPair:
    """Pairs of networks with known difference: small whole weights, so that float64 evaluates both without rounding.

    Args:
        draw: Given by Hypothesis.
        max_layers: The largest number of weight matrices.
        max_width: The largest width.

    Returns:
        A strategy of `NetworkPair`.
    """
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=max_layers + 1))
    generator = np.random.default_rng(draw(SEEDS))
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    original = tuple(generator.integers(-4, 5, size=shape).astype(np.float64) for shape in shapes)
    pruned = tuple(matrix * (generator.random(matrix.shape) < 0.7) for matrix in original)
    point = generator.integers(-4, 5, size=widths[0]).astype(np.float64)
    outputs = [_run(network, point) for network in (original, pruned)]
    difference = tuple(Fraction(float(after)) - Fraction(float(before)) for before, after in zip(*outputs, strict=True))
    return NetworkPair(original, pruned, point, difference)


def _run(network: tuple[Floats, ...], point: Floats) -> Floats:
    *hidden, last = network
    return np.asarray(last @ reduce(lambda x, matrix: np.maximum(matrix @ x, 0), hidden, point))


__all__ = [
    "HalfRow",
    "Hull",
    "NetworkPair",
    "TangentNetwork",
    "half_rows",
    "hulls",
    "network_pairs",
    "tangent_networks",
]
