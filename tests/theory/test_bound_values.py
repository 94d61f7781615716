"""Each bound's value is what its statement says, computed by other means; solving for a symbol undoes evaluating."""

from math import ceil, exp, inf, log, sqrt

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from pruneproof.errors import PruneproofError
from pruneproof.theory import bounds
from pruneproof.theory.arithmetic.inversion import closed_form
from pruneproof.theory.theorems.bound import Bound
from pruneproof.theory.theorems.greedy.statement import G1, G1_HARMONIC, G2, G3, MARGIN, MARGIN_TARGET
from pruneproof.theory.theorems.growth import growth
from pruneproof.theory.theorems.pretraining.gradient_descent import P1_MOVEMENT, P1_RATE, P1_STEP_SIZE, P1_WIDTH
from pruneproof.theory.theorems.pretraining.logarithms import origin_table, origins
from pruneproof.theory.theorems.pretraining.thresholds import (
    PUBLISHED_SHAPE,
    T1,
    T1_CONDITION,
    T1_INVERSE,
    T1_THRESHOLD,
    T2,
    T2_THRESHOLD,
    T3_DATASET,
    T3_PUBLISHED_FORM,
    T3_SIZE,
    T3_SIZE_INTERIOR,
    T3_THRESHOLD,
)

# Plain floating-point formulas, written from the proofs and not from the sympy expressions.
FORMULAS = {
    G1: (lambda k, loss, V: (sqrt(loss) + sqrt(V / 2 / k)) ** 2, {"k": 7, "loss": 0.3, "V": 2.0}),
    G1_HARMONIC: (
        lambda k, loss, V: loss + V / (2 * k) * sum(1 / i for i in range(1, k + 1)),
        {"k": 7, "loss": 0.3, "V": 2.0},
    ),
    G2: (lambda k, D_y, gamma: max(D_y, D_y * D_y / gamma / 2) ** 2 / 2 / k / k, {"k": 9, "D_y": 2.0, "gamma": 0.25}),
    G3: (
        lambda k, D, gamma, start: start * (1 - (gamma / D) ** 2) ** k,
        {"k": 5, "D": 3.0, "gamma": 0.5, "start": 2.0},
    ),
    MARGIN: (lambda eigenvalue, radius: eigenvalue / radius, {"eigenvalue": 0.3, "radius": 1.5}),
    MARGIN_TARGET: (lambda gamma_s, loss: gamma_s - sqrt(2 * loss), {"gamma_s": 0.5, "loss": 0.02}),
    P1_WIDTH: (
        lambda M, X, r_0, lambda_0: (16 * M * X * r_0 / lambda_0) ** 2,
        {"M": 0.77, "X": 1.2, "r_0": 2.0, "lambda_0": 0.2},
    ),
    P1_STEP_SIZE: (lambda B, X: (B * X) ** -2, {"B": 1.0, "X": 1.7}),
    P1_RATE: (
        lambda t, r_0, eta, lambda_0: r_0 * exp(t * log(1 - eta * lambda_0 / 16)),
        {"t": 40, "r_0": 3.0, "eta": 0.5, "lambda_0": 0.4},
    ),
    P1_MOVEMENT: (lambda r_0, lambda_0: 8 * r_0 / sqrt(lambda_0), {"r_0": 3.0, "lambda_0": 0.4}),
    T1: (
        lambda q, t, L_0, V, k: (q**t * sqrt(L_0) + sqrt(V / 2 / k)) ** 2,
        {"q": 0.9, "t": 11, "L_0": 0.7, "V": 0.3, "k": 25},
    ),
    T1_THRESHOLD: (
        lambda k, L_0, V, q: ceil(log(2 * k * L_0 / V) / 2 / -log(q)),
        {"k": 25, "L_0": 0.7, "V": 0.3, "q": 0.9},
    ),
    T1_CONDITION: (
        lambda k, L_0, V, eta, lambda_0: ceil(8 / eta / lambda_0 * log(2 * k * L_0 / V)),
        {"k": 25, "L_0": 0.7, "V": 0.3, "eta": 0.3, "lambda_0": 0.2},
    ),
    T1_INVERSE: (lambda V, L_t: V / 2 / L_t, {"V": 0.3, "L_t": 0.01}),
    T2: (lambda k, D_y, gamma_s: (max(D_y, D_y**2 / gamma_s) / k) ** 2 / 2, {"k": 9, "D_y": 2.0, "gamma_s": 0.25}),
    T2_THRESHOLD: (
        lambda L_0, gamma_s, q: ceil(log(8 * L_0 / gamma_s**2) / -2 / log(q)),
        {"L_0": 0.7, "gamma_s": 0.1, "q": 0.9},
    ),
    T3_THRESHOLD: (lambda m, L_0, q: ceil(log(8 * m * L_0) / -2 / log(q)), {"m": 300, "L_0": 0.7, "q": 0.9}),
    T3_SIZE: (lambda m, V: 4 * m * V, {"m": 300, "V": 0.3}),
    T3_SIZE_INTERIOR: (
        lambda m, D_y, gamma_s: max(D_y, D_y**2 / gamma_s) * sqrt(m),
        {"m": 300, "D_y": 2.0, "gamma_s": 0.25},
    ),
    T3_DATASET: (lambda m, kappa, L_0: 1 + 8 * kappa * log(8 * m * L_0), {"m": 300, "kappa": 40.0, "L_0": 0.7}),
    T3_PUBLISHED_FORM: (
        lambda m, rho, eta, lambda_0: ceil(log(2 * rho * sqrt(m)) / -log(1 - eta * lambda_0 / 16)),
        {"m": 300, "rho": 1.3, "eta": 0.9, "lambda_0": 0.4},
    ),
    PUBLISHED_SHAPE: (
        lambda k, c, d, m: -log(k) / log(1 - c * d / m**2),
        {"k": 50, "c": 2.0, "d": 10, "m": 100},
    ),
}


