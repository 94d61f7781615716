"""Steps of S1–S6 (theory/theorems/sensitivity/proof.md).

Names: g a share, s its sensitivity, C the stretch, mass = CΣ, z the half-row's sum, eps = ε, log2 = ln(2/δ'),
reach = b = CΣ_R, part = r' = Σ_R g.
"""

import sympy
from sympy import And, Eq, Ge, Gt, Le, Lt, Min, Rational, exp, log, sqrt

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

g, s, C, mass, eps, reach, part, most, variance = sympy.symbols("g s C mass eps reach part most variance")
p, tau, kept, lost, x, y, total, left, right = sympy.symbols("p tau kept lost x y total left right")
m, epsilon, Sigma, stretch, z, delta, rate, u_size = sympy.symbols("m epsilon Sigma C z delta tau u", positive=True)
u = sympy.Symbol("u", positive=True)
rest = sympy.Symbol("r", nonnegative=True)
n, rank, beta = sympy.symbols("n rank beta")
plus, minus, estimate_plus, estimate_minus = sympy.symbols("plus minus estimate_plus estimate_minus")
_share = (Ge(g, 0), Gt(s, 0), Gt(C, 0), Le(g, C * s))
_bennett = (1 + u) * log(1 + u) - u
_draws = stretch * Sigma * (6 + 2 * epsilon) / (3 * epsilon**2) * log(2 / delta)
_error = u_size / 3 + sqrt(u_size**2 / 9 + 2 * u_size)


RAND = (
    Obligation(
        "S1.bennett-bernstein",
        "Bennett's exponent is at least Bernstein's: (1+u)ln(1+u) - u > u²/(2+2u/3) for all u > 0",
        Gt(_bennett, u**2 / (2 + Rational(2, 3) * u)),
        NegativeControl("1/2 for 2/3", Gt(_bennett, u**2 / (2 + Rational(1, 2) * u))),
        box={u: sympy.Interval.open(0, sympy.oo)},
        tail={u: 4},
        trust=("Bennett's inequality for sums of independent bounded terms",),
    ),
    Obligation(
        "S1.mean",
        "a draw is z·g_j·Σ/s_j with probability s_j/Σ: its mean sums the z·g_j, which make z",
        Identity(s / Sigma * (z * g * Sigma / s), z * g),
        NegativeControl("1/q missing", Identity(s / Sigma * (z * g), z * g)),
    ),
    Obligation(
        "S1.range",
        "a draw is at most CΣz: g/s ≤ C",
        Le(g / s, C),
        NegativeControl("C/2", Le(g / s, C / 2)),
        _share,
    ),
    Obligation(
        "S1.second-moment",
        "E T² = z²Σ·Σ_j g_j²/s_j, each term g²/s ≤ C·g; the shares sum to 1, so E T² ≤ CΣz²",
        Le(g**2 / s, C * g),
        NegativeControl("C·g/4", Le(g**2 / s, C * g / 4)),
        _share,
    ),
    Obligation(
        "S1.exponent",
        "variance ≤ (CΣ-1)z², range CΣz: ε²/(2(CΣ-1+CΣε/3)) ≥ 3ε²/(CΣ(6+2ε))",
        Ge(eps**2 * mass * (6 + 2 * eps), 3 * eps**2 * 2 * (mass - 1 + mass * eps / 3)),
        NegativeControl("6+ε for 6+2ε", Ge(eps**2 * mass * (6 + eps), 3 * eps**2 * 2 * (mass - 1 + mass * eps / 3))),
        (Ge(mass, 1), Gt(eps, 0)),
    ),
    Obligation(
        "S1.size",
        "with m = CΣ(6+2ε)/(3ε²)·ln(2/δ') the failure probability is δ'",
        Identity(2 * exp(-3 * _draws * epsilon**2 / (stretch * Sigma * (6 + 2 * epsilon))), delta),
        NegativeControl(
            "m/4", Identity(2 * exp(-3 * _draws / 4 * epsilon**2 / (stretch * Sigma * (6 + 2 * epsilon))), delta)
        ),
    ),
    Obligation(
        "S1.error",
        "ε = u/3 + √(u²/9+2u) solves 3ε²/(6+2ε) = u, u = CΣ·ln(2/δ')/m",
        Identity(3 * _error**2, u_size * (6 + 2 * _error)),
        NegativeControl(
            "u/4 for u/3", Identity(3 * (_error - u_size / 12) ** 2, u_size * (6 + 2 * (_error - u_size / 12)))
        ),
    ),
)


