"""Steps of N1–N4 (theory/theorems/network/proof.md).

Names: xi = ξ_{l-1}, the relative error before layer l; D = D^l; Q = Π_{k>l}D^k ≥ 1, so Π_{k≥l}D^k = D·Q;
A = (1+ε')^{l-1}; y = √(m_i/p_i) relative to its mean.
"""

import sympy
from sympy import Abs, And, Eq, Ge, Gt, Le, Lt, Max, Min, log

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

xi, e, D, Q, A, budget = sympy.symbols("xi e D Q A budget")
x, y, z, shift, upper, low, high = sympy.symbols("x y z shift upper low high")


gain, error, incoming, residual, first, second, new_first, new_second = sympy.symbols(
    "gain error incoming residual first second new_first new_second"
)


v = sympy.Symbol("v", positive=True)
neurons, delta, cost, mass, multiplier, draws = sympy.symbols("neurons delta cost mass multiplier draws", positive=True)
_layer = (Ge(Q, 1), Ge(A, 1), Ge(xi, 0), Gt(budget, 0), Eq(e * D * Q, budget), Le(xi * D * Q, A - 1))
_before_output = (Ge(xi, 0), Le(xi * Q, A - 1), Le(A - 1, e), Lt(e, 1))


def _relu(argument: sympy.Expr) -> sympy.Expr:
    return Max(argument, 0)


RELATIVE = (
    Obligation(
        "N1.compose",
        "(1±ε)(1±ξ) stays within 1 ± ((1+ε)(1+ξ)-1)",
        Le(Abs((1 + x) * (1 + y) - 1), (1 + e) * (1 + xi) - 1),
        NegativeControl("ε+ξ without the product", Le(Abs((1 + x) * (1 + y) - 1), e + xi)),
        (Ge(e, 0), Ge(xi, 0), Le(Abs(x), e), Le(Abs(y), xi)),
    ),
    Obligation(
        "N1.base",
        "induction, input layer: ξ_0 = 0 ≤ ((1+ε')⁰-1)/ΠD",
        Le(xi * D * Q, A - 1),
        NegativeControl("A > 0 for A = 1", given=(Eq(xi, 0), Gt(A, 0), Ge(D, 1), Ge(Q, 1))),
        (Eq(xi, 0), Eq(A, 1), Ge(D, 1), Ge(Q, 1)),
    ),
    Obligation(
        "N1.step",
        "induction: ξ·D·Q ≤ A-1, ε_l·D·Q = ε' ⇒ D((1+ε_l)(1+ξ)-1)·Q ≤ A(1+ε')-1",
        Le(D * ((1 + e) * (1 + xi) - 1) * Q, A * (1 + budget) - 1),
        NegativeControl("D ≥ 1 dropped", given=(*_layer, Gt(D, 0))),
        (*_layer, Ge(D, 1)),
    ),
    Obligation(
        "N1.small",
        "the relative error in front of any layer is at most A-1 ≤ ε < 1, as D ≥ 1 behind it",
        Lt(xi, 1),
        NegativeControl("D ≥ 1 dropped", given=(*_before_output, Gt(Q, 0))),
        (*_before_output, Ge(Q, 1)),
    ),
    Obligation(
        "N1.sign",
        "abs(ẑ-z) ≤ ξ·abs(z) with ξ < 1 ⇒ abs(relu(ẑ)-relu(z)) ≤ ξ·relu(z): no sign turns",
        Le(Abs(_relu(x) - _relu(z)), xi * _relu(z)),
        NegativeControl("ξ < 1 dropped", given=(Ge(xi, 0), Le(Abs(x - z), xi * Abs(z)))),
        (Ge(xi, 0), Lt(xi, 1), Le(Abs(x - z), xi * Abs(z))),
    ),
    Obligation(
        "N1.conclusion",
        "(1+ε')^(L-1) ≤ exp((L-1)ε') = 1+ε, as ln(1+v) ≤ v for all v > 0",
        Gt(v, log(1 + v)),
        NegativeControl("v/2", Gt(v / 2, log(1 + v))),
        box={v: sympy.Interval.open(0, sympy.oo)},
        tail={v: 1},
    ),
)


_change = first * incoming - second * residual  # ŵâ - wa
_moved = (Le(Abs(new_first - first), error), Le(Abs(new_second - second), error))


ABSOLUTE = (
    Obligation(
        "N2.split",
        "ẑ - z = Ŵ(â-a) + (Ŵ-W)a, term by term",
        Identity(_change, first * (incoming - residual) + (first - second) * residual),
        NegativeControl(
            "W(â-a)",
            Identity(_change, second * (incoming - residual) + (first - second) * residual),
        ),
    ),
    Obligation(
        "N2.layer",
        "abs(Σŵ(â-a)) ≤ gain and abs((Ŵ-W)a) ≤ r ⇒ abs(ẑ-z) ≤ gain + r",
        Le(Abs(x + y), gain + residual),
        NegativeControl("the larger of the two", Le(Abs(x + y), Max(gain, residual))),
        (Le(Abs(x), gain), Le(Abs(y), residual)),
    ),
    Obligation(
        "N2.relu",
        "ReLU is 1-Lipschitz: abs(relu(x)-relu(y)) ≤ abs(x-y)",
        Le(Abs(_relu(x) - _relu(y)), Abs(x - y)),
        NegativeControl("½-Lipschitz", Le(Abs(_relu(x) - _relu(y)), Abs(x - y) / 2)),
    ),
    Obligation(
        "N2.class",
        "f_1 - f_2 > 2e and both logits move by at most e ⇒ f̂_1 > f̂_2",
        Gt(new_first, new_second),
        NegativeControl(
            "margin > e",
            given=(*_moved, Gt(first - second, error)),
        ),
        (*_moved, Gt(first - second, 2 * error)),
    ),
)