def test_every_statement_of_these_modules_has_an_independent_formula() -> None:
    mine = [bound for bound in bounds() if "greedy" in bound.source or "pretraining" in bound.source]
    assert set(mine) <= set(FORMULAS)


@pytest.mark.parametrize("bound", FORMULAS, ids=lambda bound: bound.name)
def test_the_value_is_that_of_the_formula(bound: Bound) -> None:
    formula, values = FORMULAS[bound]
    expected = formula(**values)
    # 1e-13: a few dozen double-precision operations of the plain formula, each off by at most 1.1e-16
    assert bound.bound(assume=True, **values) == pytest.approx(expected, rel=1e-13)
    for name in values:  # the negative control: each constant matters
        assert bound.bound(assume=True, **{**values, name: values[name] * 0.75}) != pytest.approx(expected, rel=1e-3)


def test_thresholds_are_zero_when_nothing_is_to_be_done() -> None:
    assert T1_THRESHOLD.bound(assume=True, k=1, L_0=0.001, V=10, q=0.9) == 0
    assert T3_THRESHOLD.bound(assume=True, m=10, L_0=0.001, q=0.9) == 0


@given(st.integers(1, 200), st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.5, 0.99))
def test_the_threshold_of_t1_is_sufficient_and_tight(k: int, initial: float, spread: float, q: float) -> None:
    t = int(T1_THRESHOLD.bound(assume=True, k=k, L_0=initial, V=spread, q=q))
    # 1e-9: powers q**(2t) in double precision
    assert q ** (2 * t) * initial <= spread / (2 * k) * (1 + 1e-9)
    assert T1.bound(assume=True, q=q, t=t, L_0=initial, V=spread, k=k) <= 2 * spread / k * (1 + 1e-9)
    if t > 0:
        assert q ** (2 * (t - 1)) * initial >= spread / (2 * k) * (1 - 1e-9)


@given(st.integers(1, 1000), st.floats(0.1, 5), st.floats(0.5, 0.99))
def test_the_threshold_of_t3_is_sufficient(m: int, initial: float, q: float) -> None:
    t = T3_THRESHOLD.bound(assume=True, m=m, L_0=initial, q=q)
    assert q**t * sqrt(2 * m * initial) <= 0.5 * (1 + 1e-9)