DET = (
    Obligation(
        "S2.det",
        "ẑ = z - z·Σ_dropped g with 0 ≤ Σ_dropped g ≤ ε ⇒ (1-ε)z ≤ ẑ ≤ z",
        And(Ge(x - x * lost, (1 - eps) * x), Le(x - x * lost, x)),
        NegativeControl("ε/2", And(Ge(x - x * lost, (1 - eps / 2) * x), Le(x - x * lost, x))),
        (Ge(x, 0), Ge(lost, 0), Le(lost, eps)),
    ),
    Obligation(
        "S2.max-of-sum",
        "the max of the sum is at most the sum of the maxima: g_1 ≤ s_1, g_2 ≤ s_2 ⇒ g_1+g_2 ≤ s_1+s_2 (and so on)",
        Le(left + right, s + p),
        NegativeControl("max for sum", Le(left + right, sympy.Max(s, p))),
        (Ge(left, 0), Ge(right, 0), Le(left, s), Le(right, p)),
    ),
    Obligation(
        "S2.scaled-low",
        "(1-ε)/(1-ε/2) is 1 - ε/(2-ε)",
        Identity((1 - epsilon) / (1 - epsilon / 2), 1 - epsilon / (2 - epsilon)),
        NegativeControl("ε/2", Identity((1 - epsilon) / (1 - epsilon / 2), 1 - epsilon / 2)),
    ),
    Obligation(
        "S2.scaled-high",
        "1/(1-ε/2) is 1 + ε/(2-ε)",
        Identity(1 / (1 - epsilon / 2), 1 + epsilon / (2 - epsilon)),
        NegativeControl("ε/2", Identity(1 / (1 - epsilon / 2), 1 + epsilon / 2)),
    ),
)


_best = Min(most, reach / 2)
_parts = (Ge(part, 0), Le(part, most), Gt(reach, 0), Ge(most, 0))


PREFIX = (
    Obligation(
        "S3.variance",
        "E T² ≤ b·r'z², E T = r'z ⇒ variance ≤ r'(b-r')z²",
        Le(variance, part * (reach - part) * x**2),
        NegativeControl("r'·b/2", Le(variance, part * reach / 2 * x**2)),
        (Ge(x, 0), Ge(part, 0), Le(part, reach), Le(variance + (part * x) ** 2, reach * part * x**2)),
    ),
    Obligation(
        "S3.largest",
        "r'(b-r') ≤ ρ(b-ρ) for r' ≤ r, with ρ = min(r, b/2)",
        Le(part * (reach - part), _best * (reach - _best)),
        NegativeControl(
            "min(r, b/4)", Le(part * (reach - part), Min(most, reach / 4) * (reach - Min(most, reach / 4)))
        ),
        _parts,
    ),
    Obligation(
        "S3.no-worse",
        "k = 0: v ≤ b for r' ≤ 1, so 2(v+bε/3) ≤ b(6+2ε)/3 and S3 is at least S1",
        Le(2 * (part * (reach - part) + reach * eps / 3), reach * (6 + 2 * eps) / 3),
        NegativeControl("6+ε", Le(2 * (part * (reach - part) + reach * eps / 3), reach * (6 + eps) / 3)),
        (Ge(part, 0), Le(part, 1), Le(part, reach), Gt(reach, 0), Gt(eps, 0)),
    ),
)


