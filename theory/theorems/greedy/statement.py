"""Greedy forward selection with replacement: how fast the loss of k selected neurons falls (proofs: proof.md).

Neuron i has the outputs Φ_i on the data, the dense network is their mean s̄ = (1/N)ΣΦ_i, ℓ(z) = ½‖z-y‖², and greedy
selection picks q_k = argmin_q ℓ((z_{k-1}+Φ_q)/k), z_k = z_{k-1}+Φ_{q_k}, u_k = z_k/k. The rule is that of Ye et al.
(arXiv 2003.01794), whose released code selects without replacement: these statements do not cover that.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound, whole

SOURCE = "theory/theorems/greedy/proof.md"
k = sympy.Symbol("k", positive=True)
loss = sympy.Symbol("loss", nonnegative=True)
V = sympy.Symbol("V", nonnegative=True)
D_y = sympy.Symbol("D_y", nonnegative=True)
D = sympy.Symbol("D", positive=True)
gamma = sympy.Symbol("gamma", positive=True)
gamma_s = sympy.Symbol("gamma_s", positive=True)
start = sympy.Symbol("start", nonnegative=True)
eigenvalue = sympy.Symbol("eigenvalue", nonnegative=True)
radius = sympy.Symbol("radius", positive=True)
SIZE = "number of greedy steps, each neuron counted as often as it was chosen"
_REPLACEMENT = Assumption("selection is with replacement, from the empty set, by exact minimisation")
_STEPS = whole(k, "at least one step, counted in whole numbers")
_LOSS = "ℓ(u_k)"


G1 = Bound(
    name="G1",
    statement="ℓ(u_k) ≤ (√ℓ(s) + √(V_s/(2k)))² for every s = Σα_iΦ_i in the hull; the dense network is s = s̄",
    source=f"{SOURCE}, G1, first form",
    status="derived",
    symbols={
        k: SIZE,
        loss: "ℓ(s), the loss of the comparison point, e.g. of the dense network",
        V: "V_s = Σα_i‖Φ_i-s‖², the spread of the neurons around s (squared output)",
    },
    assumptions=(_REPLACEMENT, _STEPS),
    expr=(sympy.sqrt(loss) + sympy.sqrt(V / (2 * k))) ** 2,
    sense="<=",
    obligations=("G1.average", "G1.minimum", "G1.triangle", "G1.base", "G1.step", "G1.loss"),
    quantity=_LOSS,
)


G1_HARMONIC = Bound(
    name="G1-harmonic",
    statement="ℓ(u_k) ≤ ℓ(s) + V_s·H_k/(2k), H_k the harmonic number",
    source=f"{SOURCE}, G1, second form",
    status="derived",
    symbols=G1.symbols,
    assumptions=(_REPLACEMENT, _STEPS),
    expr=loss + V * sympy.harmonic(k) / (2 * k),
    sense="<=",
    obligations=("G1.average", "G1.minimum", "G1.convexity", "G1.harmonic-step"),
    quantity=_LOSS,
)


G2 = Bound(
    name="G2",
    statement="ℓ(u_k) ≤ W²/(2k²), W = max(D_y, D_y²/(2γ)), when y lies at depth γ inside the hull of the neurons",
    source=f"{SOURCE}, G2",
    status="derived",
    symbols={
        k: SIZE,
        D_y: "max‖Φ_i-y‖, the distance from the target to the farthest neuron (output)",
        gamma: "γ, the radius of a ball around y, in the affine span, that lies in the hull (output)",
    },
    assumptions=(
        _REPLACEMENT,
        _STEPS,
        Assumption("y is in the affine span of the neurons"),
        Assumption("the ball of radius γ around y, in the affine span, lies in the hull"),
        Assumption("a point at depth γ is no nearer to the farthest vertex than γ", sympy.Le(gamma, D_y), domain=True),
    ),
    expr=sympy.Max(D_y, D_y**2 / (2 * gamma)) ** 2 / (2 * k**2),
    sense="<=",
    obligations=("G2.vertex", "G2.expansion", "G2.base", "G2.invariance", "G2.conclusion"),
    quantity=_LOSS,
)


G3 = Bound(
    name="G3",
    statement="‖u_k-s‖² ≤ (1-γ²/D²)^k·‖u_0-s‖² with joint line search towards one neuron a step",
    source=f"{SOURCE}, G3",
    status="derived",
    symbols={
        k: "number of line-search steps",
        D: "D, the diameter of the hull of the neurons (output)",
        gamma: "γ, the radius of a ball around s, in the affine span, that lies in the hull (output)",
        start: "‖u_0-s‖², the squared distance at the start (squared output)",
    },
    assumptions=(
        Assumption("neuron and step length in [0, 1] are minimised jointly"),
        whole(k),
        Assumption("u_0 and the ball of radius γ around s, in the affine span, are in the hull"),
        Assumption("u_0 and s are no farther apart than the hull is wide", sympy.Le(start, D**2), domain=True),
        Assumption("a ball in the hull is no wider than the hull", sympy.Le(2 * gamma, D), domain=True),
    ),
    expr=start * (1 - gamma**2 / D**2) ** k,
    sense="<=",
    obligations=("G3.vertex", "G3.step-length", "G3.line-search", "G3.contraction"),
    quantity="‖u_k-s‖²",
)


MARGIN = Bound(
    name="MARGIN",
    statement="the depth of the dense output in the hull is at least λ⁺_min(Σ)/max‖Φ_i-s̄‖ (Bhatia–Davis)",
    source=f"{SOURCE}, margin",
    status="derived",
    symbols={
        eigenvalue: "λ⁺_min(Σ), the smallest positive eigenvalue of Σ = (1/N)Σ(Φ_i-s̄)(Φ_i-s̄)ᵀ (squared output)",
        radius: "max‖Φ_i-s̄‖ (output)",
    },
    assumptions=(Assumption("a variance is at most the squared radius", sympy.Le(eigenvalue, radius**2), domain=True),),
    expr=eigenvalue / radius,
    sense=">=",
    obligations=("MARGIN.pointwise", "MARGIN.support"),
    quantity="depth of s̄ in the hull",
)


MARGIN_TARGET = Bound(
    name="MARGIN-target",
    statement="the depth of the target in the hull is at least γ_s - √(2L) when the neurons span the output space",
    source=f"{SOURCE}, margin",
    status="derived",
    symbols={
        gamma_s: "γ_s, the depth of the dense output (output)",
        loss: "L = ½‖s̄-y‖², the loss of the dense network",
    },
    assumptions=(Assumption("the neurons span the output space (no affine hyperplane holds them all)"),),
    expr=gamma_s - sympy.sqrt(2 * loss),
    sense=">=",
    obligations=("MARGIN.target",),
    quantity="depth of y in the hull",
)