def test_assumptions_that_fail_are_named() -> None:
    failing = {
        one.text for one, holds in P1_RATE.check(N=10, M=1, X=1, r_0=1, lambda_0=0.5, eta=2, B=1, t=1) if holds is False
    }
    assert failing == {"the width condition of P1", "the step size of P1"}
    undecided = [one.text for one, holds in P1_RATE.check(eta=0.1) if holds is None]
    assert any("‖x_j‖ ≤ 1" in text for text in undecided)
    good = P1_RATE.check(N=10**6, M=1, X=1, r_0=1, lambda_0=0.5, eta=1, B=1, t=1)
    assert all(holds is not False for _, holds in good)


SOLVABLE = [
    (bound, symbol) for bound in FORMULAS for symbol in FORMULAS[bound][1] if not bound.expr.atoms(sympy.ceiling)
]


@pytest.mark.parametrize(("bound", "symbol"), SOLVABLE, ids=lambda part: getattr(part, "name", part))
def test_solving_undoes_evaluating(bound: Bound, symbol: str) -> None:
    values = dict(FORMULAS[bound][1])
    level = bound.enclose(assume=True, **values)
    original = values.pop(symbol)
    solution = bound.solve(symbol, assume=True, value=level.mid(), **values)
    assert solution.rel_accuracy_bits() > 60
    again = bound.enclose(assume=True, **values, **{symbol: solution.mid()})
    # a ball of 2**-64 relative width, or 128 halvings, through formulas of small condition number
    assert abs(float(again) / float(level) - 1) < 1e-12
    if bound is not PUBLISHED_SHAPE or symbol != "c":
        assert float(solution) == pytest.approx(original, rel=1e-9)


def test_a_step_function_is_solved_at_its_jump() -> None:
    solution = T1_THRESHOLD.solve("k", assume=True, value=30.5, L_0=0.7, V=0.3, q=0.9)
    low, high = float(solution) * (1 - 1e-9), float(solution) * (1 + 1e-9)
    assert T1_THRESHOLD.bound(assume=True, k=low, L_0=0.7, V=0.3, q=0.9) == 30
    assert T1_THRESHOLD.bound(assume=True, k=high, L_0=0.7, V=0.3, q=0.9) == 31


def test_closed_forms_are_found_where_the_symbol_occurs_once() -> None:
    a, b, c = sympy.symbols("a b c", positive=True)
    for formula in (a**2 * b + 1, sympy.exp(-a * b), sympy.log(1 + b / a), (sympy.sqrt(b) + a) ** 2, a**b, b**a):
        solved = closed_form(formula, b, c)
        assert solved is not None
        assert sympy.simplify(solved.subs(c, formula) - b) == 0
    assert closed_form(b + b**2, b, c) is None
    assert closed_form(a, b, c) is None
    assert closed_form(sympy.Max(b, a), b, c) is None


def test_what_has_no_solution_is_refused() -> None:
    with pytest.raises(PruneproofError, match="no k brings the bound to this value"):
        G1.solve("k", value=0.1, loss=0.3, V=1)  # below the loss of the comparison point
    with pytest.raises(PruneproofError, match="every symbol"):
        G1.solve("k", value=0.1, loss=0.3)
    with pytest.raises(PruneproofError, match="one of its symbols"):
        G1.solve("n", value=0.1, loss=0.3, V=1)


def test_the_published_shape_grows_like_m_squared_over_d() -> None:
    k, c, d, m, _ = PUBLISHED_SHAPE.symbols
    leading = PUBLISHED_SHAPE.series("m", sympy.oo, 0).removeO()
    assert sympy.simplify(leading - m**2 * sympy.log(k) / (c * d)) == 0
    assert not leading.has(sympy.log(m))  # its logarithm is not of the dataset size


