"""Sensitivity-informed pruning of one half-row: how wrong a sparse row can be (proofs: proof.md).

A half-row is the positive or the negative part of a row: w ≥ 0, met by activations a ≥ 0, z = Σ w_k a_k. The share of
weight j is g_j(x) = w_j a_j(x)/z(x), its sensitivity s_j = max over a sample S of g_j; Σ = Σ_j s_j; C is a number with
g_j(x) ≤ C s_j (1 on S). After Baykal et al. (arXiv 1910.05422); the constants of the derived statements are ours.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound, probability, whole

SOURCE = "theory/theorems/sensitivity/proof.md"
m = sympy.Symbol("m", positive=True)
rest = sympy.Symbol("rest", positive=True)
tau = sympy.Symbol("tau", positive=True)
epsilon = sympy.Symbol("epsilon", positive=True)
delta = sympy.Symbol("delta", positive=True)
C = sympy.Symbol("C", positive=True)
Sigma = sympy.Symbol("Sigma", positive=True)
dropped = sympy.Symbol("dropped", nonnegative=True)
share = sympy.Symbol("share", nonnegative=True)
b = sympy.Symbol("b", positive=True)
r = sympy.Symbol("r", positive=True)
beta = sympy.Symbol("beta", positive=True)
points = sympy.Symbol("points", positive=True)
held_out = sympy.Symbol("held_out", positive=True)
neurons = sympy.Symbol("neurons", positive=True)
widest = sympy.Symbol("widest", positive=True)
z_plus = sympy.Symbol("z_plus", nonnegative=True)
z_minus = sympy.Symbol("z_minus", nonnegative=True)
DRAWS = "number of draws with replacement"
ERROR = "ε, relative error of the half-row's sum"
FAILURE = "δ', probability that one half-row fails at one fixed point"
STRETCH = "C, the stretch from the sample to the point: 1 on S"
MASS = "Σ = Σ_j s_j, between 1 and min(n, |S|)"
_FIXED = Assumption("the point is fixed before the draw")
_DELTA = probability(delta, "a failure probability lies in (0, 1)")
_LIVE = Assumption("z > 0 at some point of S (a dead row is kept)", sympy.Ge(Sigma, 1), domain=True)
_COVERS = Assumption("g_j(x) ≤ C·s_j at the point, for every weight")
_STRETCH = Assumption("C·Σ ≥ 1, as the shares of a live point sum to 1", sympy.Ge(C * Sigma, 1), domain=True)
_DRAWS = whole(m)
_SHARE = Assumption("a share is at most 1", sympy.Le(share, 1), domain=True)
_ROW = (_FIXED, _COVERS, _LIVE, _STRETCH)


def spread(reach: sympy.Expr, most: sympy.Expr) -> sympy.Expr:
    """The variance bound of S3.

    Args:
        reach: B, the range of a term.
        most: R, the largest share of the rest.

    Returns:
        Max over r' ≤ `most` of r'(`reach` − r').
    """
    best = sympy.Min(most, reach / 2)
    return best * (reach - best)


def bernstein_error(reach: sympy.Expr, variance: sympy.Expr, draws: sympy.Expr, failure: sympy.Expr) -> sympy.Expr:
    """Bernstein's inequality solved for the error.

    Args:
        reach: The range of a term.
        variance: The variance of a term.
        draws: How many terms are averaged.
        failure: The failure probability.

    Returns:
        The ε at which 2·exp(−draws·ε²/(2(variance + reach·ε/3))) equals `failure`.
    """
    log = sympy.log(2 / failure)
    linear = log * reach / (3 * draws)
    return linear + sympy.sqrt(linear**2 + 2 * log * variance / draws)


S1 = Bound(
    name="S1",
    statement="Rand: P(|ẑ-z| > εz) ≤ 2exp(-3mε²/(CΣ(6+2ε))), counts ~ Multinomial(m, s/Σ), ŵ_j = c_j w_j Σ/(m s_j)",
    source=f"{SOURCE}, S1",
    status="derived",
    symbols={m: DRAWS, epsilon: ERROR, C: STRETCH, Sigma: MASS},
    assumptions=(*_ROW, _DRAWS),
    expr=2 * sympy.exp(-3 * m * epsilon**2 / (C * Sigma * (6 + 2 * epsilon))),
    sense="<=",
    quantity="P(|ẑ-z| > εz)",
)


S1_SIZE = Bound(
    name="S1-size",
    statement="Rand: m ≥ CΣ(6+2ε)/(3ε²)·ln(2/δ') draws are enough",
    source=f"{SOURCE}, S1",
    status="derived",
    symbols={epsilon: ERROR, delta: FAILURE, C: STRETCH, Sigma: MASS},
    assumptions=(*_ROW, _DELTA),
    expr=C * Sigma * (6 + 2 * epsilon) / (3 * epsilon**2) * sympy.log(2 / delta),
    sense="<=",
    quantity="m",
    suffices="enough draws",
    whole=True,
)


S1_ERROR = Bound(
    name="S1-error",
    statement="Rand: with probability 1-δ', |ẑ-z|/z ≤ u/3+√(u²/9+2u), u = CΣ ln(2/δ')/m",
    source=f"{SOURCE}, S1",
    status="derived",
    symbols={m: DRAWS, delta: FAILURE, C: STRETCH, Sigma: MASS},
    assumptions=(*_ROW, _DRAWS, _DELTA),
    expr=bernstein_error(C * Sigma, C * Sigma, m, delta),
    sense="<=",
    quantity="|ẑ-z|/z",
)


S2 = Bound(
    name="S2",
    statement="Det: with probability 1, (1-ε)z ≤ ẑ ≤ z, ε = max over S of the share of what was dropped",
    source=f"{SOURCE}, S2",
    status="derived",
    symbols={share: "max over S of Σ_dropped g_j(x), the max of the sum; outside S use S2-published"},
    assumptions=(Assumption("the point is in S"), _SHARE),
    expr=share,
    sense="<=",
    quantity="(z-ẑ)/z",
)


S2_PUBLISHED = Bound(
    name="S2-published",
    statement="Det: (1-ε)z ≤ ẑ ≤ z with ε = C·Σ_dropped s_j, the sum of the maxima",
    source=f"{SOURCE}, S2; the form of SiPPDet",
    status="derived",
    symbols={dropped: "Σ over the dropped weights of s_j", C: STRETCH},
    assumptions=(_COVERS,),
    expr=C * dropped,
    sense="<=",
    quantity="(z-ẑ)/z",
)


S2_SYMMETRIC = Bound(
    name="S2-symmetric",
    statement="Det with the kept weights divided by 1-ε/2: |ẑ-z| ≤ ε/(2-ε)·z",
    source=f"{SOURCE}, S2",
    status="derived",
    symbols={share: "ε of S2 before scaling, below 1"},
    assumptions=(Assumption("the point is in S"), Assumption("something is kept", sympy.Lt(share, 1), domain=True)),
    expr=share / (2 - share),
    sense="<=",
    quantity="|ẑ-z|/z",
)


S3 = Bound(
    name="S3",
    statement="prefix hybrid: keep the largest s_j, draw m' from the rest R: P ≤ 2exp(-m'ε²/(2(v+bε/3)))",
    source=f"{SOURCE}, S3",
    status="derived",
    symbols={
        rest: "m', number of draws from the rest",
        epsilon: ERROR,
        b: "CΣ_R, C times the sensitivities of the rest",
        r: "a bound on Σ_R g_j(x), at most min(1, b); v is the largest r'(b-r') over r' ≤ r",
    },
    assumptions=(
        _FIXED,
        _COVERS,
        Assumption("a share is at most 1", sympy.Le(r, 1), domain=True),
        Assumption("a share of the rest is at most C·Σ_R", sympy.Le(r, b), domain=True),
        whole(rest),
    ),
    expr=2 * sympy.exp(-rest * epsilon**2 / (2 * (spread(b, r) + b * epsilon / 3))),
    sense="<=",
    quantity="P(|ẑ-z| > εz)",
)


S3_ERROR = Bound(
    name="S3-error",
    statement="prefix hybrid: with probability 1-δ', |ẑ-z|/z ≤ λ+√(λ²+2v ln(2/δ')/m'), λ = b ln(2/δ')/(3m')",
    source=f"{SOURCE}, S3",
    status="derived",
    symbols={rest: S3.symbols[rest], delta: FAILURE, b: S3.symbols[b], r: S3.symbols[r]},
    assumptions=(*S3.assumptions, _DELTA),
    expr=bernstein_error(b, spread(b, r), rest, delta),
    sense="<=",
    quantity="|ẑ-z|/z",
)


S4 = Bound(
    name="S4",
    statement="Poisson: keep j with p_j = min(1, τs_j), ŵ = w/p: P ≤ 2exp(-τε²/(2C(r̃+ε/3)))",
    source=f"{SOURCE}, S4",
    status="derived",
    symbols={
        tau: "τ, the sampling rate; E nnz ≤ τΣ",
        epsilon: ERROR,
        C: STRETCH,
        r: "r̃ = Σ_{p<1}(1-p_j)g_j(x) at its largest, at most 1",
    },
    assumptions=(_FIXED, _COVERS, Assumption("a share is at most 1", sympy.Le(r, 1), domain=True)),
    expr=2 * sympy.exp(-tau * epsilon**2 / (2 * C * (r + epsilon / 3))),
    sense="<=",
    quantity="P(|ẑ-z| > εz)",
)


S4_ERROR = Bound(
    name="S4-error",
    statement="Poisson: with probability 1-δ', |ẑ-z|/z ≤ λ+√(λ²+2Cr̃ ln(2/δ')/τ), λ = C ln(2/δ')/(3τ)",
    source=f"{SOURCE}, S4",
    status="derived",
    symbols={tau: S4.symbols[tau], delta: FAILURE, C: STRETCH, r: S4.symbols[r]},
    assumptions=(*S4.assumptions, _DELTA),
    expr=bernstein_error(C, C * r, tau, delta),
    sense="<=",
    quantity="|ẑ-z|/z",
)


S4_SIZE = Bound(
    name="S4-size",
    statement="Poisson: E nnz ≤ τΣ",
    source=f"{SOURCE}, S4",
    status="derived",
    symbols={tau: S4.symbols[tau], Sigma: MASS},
    assumptions=(_LIVE,),
    expr=tau * Sigma,
    sense="<=",
    quantity="E nnz",
)


S5_RANK = Bound(
    name="S5-rank",
    statement="conformal C: the ⌈(1-β)(|V|+1)⌉-th smallest of max_j g_j/s_j on V; P(a new one exceeds it) ≤ β",
    source=f"{SOURCE}, S5(b)",
    status="derived",
    symbols={beta: "β, share of the population given up", held_out: "|V|, number of held-out points"},
    assumptions=(
        Assumption("held-out points and the new point are exchangeable given S"),
        probability(beta, "a share of the population lies in (0, 1)"),
        whole(held_out),
        Assumption("a finite rank needs enough points: β(|V|+1) ≥ 1", sympy.Ge(beta * (held_out + 1), 1)),
    ),
    expr=sympy.ceiling((1 - beta) * (held_out + 1)),
    sense="==",
    quantity="rank",
    whole=True,
)


S5_FAILURE = Bound(
    name="S5-failure",
    statement="with the conformal C in S1, S3 or S4, a new point fails with probability ≤ β + δ'",
    source=f"{SOURCE}, S5(b)",
    status="derived",
    symbols={beta: S5_RANK.symbols[beta], delta: FAILURE},
    assumptions=(*S5_RANK.assumptions[:2], _DELTA),
    expr=beta + delta,
    sense="<=",
    quantity="P(a new point fails)",
)


S6 = Bound(
    name="S6",
    statement="signed row: |ẑ-z| ≤ ε(z⁺+z⁻); the bias is kept",
    source=f"{SOURCE}, S6",
    status="derived",
    symbols={epsilon: "the larger ε of its half-rows", z_plus: "z⁺ (activation)", z_minus: "z⁻ (activation)"},
    assumptions=(Assumption("both half-rows hold"),),
    expr=epsilon * (z_plus + z_minus),
    sense="<=",
    quantity="|ẑ-z|",
)


SAMPLE = Bound(
    name="SiPP-sample",
    statement="|S| = ⌈C ln(8η*η/δ)⌉; the release takes C = 3, δ = 1e-16",
    source="Baykal et al., arXiv 1910.05422, as in its released code",
    status="published",
    symbols={C: "constant", neurons: "η, number of neurons", widest: "η*, the widest layer", delta: "δ_S"},
    assumptions=(
        Assumption("the paper's condition on the cumulative distribution of g, which data cannot show"),
        _DELTA,
        whole(neurons),
        whole(widest),
        Assumption("the widest layer is part of the network", sympy.Le(widest, neurons), domain=True),
    ),
    expr=sympy.ceiling(C * sympy.log(8 * widest * neurons / delta)),
    sense="<=",
    quantity="|S|",
    suffices="published sample size",
    whole=True,
)


S1_SAMPLE = Bound(
    name="S1-sample",
    statement="Rand, all points of S at once: m ≥ CΣ(6+2ε)/(3ε²)·ln(2|S|/δ') draws are enough",
    source=f"{SOURCE}, S1",
    status="derived",
    symbols={**S1_SIZE.symbols, points: "|S|, number of points"},
    assumptions=(Assumption("S is fixed before the draw"), _COVERS, _LIVE, _STRETCH, _DELTA, whole(points)),
    expr=S1_SIZE.expr.subs(delta, delta / points),
    sense="<=",
    quantity="m",
    suffices="enough draws",
    whole=True,
)
