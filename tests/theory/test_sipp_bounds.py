"""The closed forms of SiPP: inverses of one another, monotone, ordered as proved, published sizes vacuous."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneproof.theory.theorems.network import statement as N
from pruneproof.theory.theorems.sensitivity import statement as S

masses = st.floats(1.0, 50.0)
deltas = st.floats(1e-12, 0.5)
draws = st.integers(1, 10**6)
shares = st.floats(1e-3, 1.0)
NEAR = 1e-9  # relative: two double roundings and arb's conversion, with five digits to spare


@given(draws, deltas, masses)
def test_rand_size_error_and_failure_are_inverse(m: int, delta: float, mass: float) -> None:
    error = S.S1_ERROR.bound(m=m, delta=delta, C=1, Sigma=mass)
    assert S.S1.bound(m=m, epsilon=error, C=1, Sigma=mass) == pytest.approx(delta, rel=NEAR)
    assert S.S1_SIZE.bound(epsilon=error, delta=delta, C=1, Sigma=mass) == pytest.approx(m, rel=NEAR)


@given(st.floats(1.0, 1e5), deltas, shares)
def test_poisson_error_and_failure_are_inverse(tau: float, delta: float, r: float) -> None:
    error = S.S4_ERROR.bound(tau=tau, delta=delta, C=1, r=r)
    assert S.S4.bound(tau=tau, epsilon=error, C=1, r=r) == pytest.approx(delta, rel=NEAR)


@given(draws, deltas, st.floats(1e-2, 20.0), shares)
def test_prefix_error_and_failure_are_inverse(rest: int, delta: float, b: float, share: float) -> None:
    r = min(share, b)
    error = S.S3_ERROR.bound(rest=rest, delta=delta, b=b, r=r)
    assert S.S3.bound(rest=rest, epsilon=error, b=b, r=r) == pytest.approx(delta, rel=NEAR)


@given(draws, deltas, masses)
def test_errors_fall_with_draws_and_rise_with_mass_and_confidence(m: int, delta: float, mass: float) -> None:
    error = S.S1_ERROR.bound(m=m, delta=delta, C=1, Sigma=mass)
    assert S.S1_ERROR.bound(m=2 * m, delta=delta, C=1, Sigma=mass) < error
    assert S.S1_ERROR.bound(m=m, delta=delta, C=1, Sigma=2 * mass) > error
    assert S.S1_ERROR.bound(m=m, delta=delta / 2, C=1, Sigma=mass) > error


@given(draws, deltas, masses)
def test_an_empty_prefix_is_never_worse_than_rand(m: int, delta: float, mass: float) -> None:
    prefix = S.S3_ERROR.bound(rest=m, delta=delta, b=mass, r=1)
    assert prefix <= S.S1_ERROR.bound(m=m, delta=delta, C=1, Sigma=mass)


@given(st.floats(1e-4, 0.999))
def test_symmetrising_helps(share: float) -> None:
    assert S.S2_SYMMETRIC.bound(share=share) < S.S2.bound(share=share)


def test_the_relative_route_is_at_most_twice_the_published_budget() -> None:
    for epsilon in (0.01, 0.1, 0.5, 0.99):
        ours = N.N1.bound(epsilon=epsilon, layers=4, amplification=3)
        published = N.N1_PUBLISHED.bound(epsilon=epsilon, layers=4, amplification=3)
        assert 1 < ours / published < 2


def test_the_published_size_keeps_every_weight_of_lenet() -> None:
    """LeNet-300-100, ε = 0.5, δ = 0.1, the best case Σ = mean Δ = 1: draws per half-row of each layer."""
    neurons, widest = 410, 300
    amplification = 1 + N.CORENET_CONFIDENCE.bound(neurons=neurons, widest=widest, delta=0.1)
    sizes: list[float] = []
    for later, width in ((3, 784), (2, 300), (1, 100)):
        epsilon = N.N1_PUBLISHED.bound(epsilon=0.5, layers=4, amplification=amplification**later)
        values = {"Sigma": 1, "neurons": neurons, "widest": widest, "delta": 0.1, "epsilon": epsilon}
        sizes.append(N.CORENET_SIZE.bound(**values))
        assert N.keeps_every_weight(N.CORENET_SIZE, width, **values)
    assert [math.floor(math.log10(size)) for size in sizes] == [18, 14, 9]
    own = N.N1.bound(epsilon=0.5, layers=4, amplification=1)  # the table of the page: the same best case, ours
    assert N.N3.bound(n=10**40, C=1, Sigma=1, epsilon=own, neurons=neurons, delta=0.1) == 1111
    assert S.SAMPLE.bound(C=3, neurons=neurons, widest=widest, delta=1e-16) == 152


def test_ours_is_not_vacuous_where_there_are_enough_weights() -> None:
    values = {"C": 1, "Sigma": 1, "epsilon": 0.1, "neurons": 1, "delta": 0.1}
    assert N.keeps_every_weight(N.N3, 700, n=700, **values)  # it asks for 764 draws
    assert not N.keeps_every_weight(N.N3, 10**6, n=10**6, **values)


def test_the_confidence_of_a_network_is_shared_by_its_half_rows() -> None:
    """N3 is S1-size at δ' = δ/(2η), rounded up."""
    values = {"C": 1, "Sigma": 3, "epsilon": 0.2}
    row = S.S1_SIZE.bound(delta=0.1 / (2 * 410), **values)
    assert N.N3.bound(n=10**9, neurons=410, delta=0.1, **values) == math.ceil(row)