def test_the_table_of_origins_is_taken_from_the_statements() -> None:
    terms = {(origin.factor, origin.statement): origin.term for origin in origins()}
    q, k, L_0, m = sympy.symbols("q k L_0 m", positive=True)
    per_log = -1 / (2 * sympy.log(q))
    assert terms["log k", "T1"] == sympy.log(k) * per_log
    assert terms["log L₀", "T1"] == sympy.log(L_0) * per_log
    assert terms["log m", "T1"] == terms["log m", "T3"] == sympy.log(m) * per_log
    d = sympy.Symbol("d", positive=True)
    assert sympy.degree(terms["m/d", "T1"].subs(sympy.log(k), 1), m) == 1
    assert sympy.degree(terms["m²/d", "published shape"].subs(sympy.log(k), 1), m) == 2
    assert all(terms[key].has(1 / d) for key in (("m/d", "T1"), ("m²/d", "published shape")))
    assert origin_table().row_count == len(origins())


def test_bounds_have_unique_names_and_complete_symbols() -> None:
    names = [bound.name for bound in bounds()]
    assert len(set(names)) == len(names)
    for bound in bounds():
        assert bound.expr.free_symbols <= set(bound.symbols)
        assert all(bound.symbols.values())
        assert bound.latex()
        assert not bound.expr.atoms(sympy.Float)


def test_the_greedy_bounds_hold_on_a_plain_simulation() -> None:
    """Twelve neurons, greedy selection written in six lines: each bound holds, each control fails somewhere."""
    generator = np.random.default_rng(3)
    slack, control = inf, -inf
    for trial in range(30):
        neurons = generator.normal(size=(12, 4)) + (3 if trial % 2 else 0)
        goal = neurons.mean(0)
        V = float(((neurons - goal) ** 2).sum(1).mean())
        chosen = np.zeros(4)
        for k in range(1, 30):
            losses = (((chosen + neurons) / k - goal) ** 2).sum(1) / 2
            chosen = chosen + neurons[losses.argmin()]
            slack = min(slack, G1.bound(k=k, loss=0, V=V) - float(losses.min()))
            control = max(control, float(losses.min()) - G1.bound(k=k, loss=0, V=V / 4))
    assert slack >= 0
    assert control > 0  # V/4 for V is refuted


def test_a_closed_form_is_used_where_there_is_one() -> None:
    """Far outside the range that bisection searches (2**±256), only the closed form can answer."""
    solution = T1_INVERSE.solve("V", value=sympy.Integer(10) ** 100, L_t=sympy.Integer(10) ** 50)
    assert abs(float(solution) / 2e150 - 1) < 1e-12


def test_the_published_form_is_t3_with_the_contraction_of_p1() -> None:
    """At ‖r_0‖ = ρ√m and q = 1 - ηλ₀/16 both thresholds agree; P1's width is among its hypotheses."""
    shared = {"m": 50, "k": 10**6, "V": 0.5, "D_y": 1, "gamma_s": 1}
    known = {"N": 10**9, "M": 0.77, "B": 1, "X": 1, "eta": 1, "lambda_0": 0.5, "rho": 2}
    form = T3_PUBLISHED_FORM.bound(**shared, **known)
    assert form == T3_THRESHOLD.bound(q=1 - 0.5 / 16, L_0=2, **shared)
    with pytest.raises(PruneproofError, match="width condition"):
        T3_PUBLISHED_FORM.bound(**shared, **{**known, "N": 1000})


def test_the_page_compares_the_growth_that_the_formulas_have() -> None:
    words = {
        (bound, name): growth(bound.expr, next(s for s in bound.symbols if s.name == name)).word
        for bound, names in {
            T1_THRESHOLD: ("k", "L_0"),
            T1_CONDITION: ("k", "L_0", "eta"),
            T3_THRESHOLD: ("m", "L_0"),
            T3_DATASET: ("m", "L_0", "kappa"),
            T3_PUBLISHED_FORM: ("m", "rho"),
            PUBLISHED_SHAPE: ("m",),
        }.items()
        for name in names
    }
    logarithmic = {key for key, word in words.items() if word == "logarithmic"}
    assert words[T1_CONDITION, "eta"] == "inverse"
    assert words[T3_DATASET, "kappa"] == "linear"
    assert words[PUBLISHED_SHAPE, "m"] == "quadratic"
    assert logarithmic == {key for key in words if key[1] not in ("eta", "kappa") and key[0] is not PUBLISHED_SHAPE}
