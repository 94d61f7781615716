"""Steps of G1, G2, G3 and of the margin (proof.md), one output coordinate or one scalar product at a time.

Names: s the comparison point = the mean of φ, w = z_{k-1} - (k-1)y,
rho = ρ_k = k√(2ℓ(u_k)), beta = ‖s-y‖, x = ‖w_{k-1}‖, E = ‖u-s‖.
"""

import sympy
from sympy import Eq, Ge, Gt, Le, Or, sqrt

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

w, s, phi, y = sympy.symbols("w s phi y", real=True)
rho, beta, V, v, a, b, p, inner = sympy.symbols("rho beta V v a b p inner")
left, right, alpha, tau, h, k = sympy.symbols("left right alpha tau h k")
now, before, loss = sympy.symbols("now before loss")
x, gamma, W, D, c, S, E, low, high = sympy.symbols("x gamma W D c S E low high")
size, dense = sympy.symbols("size dense", positive=True)
spread = sympy.Symbol("spread", nonnegative=True)
ratio, power, first, last = sympy.symbols("ratio power first last")
_second = s**2 + spread  # the mean of φ², by the definition of V
_steps = (Ge(beta, 0), Ge(a, 0), Ge(b, 0), Ge(v, 0), Eq(b**2, a**2 + 1))
_first_form = (Ge(rho, 0), Le(rho, a**2 * beta + a * v))  # a = √(k-1), b = √k, v = √V


G1 = (
    Obligation(
        "G1.average",
        "the mean over α of (w+φ)² is (w+s)² + V, coordinate by coordinate, for any number of neurons",
        Identity(w**2 + 2 * w * s + _second, (w + s) ** 2 + spread),
        NegativeControl("V/4 for V", Identity(w**2 + 2 * w * s + _second, (w + s) ** 2 + spread / 4)),
    ),
    Obligation(
        "G1.minimum",
        "the best neuron is at most the average: p ≤ left, p ≤ right ⇒ p ≤ α·left + (1-α)·right (and so on)",
        Le(p, alpha * left + (1 - alpha) * right),
        NegativeControl("α outside [0, 1]", given=(Le(p, left), Le(p, right))),
        (Le(p, left), Le(p, right), Ge(alpha, 0), Le(alpha, 1)),
    ),
    Obligation(
        "G1.triangle",
        "‖(u-y)+(s-y)‖² ≤ (ρ+β)² (Cauchy–Schwarz for the scalar product `inner`)",
        Le(rho**2 + 2 * inner + beta**2, (rho + beta) ** 2),
        NegativeControl("ρ² + β² for (ρ+β)²", Le(rho**2 + 2 * inner + beta**2, rho**2 + beta**2)),
        (Ge(rho, 0), Ge(beta, 0), Le(inner, rho * beta)),
    ),
    Obligation(
        "G1.base",
        "induction, k = 1: ρ_1² ≤ β² + V ⇒ ρ_1 ≤ β + √V",
        Le(rho, beta + v),
        NegativeControl("√V/2 for √V", Le(rho, beta + v / 2)),
        (Ge(rho, 0), Ge(beta, 0), Ge(v, 0), Eq(v**2, V), Le(rho**2, beta**2 + V)),
    ),
    Obligation(
        "G1.step",
        "induction, k-1 → k: ρ_{k-1} ≤ (k-1)β + √((k-1)V) ⇒ (ρ_{k-1}+β)² + V ≤ (kβ + √(kV))²",
        Le((rho + beta) ** 2 + v**2, (b**2 * beta + b * v) ** 2),
        NegativeControl("V/4 for V on the right", Le((rho + beta) ** 2 + v**2, (b**2 * beta + b * v / 2) ** 2)),
        (*_steps, *_first_form),
    ),
    Obligation(
        "G1.loss",
        "ρ_k ≤ kβ + √(kV) is √ℓ(u_k) ≤ √ℓ(s) + √(V/(2k)): with β = √(2ℓ(s)), divide by k√2",
        Identity(
            (size * sqrt(2 * dense) + sqrt(size * spread)) / (size * sqrt(2)), sqrt(dense) + sqrt(spread / (2 * size))
        ),
        NegativeControl(
            "√(V/(4k))",
            Identity(
                (size * sqrt(2 * dense) + sqrt(size * spread)) / (size * sqrt(2)),
                sqrt(dense) + sqrt(spread / (4 * size)),
            ),
        ),
    ),
    Obligation(
        "G1.convexity",
        "((1-τ)a + τb)² ≤ (1-τ)a² + τb² for 0 ≤ τ = 1/k ≤ 1",
        Le(((1 - tau) * a + tau * b) ** 2, (1 - tau) * a**2 + tau * b**2),
        NegativeControl("τ > 1 allowed", given=(Ge(tau, 0),)),
        (Ge(tau, 0), Le(tau, 1)),
    ),
    Obligation(
        "G1.harmonic-step",
        "induction: (k-1)ℓ_{k-1} ≤ (k-1)ℓ + V·H_{k-1}/2 and kℓ_k ≤ (k-1)ℓ_{k-1} + ℓ + V/(2k) ⇒ kℓ_k ≤ kℓ + V·H_k/2",
        Le(k * now, k * loss + V * (h + 1 / k) / 2),
        NegativeControl("H_{k-1} for H_k", Le(k * now, k * loss + V * h / 2)),
        (
            Ge(k, 1),
            Ge(V, 0),
            Le((k - 1) * before, (k - 1) * loss + V * h / 2),
            Le(k * now, (k - 1) * before + loss + V / (2 * k)),
        ),
    ),
)


