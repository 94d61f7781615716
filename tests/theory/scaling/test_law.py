"""The published law, its real form, limits, monotonicity and closed-form inverse are one statement."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from pruneproof import PruneproofError
from pruneproof.theory.scaling.models import LAW, LOG_HILL, STEEP_LIMIT, Model
from pruneproof.theory.scaling.points import Points, points_from_rows
from pruneproof.theory.scaling.smallest_network import smallest_invariant
from pruneproof.theory.theorems.scaling_law import statement as law

d, p, gamma = law.density, law.transition, law.exponent
low, high = law.dense_error, law.upper_error

unit = st.floats(0.001, 0.999)
shapes = st.fixed_dictionaries(
    {"p": st.floats(0.001, 1), "gamma": st.floats(0.1, 30), "upper_error": st.floats(0.5, 0.95)}
)


def _row(density: float, dense: float) -> Points:
    return points_from_rows(
        [{"network": "a", "width": 1, "depth": 1, "density": density, "error": 0.5, "dense_error": dense}]
    )


def test_the_complex_form_is_the_real_form() -> None:
    """|a − ib|² = a² + b² for real a and b: squared and to the power 2/γ, both sides are one rational function."""
    ratio = sympy.Symbol("K", positive=True)
    numerator, denominator = d - sympy.I * p * ratio, d - sympy.I * p
    squared = sympy.expand(numerator * sympy.conjugate(numerator)) / sympy.expand(
        denominator * sympy.conjugate(denominator)
    )
    assert sympy.simplify(squared - (d**2 + p**2 * ratio**2) / (d**2 + p**2)) == 0
    assert (law.complex_form() / law.real_form()).equals(1)


def test_a_sign_in_the_wrong_place_is_refused() -> None:
    """The negative control: d + p K in place of d − i p K is another curve."""
    control = low * ((d + p * (high / low) ** (1 / gamma)) / (d + p)) ** gamma
    assert not (control / law.real_form()).equals(1)


def test_limits_at_both_ends() -> None:
    for exponent in (sympy.Rational(1, 2), sympy.Integer(1), sympy.Integer(2), sympy.Integer(3)):
        expr = law.real_form().subs(gamma, exponent)
        assert sympy.simplify(sympy.limit(expr, d, sympy.oo) - low) == 0
        assert sympy.simplify(sympy.limit(expr, d, 0) - high) == 0


def test_between_the_ends_lies_a_power_law() -> None:
    """With p = t m and pK = m/t, t → 0, ε̂ / (ε↑ (p/m)^γ) → 1 and the bracket deviates by at most t² + t²."""
    t = sympy.Symbol("t", positive=True)
    bracket = (d**2 + (d / t) ** 2) / (d**2 + (t * d) ** 2)  # over p²K²/m² = t⁻²
    deviation = sympy.simplify(bracket * t**2 - 1)
    assert sympy.limit(deviation, t, 0) == 0
    values = np.linspace(0.001, 1, 500)
    assert (np.abs(sympy.lambdify(t, deviation)(values)) <= 2 * values**2 + 1e-12).all()


def test_the_limit_of_a_steep_law() -> None:
    """In x = 1/γ: (1/2x) · log(1 + s (exp(2Lx) − 1)) → L s, with an error of order x."""
    x, gap, share = sympy.symbols("x L s", positive=True)
    logarithm = sympy.log(1 + share * (sympy.exp(2 * gap * x) - 1)) / (2 * x)
    expansion = sympy.series(logarithm, x, 0, 2).removeO()
    assert sympy.simplify(expansion.subs(x, 0) - gap * share) == 0
    assert sympy.simplify(expansion.coeff(x, 1) - gap**2 * share * (1 - share)) == 0


def test_the_law_falls_with_the_density() -> None:
    bracket = 1 + p**2 * (sympy.Symbol("K", positive=True) ** 2 - 1) / (d**2 + p**2)
    slope = sympy.diff(bracket, d)
    excess = sympy.Symbol("excess", positive=True)  # K² − 1 > 0
    assert slope.subs(sympy.Symbol("K", positive=True) ** 2, 1 + excess).simplify().is_negative


def test_the_smallest_invariant_solves_the_law_exactly() -> None:
    """With u = r: substituting m*² into r (m² + p²) = m² + p²K² leaves nothing."""
    r, k = sympy.symbols("r K", positive=True)
    square = p**2 * (k**2 - r) / (r - 1)
    assert sympy.simplify(r * (square + p**2) - (square + p**2 * k**2)) == 0


@given(shapes, unit, st.floats(0.02, 0.98))
def test_round_trip_through_the_closed_form(shape: dict[str, float], dense: float, place: float) -> None:
    """1e-10 relative, as a target strictly between the ends makes the law locally well conditioned."""
    dense *= 0.8 * shape["upper_error"]
    target = dense * (shape["upper_error"] / dense) ** place
    invariant = smallest_invariant(target, dense, shape)
    if invariant <= 1:
        back = np.exp(LAW.log_error(shape, _row(invariant, dense)))[0]
        assert back == pytest.approx(target, rel=1e-10)


@given(shapes, unit, unit)
def test_numbers_agree_with_the_certified_statement(shape: dict[str, float], density: float, dense: float) -> None:
    dense *= 0.8 * shape["upper_error"]
    exact = law.SINGLE.bound(
        d=density, epsilon_np=dense, epsilon_up=shape["upper_error"], p=shape["p"], gamma=shape["gamma"]
    )
    assert np.exp(LAW.log_error(shape, _row(density, dense)))[0] == pytest.approx(exact, rel=1e-11)


def test_the_steep_limit_is_the_log_hill_curve_with_exponent_two() -> None:
    points = _row(0.3, 0.05)
    shape = {"p": 0.2, "upper_error": 0.7}
    steep = STEEP_LIMIT.log_error(shape, points)
    assert steep == pytest.approx(LOG_HILL.log_error(shape | {"q": 2.0}, points), abs=1e-15)
    assert LAW.log_error(shape | {"gamma": 1e9}, points) == pytest.approx(steep, abs=1e-8)  # the difference is O(L²/γ)


def test_joint_statement_at_unit_exponents_is_the_single_one() -> None:
    values = {"epsilon_np": 0.05, "epsilon_up": 0.8, "p": 0.02, "gamma": 1.5}
    joint = law.JOINT.bound(d=0.1, l=3, w=2, phi=0, psi=0, **values)
    assert joint == law.SINGLE.bound(d=0.1, **values)
    assert law.SMALLEST.bound(epsilon_k=joint, **values) == pytest.approx(0.1, rel=1e-12)


def test_infeasible_targets() -> None:
    shape = {"p": 0.1, "gamma": 1.0, "upper_error": 0.8}
    assert smallest_invariant(0.05, 0.05, shape) == float("inf")
    assert smallest_invariant(0.9, 0.05, shape) == 0.0
    with pytest.raises(PruneproofError, match="target error must lie in"):
        smallest_invariant(0.0, 0.05, shape)


@pytest.mark.filterwarnings("error")
@given(st.floats(1e-8, 1e8), st.floats(1e-8, 1e8), st.floats(1e-3, 1e3), unit, unit, st.sampled_from((LAW, LOG_HILL)))
def test_the_curves_are_finite_wherever_a_fit_may_look(
    m: float, p: float, gamma: float, dense: float, upper: float, model: Model
) -> None:
    values = {"p": p, "gamma": gamma, "q": gamma, "upper_error": upper}
    logged = model.log_error(values, _row(1.0, dense).replaced(density=np.array([m])))[0]
    slack = 1e-9 * (1 + gamma)
    assert min(np.log(dense), np.log(upper)) - slack <= logged <= max(np.log(dense), np.log(upper)) + slack