_inside = (sympy.Lt(low, high), Ge(shift, low), Le(shift, high))


def _chord(at_low: sympy.Expr, at_high: sympy.Expr) -> sympy.Expr:
    """The chord at `shift` between values at `low` and `high`, times high - low."""
    return at_low * (high - shift) + at_high * (shift - low)


REGION = (
    Obligation(
        "N2'.between",
        "0 ∧ δ ≤ relu(z+δ)-relu(z) ≤ 0 ∨ δ",
        And(Le(Min(0, shift), _relu(z + shift) - _relu(z)), Le(_relu(z + shift) - _relu(z), Max(0, shift))),
        NegativeControl("δ/2 above", Le(_relu(z + shift) - _relu(z), Max(0, shift / 2))),
    ),
    Obligation(
        "N2'.in-z",
        "relu(z+δ)-relu(z) does not fall in z when δ ≥ 0: its extremes over [low, high] are at the ends",
        Le(_relu(x + shift) - _relu(x), _relu(y + shift) - _relu(y)),
        NegativeControl("any δ", given=(Le(x, y),)),
        (Le(x, y), Ge(shift, 0)),
    ),
    Obligation(
        "N2'.in-z-falling",
        "relu(z+δ)-relu(z) does not rise in z when δ ≤ 0: its extremes over [low, high] are at the ends here too",
        Ge(_relu(x + shift) - _relu(x), _relu(y + shift) - _relu(y)),
        NegativeControl("any δ", given=(Le(x, y),)),
        (Le(x, y), Le(shift, 0)),
    ),
    Obligation(
        "N2'.in-delta",
        "relu(z+δ)-relu(z) does not fall in δ",
        Le(_relu(z + x) - _relu(z), _relu(z + y) - _relu(z)),
        NegativeControl(
            "strictly rising", sympy.Lt(_relu(z + x) - _relu(z), _relu(z + y) - _relu(z)), given=(sympy.Lt(x, y),)
        ),
        (Le(x, y),),
    ),
    Obligation(
        "N2'.chord",
        "max(0, δ) lies below its chord over [low, high]",
        Le(_relu(shift) * (high - low), high * (shift - low)),
        NegativeControl("half the slope", Le(_relu(shift) * (high - low), high * (shift - low) / 2)),
        (sympy.Lt(low, 0), Gt(high, 0), Ge(shift, low), Le(shift, high)),
    ),
    Obligation(
        "N2'.chord-active",
        "z̲ ≥ 0: max(δ, -z̲) lies below its chord over [low, high] (z for z̲)",
        Le(Max(shift, -z) * (high - low), _chord(Max(low, -z), Max(high, -z))),
        NegativeControl("the chord from low alone", Le(Max(shift, -z) * (high - low), _chord(low, Max(high, -z)))),
        (Ge(z, 0), *_inside),
    ),
    Obligation(
        "N2'.chord-inactive",
        "z̄ < 0: max(0, δ+z̄) lies below its chord over [low, high] (z for z̄)",
        Le(_relu(shift + z) * (high - low), _chord(_relu(low + z), _relu(high + z))),
        NegativeControl(
            "the chord to high without z̄'s part", Le(_relu(shift + z) * (high - low), _chord(_relu(low + z), z))
        ),
        (sympy.Lt(z, 0), *_inside),
    ),
)


_stationary = (multiplier * cost**2 * mass) ** sympy.Rational(1, 3)


SIZE = (
    Obligation(
        "N3.union",
        "2η half-rows at δ' = δ/(2η) fail with probability at most δ together; ln(2/δ') = ln(4η/δ)",
        Identity(log(2 / (delta / (2 * neurons))), log(4 * neurons / delta)),
        NegativeControl("ln(2η/δ)", Identity(log(2 / (delta / (2 * neurons))), log(2 * neurons / delta))),
    ),
    Obligation(
        "N3.draws",
        "distinct weights among `draws` draws from n: at most min(n, ⌈draws⌉)",
        Le(x, Min(y, z)),
        NegativeControl("half the draws", Le(x, Min(y, z / 2))),
        (Ge(x, 0), Le(x, y), Le(x, z)),
    ),
    Obligation(
        "N4.tangent",
        "the tangent of t^(-1/2) at t = 1 lies below it: 1/y ≥ (3-y²)/2 with y = √t (z3: (y-1)²(y+2) ≥ 0)",
        Ge(2, 3 * y - y**3),
        NegativeControl("slope doubled", Ge(2, 4 * y - 2 * y**3)),
        (Gt(y, 0),),
    ),
    Obligation(
        "N4.stationary",
        "m_i ∝ (c_i²Σ_i)^(1/3) makes every marginal gain c_i√Σ_i·m_i^(-3/2) equal (here to μ^(-1/2))",
        Identity(cost * sympy.sqrt(mass) * _stationary ** sympy.Rational(-3, 2), multiplier ** sympy.Rational(-1, 2)),
        NegativeControl(
            "m_i ∝ (c_iΣ_i)^(1/3)",
            Identity(
                cost * sympy.sqrt(mass) * ((multiplier * cost * mass) ** sympy.Rational(1, 3)) ** sympy.Rational(-3, 2),
                multiplier ** sympy.Rational(-1, 2),
            ),
        ),
    ),
)


OBLIGATIONS = (*RELATIVE, *ABSOLUTE, *REGION, *SIZE)