_ball = (Gt(gamma, 0), Gt(D, 0), Ge(W, D), Ge(2 * gamma * W, D**2), Ge(x, 0), Le(x, W))


G2 = (
    Obligation(
        "G2.vertex",
        "y - γw/‖w‖ is a mean of neurons, so the scalar products ⟨w, Φ-y⟩ average to -γ‖w‖ and one is no larger",
        Or(Le(left, -gamma * x), Le(right, -gamma * x)),
        NegativeControl("-2γ‖w‖ for -γ‖w‖", Or(Le(left, -2 * gamma * x), Le(right, -2 * gamma * x))),
        (Ge(alpha, 0), Le(alpha, 1), Eq(alpha * left + (1 - alpha) * right, -gamma * x), Gt(x, 0), Gt(gamma, 0)),
    ),
    Obligation(
        "G2.expansion",
        "(w + Φ - y)² = w² + 2w(Φ-y) + (Φ-y)², coordinate by coordinate",
        Identity((w + phi - y) ** 2, w**2 + 2 * w * (phi - y) + (phi - y) ** 2),
        NegativeControl("w(Φ-y) once", Identity((w + phi - y) ** 2, w**2 + w * (phi - y) + (phi - y) ** 2)),
    ),
    Obligation(
        "G2.base",
        "induction, k = 1: w_0 = 0, so ‖w_1‖ ≤ D_y ≤ W",
        Le(x, W),
        NegativeControl("W/2 for W", Le(x, W / 2)),
        (Ge(x, 0), Le(x, D), Ge(W, D)),
    ),
    Obligation(
        "G2.invariance",
        "induction: 0 ≤ x ≤ W, W ≥ D_y, 2γW ≥ D_y² ⇒ x² - 2γx + D_y² ≤ W²",
        Le(x**2 - 2 * gamma * x + D**2, W**2),
        NegativeControl("W ≥ D_y dropped", given=tuple(condition for condition in _ball if condition != Ge(W, D))),
        _ball,
    ),
    Obligation(
        "G2.conclusion",
        "‖w_k‖ ≤ W and u_k - y = w_k/k ⇒ ½‖u_k-y‖² ≤ W²/(2k²)",
        Le((x / k) ** 2 / 2, W**2 / (2 * k**2)),
        NegativeControl("W²/(4k²)", Le((x / k) ** 2 / 2, W**2 / (4 * k**2))),
        (Ge(k, 1), Ge(x, 0), Le(x, W)),
    ),
)


