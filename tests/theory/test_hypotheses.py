"""A bound gives no value where one of its hypotheses fails or is not decided, unless it is told to assume them."""

from collections.abc import Mapping
from fractions import Fraction

import pytest
import sympy
from flint import fmpq

from pruneproof.errors import HypothesisError, PruneproofError
from pruneproof.theory import Bound, bounds
from pruneproof.theory.theorems.bound import Assumption, holds, whole

NAMED = {bound.name: bound for bound in bounds()}
DECIDABLE = [(bound, one) for bound in bounds() for one in bound.assumptions if one.condition is not None]


def fails(name: str, values: Mapping[str, object]) -> bool:
    """Whether the bound reports a failing hypothesis and then gives no value."""
    bound = NAMED[name]
    try:
        reported = any(verdict is False for _, verdict in bound.check(**values))
    except PruneproofError:
        return True
    with pytest.raises(HypothesisError):
        bound.bound(**values)
    return reported


def test_no_example_is_lost_only_if_enough_neurons_are_kept() -> None:
    """The proof of T3 needs k > 4mV, or k > W√m after T2's threshold."""
    for name, extra in (("T3-dataset-size", {"kappa": 10}), ("T3-threshold", {"q": 0.9})):
        assert "k" in {symbol.name for symbol in NAMED[name].symbols}
        assert fails(name, {"m": 1000, "L_0": 0.5, "k": 1, "V": 1, "D_y": 1, "gamma_s": 1, **extra})


@pytest.mark.parametrize(
    ("k", "V", "gamma_s", "enough"),
    [
        (200, 1, 1, True),  # W√m = 31.6
        (4001, 1, 0.01, True),  # 4mV = 4000
        (4000, 1, 0.01, False),
        (200, 1, 0.03, False),  # W√m = 1054
        (10**6, 10**6, 0.03, False),  # T2's threshold comes later than T3's: mγ_s² < 1
    ],
)
def test_either_route_to_the_size_is_enough(k: int, V: float, gamma_s: float, enough: bool) -> None:
    values = {"m": 1000, "V": V, "k": k, "D_y": 1, "gamma_s": gamma_s, "L_0": 0.5, "q": 0.9}
    if enough:
        assert NAMED["T3-threshold"].bound(**values) > 0
    else:
        assert fails("T3-threshold", values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("S1", {"m": 100, "epsilon": 0.1}),
        ("S1-size", {"epsilon": 0.1, "delta": 0.1}),
        ("S1-error", {"m": 100, "delta": 0.1}),
        ("S1-sample", {"epsilon": 0.1, "delta": 0.1, "points": 10}),
        ("N3", {"n": 1000, "epsilon": 0.1, "neurons": 10, "delta": 0.1}),
    ],
)
def test_a_stretch_below_one_over_the_mass_is_refused(name: str, values: dict[str, float]) -> None:
    assert fails(name, {"C": 0.01, "Sigma": 1, **values})
    assert NAMED[name].bound(C=1, Sigma=1, **values) > 0


COUNTS = {
    (bound.name, str(rounded.args[0]))
    for bound, one in DECIDABLE
    if one.condition is not None
    for rounded in one.condition.atoms(sympy.floor)
}


@pytest.mark.parametrize(("name", "symbol"), sorted(COUNTS))
def test_numbers_of_things_are_whole(name: str, symbol: str) -> None:
    """Two and a half greedy steps, ten and a half draws: whatever the other values are."""
    [verdict] = {
        verdict
        for one, verdict in NAMED[name].check(**{symbol: Fraction(21, 2)})
        if one.condition is not None and sympy.floor(_symbol(name, symbol)) in one.condition.atoms(sympy.floor)
    }
    assert verdict is False


def _symbol(bound: str, name: str) -> sympy.Symbol:
    return next(symbol for symbol in NAMED[bound].symbols if symbol.name == name)


