"""Steps of the posteriors and Bayes errors of the Gaussian mixtures (theory/theorems/mixtures/proof.md).

Names: nu the distance of the means per coordinate, D the dimension, x one coordinate, a and b the posteriors of the two
halves of the XOR task, e the Bayes error of one half, rho the label noise.
"""

import sympy
from sympy import And, Ge, Gt, Le, Min, Rational, erf, exp, oo, pi, sqrt

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

x, t = sympy.symbols("x t", real=True)
nu, D, h = sympy.symbols("nu D h", positive=True)
a, b, e, rho, p, q = sympy.symbols("a b e rho p q")


def _density(value: sympy.Expr, centre: sympy.Expr) -> sympy.Expr:
    return exp(-((value - centre) ** 2) / 2) / sqrt(2 * pi)


_log_ratio = sympy.expand_log(sympy.log(_density(x, nu) / _density(x, sympy.S.Zero)), force=True)
_half = nu * sqrt(D) / 2
_exclusive = a * (1 - b) + b * (1 - a)
_units = (Ge(a, 0), Le(a, 1), Ge(b, 0), Le(b, 1))


OBLIGATIONS = (
    Obligation(
        "mixture.coordinate",
        "the log ratio of N(ν, 1) and N(0, 1) at one coordinate is νx - ν²/2",
        Identity(_log_ratio, nu * x - nu**2 / 2),
        NegativeControl("ν²", Identity(_log_ratio, nu * x - nu**2)),
    ),
    Obligation(
        "mixture.posterior",
        "with log ratio t = ν1ᵀx - ν²D/2 and equal classes the posterior is 1/(1+exp(-t)): r/(r+1) for r = exp(t)",
        Identity(exp(t) / (exp(t) + 1), 1 / (1 + exp(-t))),
        NegativeControl("exp(-2t)", Identity(exp(t) / (exp(t) + 1), 1 / (1 + exp(-2 * t)))),
    ),
    Obligation(
        "mixture.projection",
        "along 1/√D the means are ν√D apart and the log ratio is 0 halfway: ν√D·u - ν²D/2 = 0 at u = ν√D/2",
        Identity(nu * sqrt(D) * _half - nu**2 * D / 2, sympy.S.Zero),
        NegativeControl(
            "a third of the way", Identity(nu * sqrt(D) * (nu * sqrt(D) / 3) - nu**2 * D / 2, sympy.S.Zero)
        ),
    ),
    Obligation(
        "mixture.bayes-error",
        "beyond the halfway point h = ν√D/2, N(0, 1) has mass Φ(-h) = (1-erf(h/√2))/2, the other class as much below",
        Identity(sympy.Integral(_density(x, sympy.S.Zero), (x, h, oo)), (1 - erf(h / sqrt(2))) / 2),
        NegativeControl(
            "Φ(-2h)", Identity(sympy.Integral(_density(x, sympy.S.Zero), (x, h, oo)), (1 - erf(2 * h / sqrt(2))) / 2)
        ),
    ),
    Obligation(
        "mixture.xor-posterior",
        "P(1) of the exclusive or of independent halves, a(1-b) + b(1-a), is a probability",
        And(Ge(_exclusive, 0), Le(_exclusive, 1)),
        NegativeControl("a + b", Le(a + b, 1)),
        _units,
    ),
    Obligation(
        "mixture.xor-decision",
        "the exclusive or of the two best guesses is the best guess: P(1) - 1/2 = -2(a-1/2)(b-1/2)",
        Identity(_exclusive - Rational(1, 2), -2 * (a - Rational(1, 2)) * (b - Rational(1, 2))),
        NegativeControl(
            "factor 1",
            Identity(_exclusive - Rational(1, 2), -(a - Rational(1, 2)) * (b - Rational(1, 2))),
        ),
    ),
    Obligation(
        "mixture.xor-error",
        "the guess is wrong when exactly one half is: e(1-e) + (1-e)e = 2e(1-e)",
        Identity(e * (1 - e) + (1 - e) * e, 2 * e * (1 - e)),
        NegativeControl("2e", Identity(e * (1 - e) + (1 - e) * e, 2 * e)),
    ),
    Obligation(
        "mixture.noise",
        "labels flipped with probability ρ: the posterior is p(1-ρ) + (1-p)ρ = ρ + (1-2ρ)p",
        Identity(p * (1 - rho) + (1 - p) * rho, rho + (1 - 2 * rho) * p),
        NegativeControl("(1-ρ)p", Identity(p * (1 - rho) + (1 - p) * rho, rho + (1 - rho) * p)),
    ),
    Obligation(
        "mixture.noise-order",
        "ρ < 1/2 keeps the order of posteriors, so the best classifier stays the same",
        Gt(rho + (1 - 2 * rho) * p, rho + (1 - 2 * rho) * q),
        NegativeControl("ρ ≤ 1/2", given=(Gt(p, q), Ge(rho, 0), Le(rho, Rational(1, 2)))),
        (Gt(p, q), Ge(rho, 0), sympy.Lt(rho, Rational(1, 2))),
    ),
    Obligation(
        "mixture.noise-error",
        "under noise ρ ≤ 1/2 the Bayes risk min(p', 1-p') is ρ + (1-2ρ)·min(p, 1-p)",
        sympy.Eq(Min(rho + (1 - 2 * rho) * p, 1 - rho - (1 - 2 * rho) * p), rho + (1 - 2 * rho) * Min(p, 1 - p)),
        NegativeControl(
            "any ρ ≤ 1",
            given=(Ge(p, 0), Le(p, 1), Ge(rho, 0), Le(rho, 1)),
        ),
        (Ge(p, 0), Le(p, 1), Ge(rho, 0), Le(rho, Rational(1, 2))),
    ),
)
