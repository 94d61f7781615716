"""How long to pre-train the dense network before greedy selection works: T1, T2, T3 (proofs: proof.md).

The question and the published shape of the answer are those of Wolfe, Liao, Wang, Kim and Kyrillidis (arXiv
2108.00259): the threshold is logarithmic in the size of the dataset. What is derived here says in which sense.
L_t = ‖r_t‖²/(2m) is the mean-scaled loss of the dense network; ‖r_t‖ ≤ q^t‖r_0‖.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound
from pruneproof.theory.theorems.greedy.statement import D_y, V, gamma_s, k

from .gradient_descent import BELOW, L_0, SOURCE, B, L_t, X, c, d, kappa, lambda_0, m, meanings, q, spread, t

_CONTRACTION = Assumption("the residual contracts", sympy.Lt(q, 1))
_DESCENT = Assumption("‖r_t‖ ≤ q^t‖r_0‖, e.g. by P1")
_SELECTION = Assumption("greedy selection with replacement of at least one neuron", sympy.Ge(k, 1))
_SPAN = Assumption("the neurons span the output space")
_LABELS = Assumption("labels are ±1")


T1 = Bound(
    name="T1",
    statement="ℓ(u_k) ≤ (q^t·√L₀ + √(V_t/(2k)))² for the network pruned after t steps",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(q, t, L_0, V, k),
    assumptions=(_DESCENT, _CONTRACTION, _SELECTION),
    expr=(q**t * sympy.sqrt(L_0) + sympy.sqrt(V / (2 * k))) ** 2,
    sense="<=",
    obligations=("T1.composition",),
)


T1_THRESHOLD = Bound(
    name="T1-threshold",
    statement="ℓ(u_k) ≤ 2V_t/k from iteration ⌈log(2kL₀/V_t)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(k, L_0, spread, q),
    assumptions=(_DESCENT, _CONTRACTION, _SELECTION),
    expr=sympy.Max(0, sympy.ceiling(sympy.log(2 * k * L_0 / spread) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T1.composition", "T1.regime", "T1.threshold"),
)


T1_CONDITION = Bound(
    name="T1-condition",
    statement="the threshold of T1 is at most ⌈(8B²‖X‖²/λ₀)·log(2kL₀/V_t)⌉ at step size 1/(B²‖X‖²)",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(k, L_0, spread, B, X, lambda_0),
    assumptions=(_DESCENT, _SELECTION, BELOW),
    expr=sympy.Max(0, sympy.ceiling(8 * B**2 * X**2 / lambda_0 * sympy.log(2 * k * L_0 / spread))),
    sense="<=",
    obligations=("T1.threshold", "T1.rate"),
)


T1_INVERSE = Bound(
    name="T1-inverse",
    statement="after t steps the guarantee gains nothing from sizes beyond V_t/(2L_t)",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(spread, L_t),
    assumptions=(Assumption("selection is with replacement"),),
    expr=spread / (2 * L_t),
    sense="<=",
    obligations=("T1.regime",),
)


T2 = Bound(
    name="T2",
    statement="ℓ(u_k) ≤ W²/(2k²) with W = max(D_y, D_y²/γ_s) for all k, from the threshold of T2 on",
    source=f"{SOURCE}, T2",
    status="derived",
    symbols=meanings(k, D_y, gamma_s),
    assumptions=(_DESCENT, _SPAN, _SELECTION),
    expr=sympy.Max(D_y, D_y**2 / gamma_s) ** 2 / (2 * k**2),
    sense="<=",
    obligations=("T2.margin", "G2.vertex", "G2.invariance", "G2.conclusion"),
)


T2_THRESHOLD = Bound(
    name="T2-threshold",
    statement="T2's rate holds, whatever k, from iteration ⌈log(8L₀/γ_s²)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T2",
    status="derived",
    symbols=meanings(L_0, gamma_s, q),
    assumptions=(_DESCENT, _CONTRACTION, _SPAN),
    expr=sympy.Max(0, sympy.ceiling(sympy.log(8 * L_0 / gamma_s**2) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T2.threshold", "T2.margin"),
)


T3_THRESHOLD = Bound(
    name="T3",
    statement="every training example is classified correctly from iteration ⌈(log m + log 8L₀)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, L_0, q, k, V, D_y, gamma_s),
    assumptions=(
        _LABELS,
        _DESCENT,
        _CONTRACTION,
        Assumption("k > 4mV (or, after T2's threshold, k > W√m)", sympy.Gt(k, 4 * m * V)),
    ),
    expr=sympy.Max(0, sympy.ceiling((sympy.log(m) + sympy.log(8 * L_0)) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T3.sum", "T3.halves", "T3.threshold"),
)


T3_SIZE = Bound(
    name="T3-size",
    statement="the size from which T3 holds is at most 4mV_t (any k beyond it)",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, V),
    assumptions=(_LABELS, Assumption("selection is with replacement")),
    expr=4 * m * V,
    sense="<=",
    obligations=("T3.halves",),
)


T3_SIZE_INTERIOR = Bound(
    name="T3-size-interior",
    statement="after T2's threshold the size from which no example is lost is at most W√m (any k beyond it)",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, D_y, gamma_s),
    assumptions=(_LABELS, _DESCENT, _SPAN, Assumption("t is at least T2's threshold")),
    expr=sympy.Max(D_y, D_y**2 / gamma_s) * sympy.sqrt(m),
    sense="<=",
    obligations=("T3.interior",),
)


T3_DATASET = Bound(
    name="T3-dataset-size",
    statement="at a fixed condition number, losing no example takes at most 8κ(log m + log 8L₀) + 1 iterations",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, kappa, L_0),
    assumptions=(
        _LABELS,
        _DESCENT,
        Assumption("step size 1/(B²‖X‖²)"),
        Assumption("κ ≥ 1", sympy.Ge(kappa, 1)),
        Assumption("there is a loss to reduce", sympy.Ge(8 * m * L_0, 1)),
    ),
    expr=8 * kappa * (sympy.log(m) + sympy.log(8 * L_0)) + 1,
    sense="<=",
    obligations=("T3.threshold", "T3.condition", "T1.rate"),
)


PUBLISHED_SHAPE = Bound(
    name="published-shape",
    statement="t ≥ -log k/log(1 - c·d/m²) brings the pruned loss into its O(1/k) regime (SGD; c unspecified)",
    source="the published form as remembered (arXiv 2108.00259 v2); constants unchecked, so symbolic",
    status="shape",
    symbols=meanings(k, c, d, m),
    assumptions=(
        Assumption("two-layer network in 1/N scaling, trained by SGD, N·d > m²"),
        Assumption("more examples than dimensions", sympy.Gt(m, d)),
        Assumption("the contraction is in (0, 1)", sympy.Lt(c * d, m**2)),
    ),
    expr=-sympy.log(k) / sympy.log(1 - c * d / m**2),
    sense="<=",
    obligations=("published-shape.above", "published-shape.below", "published-shape.leading-term"),
)
