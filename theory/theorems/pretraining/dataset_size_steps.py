"""Steps of T3 and of the published shape of the threshold (proof.md): where the logarithms come from.

Names: a = q^t·√(2mL₀), root = √(mV/k), u = c·d/m², v = u/(1-u).
"""

import sympy
from sympy import Eq, Ge, Gt, Le, Lt, Rational, exp, log, sqrt

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

f, y, a, root, k, m, V, W, bound = sympy.symbols("f y a root k m V W bound")
count, L_0, rate, rho = sympy.symbols("count L_0 rate rho", positive=True)
v = sympy.Symbol("v", positive=True)
c, d = sympy.symbols("c d", positive=True)
_pruned = (Ge(a, 0), Le(a, Rational(1, 2)), Ge(root, 0), Gt(k, 0), Gt(m, 0), Ge(V, 0), Eq(root**2 * k, m * V))
_enough = (log(count) + log(8 * L_0)) / (2 * rate)


T3 = (
    Obligation(
        "T3.sum",
        "labels ±1 and (f(x_j)-y_j)² ≤ Σ(f-y)² < 1 ⇒ y_j·f(x_j) > 0: every example is on the right side",
        Gt(y * f, 0),
        NegativeControl("Σ < 2", given=(Eq(y**2, 1), Lt((f - y) ** 2, 2))),
        (Eq(y**2, 1), Lt((f - y) ** 2, 1)),
    ),
    Obligation(
        "T3.halves",
        "q^t·√(2mL₀) ≤ 1/2 and k > 4mV ⇒ (q^t·√(2mL₀) + √(mV/k))² < 1",
        Lt((a + root) ** 2, 1),
        NegativeControl(
            "k > 2mV",
            given=(*_pruned, Gt(k, 2 * m * V)),
        ),
        (*_pruned, Gt(k, 4 * m * V)),
    ),
    Obligation(
        "T3.threshold",
        "at t = (log m + log 8L₀)/(2log(1/q)): q^t·√(2mL₀) = 1/2",
        Identity(exp(-rate * _enough) * sqrt(2 * count * L_0), Rational(1, 2)),
        NegativeControl("without log m", Identity(exp(-log(8 * L_0) / 2) * sqrt(2 * count * L_0), Rational(1, 2))),
    ),
    Obligation(
        "T3.residual",
        "‖r_0‖ = ρ√m, so L₀ = ρ²/2 and log m + log 8L₀ = 2·log(2ρ√m) = 2·log(2‖r_0‖)",
        Identity(log(count) + log(8 * (rho**2 / 2)), 2 * log(2 * rho * sqrt(count))),
        NegativeControl("ρ√m for 2ρ√m", Identity(log(count) + log(8 * (rho**2 / 2)), 2 * log(rho * sqrt(count)))),
    ),
    Obligation(
        "T3.interior",
        "ℓ ≤ W²/(2k²) and k > W√m ⇒ m·2ℓ < 1",
        Lt(2 * m * bound, 1),
        NegativeControl("k > W", given=(Gt(m, 0), Gt(W, 0), Gt(k, W), Le(2 * bound * k**2, W**2))),
        (Gt(m, 0), Gt(W, 0), Gt(k, 0), Gt(k**2, W**2 * m), Le(2 * bound * k**2, W**2)),
    ),
    Obligation(
        "T3.condition",
        "log(1/q) ≥ 1/(16κ) ⇒ (log m + log 8L₀)/(2log(1/q)) ≤ 8κ(log m + log 8L₀), rounded up by at most 1",
        Le(a / (2 * bound), 8 * k * a),
        NegativeControl("4κ", Le(a / (2 * bound), 4 * k * a)),
        (Ge(a, 0), Gt(k, 0), Gt(bound, 0), Ge(16 * k * bound, 1)),
    ),
)


SHAPE = (
    Obligation(
        "published-shape.above",
        "-1/log(1-u) ≤ 1/u for 0 < u < 1, with v = u/(1-u): the shape is at most (m²/(c·d))·log k",
        Gt(log(1 + v), v / (1 + v)),
        NegativeControl("2u for u", Gt(log(1 + v), 2 * v / (1 + v))),
        box={v: sympy.Interval.open(0, sympy.oo)},
        tail={v: 1},
    ),
    Obligation(
        "published-shape.below",
        "-1/log(1-u) ≥ 1/u - 1, with v = u/(1-u): it is at least (m²/(c·d) - 1)·log k, so m²/(c·d) leads",
        Gt(v, log(1 + v)),
        NegativeControl("(1/u - 1)·(3/2)", Gt(2 * v / 3, log(1 + v))),
        box={v: sympy.Interval.open(0, sympy.oo)},
        tail={v: 1},
    ),
    Obligation(
        "published-shape.leading-term",
        "the limit of t/(m²·log k) for m → ∞ is 1/(c·d)",
        Identity(sympy.Limit(-1 / log(1 - c * d / count**2) / count**2, count, sympy.oo), 1 / (c * d)),
        NegativeControl(
            "2/(c·d)", Identity(sympy.Limit(-1 / log(1 - c * d / count**2) / count**2, count, sympy.oo), 2 / (c * d))
        ),
    ),
)


OBLIGATIONS = (*T3, *SHAPE)