def test_every_symbol_that_counts_is_whole() -> None:
    """A symbol whose meaning begins with "number of", "L, number of", … counts."""
    counting = {
        (bound.name, symbol.name)
        for bound in bounds()
        for symbol, meaning in bound.symbols.items()
        if "number of" in meaning and "a number" not in meaning
    }
    unused = {(name, symbol) for name, symbol in counting if _symbol(name, symbol) not in NAMED[name].expr.free_symbols}
    assert counting - unused <= COUNTS


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("S2", {"share": 2}),
        ("S2-symmetric", {"share": 1}),
        ("CoreNet-size", {"Sigma": 1, "neurons": 1, "widest": 1, "delta": 0.1, "epsilon": 0.1}),
        ("CoreNet-kappa", {"neurons": 10, "widest": 20, "delta": 0.1}),
        ("SiPP-sample", {"C": 3, "neurons": 10, "widest": 5, "delta": 1}),
        ("S5-failure", {"beta": 0.9, "delta": 1.5}),
        ("S5-rank", {"beta": 1.5, "held_out": 10}),
        ("S3", {"rest": 10, "epsilon": 0.1, "b": 0.5, "r": 0.8}),
        ("S4", {"tau": 10, "epsilon": 0.1, "C": 1, "r": 1.1}),
        ("N1", {"epsilon": 0.5, "layers": 3, "amplification": 0.5}),
        ("G3", {"k": 3, "D": 1, "gamma": 0.5, "start": 2}),
        ("published-shape", {"k": 10, "c": 1, "d": 5, "m": 10, "N": 20}),
        ("scaling-single", {"d": 2, "epsilon_np": 0.1, "epsilon_up": 0.9, "p": 0.1, "gamma": 1}),
    ],
)
def test_values_without_meaning_are_not_answered(name: str, values: dict[str, float]) -> None:
    assert fails(name, values)


def test_conditions_are_over_the_symbols_of_the_bound() -> None:
    for bound, one in DECIDABLE:
        assert one.condition is not None
        assert one.condition.free_symbols <= set(bound.symbols)


def test_a_hypothesis_that_needs_a_symbol_not_given_yields_no_value() -> None:
    bound = NAMED["T3-threshold"]
    with pytest.raises(HypothesisError, match="not decided without k, V, D_y, gamma_s"):
        bound.bound(m=100, L_0=0.5, q=0.9)
    assert bound.bound(assume=True, m=100, L_0=0.5, q=0.9) == 29
    with pytest.raises(HypothesisError, match="fails at"):
        bound.bound(m=100, L_0=0.5, q=1.5)


def test_a_hypothesis_within_rounding_of_equality_is_not_taken_for_true() -> None:
    x = sympy.Symbol("x", positive=True)
    equal = sympy.Ge(sympy.log(x**2), 2 * sympy.log(x), evaluate=False)
    bound = Bound("b", "", "", "derived", {x: ""}, (Assumption("equal", equal),), x, "<=")
    with pytest.raises(HypothesisError, match="agree to"):
        bound.bound(x=3)
    assert bound.bound(assume=True, x=3) == 3


def test_solving_checks_hypotheses_too() -> None:
    g2 = NAMED["G2"]
    with pytest.raises(HypothesisError):
        g2.solve("k", value=0.02, D_y=1, gamma=2)
    with pytest.raises(HypothesisError):
        g2.solve("k", value=2, D_y=1, gamma=0.5)  # half a step
    assert abs(float(g2.solve("k", value=0.03, D_y=1, gamma=0.5)) - 4.08) < 0.01  # between two whole numbers


def test_parts_of_a_condition_are_decided_as_far_as_the_values_go() -> None:
    a, b = sympy.symbols("a b", positive=True)
    assert holds(sympy.Or(a > 1, b > 1), {a: fmpq(2)}) is True
    assert holds(sympy.And(a > 1, b > 1), {a: fmpq(1)}) is False
    assert holds(whole(a).condition, {}) is None