_search = (Gt(D, 0), Ge(gamma, 0), Le(gamma, D), Ge(E, 0), Le(E, D), Ge(S, 0), Le(S, D**2), Eq(tau * D**2, gamma * E))


G3 = (
    Obligation(
        "G3.vertex",
        "some neuron has ⟨u-s, Φ-s⟩ ≤ -γE, hence ⟨u-s, Φ-u⟩ ≤ -γE - E² ≤ -γE",
        Le(inner - E**2, -gamma * E),
        NegativeControl("⟨u-s, Φ-s⟩ ≤ 0 only", given=(Le(inner, 0), Ge(E, 0), Ge(gamma, 0))),
        (Le(inner, -gamma * E), Ge(E, 0), Ge(gamma, 0)),
    ),
    Obligation(
        "G3.step-length",
        "the trial step τ = γE/D² is in [0, 1]",
        sympy.And(Ge(tau, 0), Le(tau, 1)),
        NegativeControl("γ ≤ D dropped", given=tuple(condition for condition in _search if condition != Le(gamma, D))),
        _search,
    ),
    Obligation(
        "G3.line-search",
        "at τ = γE/D²: E² + 2τc + τ²S ≤ E²(1-γ²/D²) with c ≤ -γE, S ≤ D²; the best step is no worse",
        Le((E**2 + 2 * tau * c + tau**2 * S) * D**2, E**2 * (D**2 - gamma**2)),
        NegativeControl("(1-2γ²/D²)", Le((E**2 + 2 * tau * c + tau**2 * S) * D**2, E**2 * (D**2 - 2 * gamma**2))),
        (*_search, Le(c, -gamma * E)),
    ),
    Obligation(
        "G3.contraction",
        "induction: d_k ≤ r·d_{k-1} and d_{k-1} ≤ r^(k-1)·d_0 ⇒ d_k ≤ r^k·d_0",
        Le(now, ratio * power * first),
        NegativeControl("one power more", Le(now, ratio**2 * power * first)),
        (Ge(ratio, 0), Le(ratio, 1), Ge(power, 0), Ge(first, 0), Le(now, ratio * before), Le(before, power * first)),
    ),
)


MARGIN = (
    Obligation(
        "MARGIN.pointwise",
        "x in [low, high] ⇒ x² ≤ (low+high)x - low·high; with mean 0 the variance is at most high·(-low)",
        Le(x**2, (low + high) * x - low * high),
        NegativeControl("x ≤ high dropped", given=(Ge(x, low),)),
        (Ge(x, low), Le(x, high)),
        trust=("Bhatia–Davis inequality (proved here by this step and linearity of the mean)",),
    ),
    Obligation(
        "MARGIN.support",
        "λ ≤ variance ≤ high·(-low), -low ≤ R ⇒ high ≥ λ/R: every direction of the span has a neuron that far out",
        Ge(high, c / D),
        NegativeControl("2λ/R", Ge(high, 2 * c / D)),
        (Gt(D, 0), Ge(c, 0), Ge(high, 0), Le(low, 0), Ge(low, -D), Le(c, -high * low)),
    ),
    Obligation(
        "MARGIN.target",
        "a point within γ_s - √(2L) of y is within γ_s of s̄, as ‖s̄-y‖ = √(2L)",
        Le(last, gamma),
        NegativeControl("γ_s for the radius around y", given=(Ge(b, 0), Le(x, gamma), Le(last, x + b))),
        (Ge(b, 0), Le(x, gamma - b), Le(last, x + b)),
    ),
)


OBLIGATIONS = (*G1, *G2, *G3, *MARGIN)
