"""Steps of the scaling law's algebra (proof.md). Names: K = (ε↑/ε_np)^(1/γ), big = K², x = m², t = p²."""

import sympy
from sympy import Abs, Eq, Ge, Gt, Le, Lt, exp, log, sqrt

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

m, p, gamma, dense, upper, target = sympy.symbols("m p gamma epsilon_np epsilon_up epsilon_k", positive=True)
big, x, y, t = sympy.symbols("big x y t")
L = sympy.Symbol("L", positive=True)
share = sympy.Symbol("share", positive=True)
r, squared = sympy.symbols("r squared")
_K = (upper / dense) ** (1 / gamma)
_complex = (m - sympy.I * p * _K) / (m - sympy.I * p)
_real = dense * ((m**2 + p**2 * _K**2) / (m**2 + p**2)) ** (gamma / 2)
_rational = dense * (m**2 + p**2 * (upper / dense) ** 2) / (m**2 + p**2)  # the law at γ = 2, a rational function
_logarithm = gamma / 2 * log(1 + share * (exp(2 * L / gamma) - 1))  # of the law over ε_np
_smallest = p * sqrt(((upper / dense) ** 2 - target / dense) / (target / dense - 1))  # m* at γ = 2
_bracket = (x + t * big) / (x + t)
_order = (Gt(x, 0), Gt(t, 0), Gt(big, 1))


OBLIGATIONS = (
    Obligation(
        "scaling.real-form",
        "‖(m - ipK)/(m - ip)‖² = (m² + p²K²)/(m² + p²)",
        Identity(Abs(_complex) ** 2, (m**2 + p**2 * _K**2) / (m**2 + p**2)),
        NegativeControl(
            "K for K²",
            Identity(Abs(_complex) ** 2, (m**2 + p**2 * _K) / (m**2 + p**2)),
        ),
    ),
    Obligation(
        "scaling.density-zero",
        "at m = 0 the law is ε↑",
        Identity(_real.subs(m, 0), upper),
        NegativeControl("ε_np", Identity(_real.subs(m, 0), dense)),
    ),
    Obligation(
        "scaling.dense",
        "for m → ∞ the law tends to ε_np (shown at γ = 2, the bracket itself)",
        Identity(sympy.Limit(_rational, m, sympy.oo), dense),
        NegativeControl("ε↑", Identity(sympy.Limit(_rational, m, sympy.oo), upper)),
    ),
    Obligation(
        "scaling.monotone",
        "m_1² < m_2² ⇒ the bracket falls: the law shows no double descent",
        Gt(_bracket, (y + t * big) / (y + t)),
        NegativeControl("K > 1 dropped", given=(Gt(x, 0), Gt(t, 0), Gt(y, x), Gt(big, 0))),
        (*_order, Gt(y, x)),
    ),
    Obligation(
        "scaling.between",
        "1 ≤ bracket ≤ K²: the error lies between ε_np and ε↑",
        sympy.And(Ge(_bracket, 1), Le(_bracket, big)),
        NegativeControl("K²/2", Le(_bracket, big / 2)),
        _order,
    ),
    Obligation(
        "scaling.power-law",
        "p ≪ m ≪ pK: the bracket is p²K²/m² up to a relative deviation of m²/(p²K²) + p²/m²",
        Le(Abs(_bracket * x - t * big) * x, x**2 + t**2 * big),
        NegativeControl("a quarter of it", Le(4 * Abs(_bracket * x - t * big) * x, x**2 + t**2 * big)),
        _order,
    ),
    Obligation(
        "scaling.steep",
        "γ → ∞: (γ/2)·ln(1 + share·(exp(2L/γ)-1)) → L·share, share = p²/(m²+p²)",
        Identity(sympy.Limit(_logarithm, gamma, sympy.oo), L * share),
        NegativeControl(
            "2L·share",
            Identity(sympy.Limit(_logarithm, gamma, sympy.oo), 2 * L * share),
        ),
    ),
    Obligation(
        "scaling.smallest",
        "m*² = p²(K²-r)/(r-1) gives bracket = r, so the law at m* is ε_k",
        Eq(_bracket, r),
        NegativeControl("K²-1 for K²-r", given=(*_order, Gt(r, 1), Lt(r, big), Eq(x * (r - 1), t * (big - 1)))),
        (*_order, Gt(r, 1), Lt(r, big), Eq(x * (r - 1), t * (big - r))),
    ),
    Obligation(
        "scaling.target",
        "ε_np·r^(γ/2) = ε_k for r = (ε_k/ε_np)^(2/γ)",
        Identity(dense * ((target / dense) ** (2 / gamma)) ** (gamma / 2), target),
        NegativeControl(
            "r = (ε_k/ε_np)^(1/γ)", Identity(dense * ((target / dense) ** (1 / gamma)) ** (gamma / 2), target)
        ),
    ),
    Obligation(
        "scaling.round-trip",
        "at γ = 2 the law at m* is ε_k, in closed form",
        Identity(_rational.subs(m, _smallest), target),
        NegativeControl(
            "p/2",
            Identity(_rational.subs(m, _smallest / 2), target),
        ),
    ),
)