_drawn = (*_share, Gt(tau, 0), Eq(p, tau * s), Lt(p, 1))


POISSON = (
    Obligation(
        "S4.variance",
        "p = τs < 1: (1-p)/p·g² ≤ (C/τ)(1-p)g, which sums to (C/τ)·r̃",
        Le((1 - p) * g**2 * tau, C * (1 - p) * g * p),
        NegativeControl("C/4", Le((1 - p) * g**2 * tau, C / 4 * (1 - p) * g * p)),
        _drawn,
    ),
    Obligation(
        "S4.range",
        "a term (1/p-1)g or -g is at most C/τ in size",
        And(Le((1 / p - 1) * g, C / tau), Le(g, C / tau)),
        NegativeControl("C/(2τ)", And(Le((1 / p - 1) * g, C / (2 * tau)), Le(g, C / tau))),
        _drawn,
    ),
    Obligation(
        "S4.exponent",
        "Bernstein's exponent ε²/(2(C·r̃/τ + Cε/(3τ))) is τε²/(2C(r̃+ε/3))",
        Identity(
            epsilon**2 / (2 * (stretch * rest / rate + stretch * epsilon / (3 * rate))),
            rate * epsilon**2 / (2 * stretch * (rest + epsilon / 3)),
        ),
        NegativeControl(
            "C missing",
            Identity(
                epsilon**2 / (2 * (stretch * rest / rate + stretch * epsilon / (3 * rate))),
                rate * epsilon**2 / (2 * (rest + epsilon / 3)),
            ),
        ),
    ),
    Obligation(
        "S4.size",
        "min(1, τs) ≤ τs, so the expected number kept is at most τΣ",
        Le(Min(1, y), y),
        NegativeControl("τs/2", Le(Min(1, y), y / 2)),
        (Ge(y, 0),),
    ),
)


_signed = sympy.Abs(estimate_plus - estimate_minus - plus + minus)


POPULATION = (
    Obligation(
        "S5.rank",
        "rank ≥ (1-β)(n+1) of n+1 exchangeable values ⇒ the new one exceeds it with probability 1 - rank/(n+1) ≤ β",
        Le(1 - rank / (n + 1), beta),
        NegativeControl("rank ≥ (1-β)n", given=(Ge(n, 1), Ge(beta, 0), Le(beta, 1), Ge(rank, (1 - beta) * n))),
        (Ge(n, 1), Ge(beta, 0), Le(beta, 1), Ge(rank, (1 - beta) * (n + 1))),
        trust=("exchangeability of the held-out points and the new point",),
    ),
    Obligation(
        "S5.union",
        "P(A or B) ≤ P(A) + P(B): a bad C (β) or a bad draw (δ')",
        Le(total, left + right),
        NegativeControl("the larger of the two", Le(total, sympy.Max(left, right))),
        (Ge(left, 0), Ge(right, 0), Ge(x, 0), Le(x, left), Le(x, right), Eq(total, left + right - x)),
    ),
    Obligation(
        "S6.signed",
        "abs(ẑ⁺-z⁺) ≤ εz⁺ and abs(ẑ⁻-z⁻) ≤ εz⁻ ⇒ abs((ẑ⁺-ẑ⁻) - (z⁺-z⁻)) ≤ ε(z⁺+z⁻)",
        Le(_signed, eps * (plus + minus)),
        NegativeControl("ε·abs(z⁺-z⁻)", Le(_signed, eps * sympy.Abs(plus - minus))),
        (
            Ge(plus, 0),
            Ge(minus, 0),
            Ge(eps, 0),
            Le(sympy.Abs(estimate_plus - plus), eps * plus),
            Le(sympy.Abs(estimate_minus - minus), eps * minus),
        ),
    ),
)


OBLIGATIONS = (*RAND, *DET, *PREFIX, *POISSON, *POPULATION)
