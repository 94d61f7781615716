"""How long to pre-train the dense network before greedy selection works: T1, T2, T3 (proofs: proof.md).

The question and the published shape of the answer are those of Wolfe, Liao, Wang, Kim and Kyrillidis (arXiv
2108.00259): the threshold is logarithmic in the size of the dataset. What is derived here says in which sense.
L_t = ‖r_t‖²/(2m) is the mean-scaled loss of the dense network; ‖r_t‖ ≤ q^t‖r_0‖.
"""

from dataclasses import replace
from typing import cast

import sympy
from sympy.logic.boolalg import Boolean

from pruneproof.theory.theorems.bound import Assumption, Bound, whole
from pruneproof.theory.theorems.greedy.statement import D_y, V, gamma_s, k

from .gradient_descent import (
    BELOW,
    DESCENT_OF_P1,
    L_0,
    SOURCE,
    STEP,
    B,
    L_t,
    M,
    N,
    X,
    c,
    d,
    eta,
    kappa,
    lambda_0,
    m,
    meanings,
    q,
    r_0,
    rho,
    spread,
    t,
)

_CONTRACTION = Assumption("the residual contracts", sympy.Lt(q, 1))
_DESCENT = Assumption("‖r_t‖ ≤ q^t‖r_0‖, e.g. by P1")
_DESCENT_AT_STEP = Assumption("‖r_t‖ ≤ (1-ηλ₀/16)^t‖r_0‖, e.g. by P1")
_DESCENT_AT_CONDITION = Assumption("‖r_t‖ ≤ (1-1/(16κ))^t‖r_0‖, e.g. by P1 at the step size η = 1/(κλ₀)")
_PROMISED = Assumption("the step size of P1, up to which it promises that contraction", STEP.condition, domain=True)
_REPLACEMENT = Assumption("greedy selection is with replacement, from the empty set, by exact minimisation")
_STEPS = whole(k, "greedy selection of at least one neuron, counted in whole numbers")
_TIME = whole(t, least=0)
_EXAMPLES = whole(m)
_SPAN = Assumption("the neurons span the output space, and γ_s, D_y are those after t steps")
_MARGIN = Assumption(
    "a point at depth γ_s/2 is no nearer to the farthest vertex", sympy.Le(gamma_s, 2 * D_y), domain=True
)
_LABELS = Assumption("labels are ±1")
_W = sympy.Max(D_y, D_y**2 / gamma_s)
_AFTER_T2 = Assumption("t is at least T2's threshold: q^(2t)·8L₀ ≤ γ_s²", sympy.Le(8 * L_0 * q ** (2 * t), gamma_s**2))
_INSIDE = sympy.And(
    sympy.Gt(k, _W * sympy.sqrt(m)), sympy.Or(sympy.Ge(m * gamma_s**2, 1), sympy.Le(8 * L_0, gamma_s**2))
)
_SIZE = Assumption(
    "k > 4mV; or k > W√m, W = max(D_y, D_y²/γ_s), with T2's threshold no later: mγ_s² ≥ 1 or 8L₀ ≤ γ_s²",
    sympy.Or(sympy.Gt(k, 4 * m * V), _INSIDE),
)
_LATER = Assumption(
    "V_t, D_y and γ_s are those after that many steps; for the second size the neurons span the outputs"
)


T1 = Bound(
    name="T1",
    statement="ℓ(u_k) ≤ (q^t·√L₀ + √(V_t/(2k)))² for the network pruned after t steps",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(q, t, L_0, V, k),
    assumptions=(_DESCENT, _REPLACEMENT, _STEPS, _TIME),
    expr=(q**t * sympy.sqrt(L_0) + sympy.sqrt(V / (2 * k))) ** 2,
    sense="<=",
    obligations=("T1.composition",),
    quantity="ℓ(u_k)",
)


T1_THRESHOLD = Bound(
    name="T1-threshold",
    statement="ℓ(u_k) ≤ 2V_t/k from iteration ⌈log(2kL₀/V_t)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(k, L_0, spread, q),
    assumptions=(_DESCENT, _CONTRACTION, _REPLACEMENT, _STEPS),
    expr=sympy.Max(0, sympy.ceiling(sympy.log(2 * k * L_0 / spread) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T1.composition", "T1.regime", "T1.threshold"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


T1_CONDITION = Bound(
    name="T1-condition",
    statement="ℓ(u_k) ≤ 2V_t/k from iteration ⌈8κ·log(2kL₀/V_t)⌉ on, κ = 1/(ηλ₀): B²‖X‖²/λ₀ at the largest step of P1",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(k, L_0, spread, eta, lambda_0, B, X),
    assumptions=(_DESCENT_AT_STEP, _PROMISED, BELOW, _REPLACEMENT, _STEPS),
    expr=sympy.Max(0, sympy.ceiling(8 / (eta * lambda_0) * sympy.log(2 * k * L_0 / spread))),
    sense="<=",
    obligations=("T1.threshold", "T1.rate"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


T1_INVERSE = Bound(
    name="T1-inverse",
    statement="after t steps the guarantee gains nothing from sizes beyond V_t/(2L_t)",
    source=f"{SOURCE}, T1",
    status="derived",
    symbols=meanings(spread, L_t),
    assumptions=(_REPLACEMENT,),
    expr=spread / (2 * L_t),
    sense="<=",
    obligations=("T1.regime",),
    quantity="k from which the guarantee still gains",
    whole=True,
)


T2 = Bound(
    name="T2",
    statement="ℓ(u_k) ≤ W²/(2k²) with W = max(D_y, D_y²/γ_s) for all k, from the threshold of T2 on",
    source=f"{SOURCE}, T2",
    status="derived",
    symbols=meanings(k, D_y, gamma_s, t, L_0, q),
    assumptions=(_DESCENT, _AFTER_T2, _SPAN, _MARGIN, _REPLACEMENT, _STEPS, _TIME),
    expr=_W**2 / (2 * k**2),
    sense="<=",
    obligations=("T2.margin", "G2.vertex", "G2.invariance", "G2.conclusion"),
    quantity="ℓ(u_k)",
)


T2_THRESHOLD = Bound(
    name="T2-threshold",
    statement="T2's rate holds, whatever k, from iteration ⌈log(8L₀/γ_s²)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T2",
    status="derived",
    symbols=meanings(L_0, gamma_s, q),
    assumptions=(_DESCENT, _CONTRACTION, _SPAN, _REPLACEMENT),
    expr=sympy.Max(0, sympy.ceiling(sympy.log(8 * L_0 / gamma_s**2) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T2.threshold", "T2.margin"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


T3_THRESHOLD = Bound(
    name="T3-threshold",
    statement="every training example is classified correctly from iteration ⌈(log m + log 8L₀)/(2 log(1/q))⌉ on",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, L_0, q, k, V, D_y, gamma_s),
    assumptions=(_LABELS, _DESCENT, _CONTRACTION, _REPLACEMENT, _EXAMPLES, _STEPS, _SIZE, _LATER),
    expr=sympy.Max(0, sympy.ceiling((sympy.log(m) + sympy.log(8 * L_0)) / (2 * sympy.log(1 / q)))),
    sense="<=",
    obligations=("T3.sum", "T3.halves", "T3.threshold"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


T3_SIZE = Bound(
    name="T3-size",
    statement="the size from which T3 holds is at most 4mV_t (any k beyond it)",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, V),
    assumptions=(_LABELS, _REPLACEMENT, _EXAMPLES, Assumption("t is at least T3-threshold")),
    expr=4 * m * V,
    sense="<=",
    obligations=("T3.halves",),
    quantity="k",
    suffices="enough neurons",
    whole=True,
    strict=True,
)


T3_SIZE_INTERIOR = Bound(
    name="T3-size-interior",
    statement="after T2's threshold the size from which no example is lost is at most W√m (any k beyond it)",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, D_y, gamma_s, t, L_0, q),
    assumptions=(_LABELS, _DESCENT, _AFTER_T2, _SPAN, _MARGIN, _REPLACEMENT, _EXAMPLES, _TIME),
    expr=_W * sympy.sqrt(m),
    sense="<=",
    obligations=("T3.interior",),
    quantity="k",
    suffices="enough neurons",
    whole=True,
    strict=True,
)


T3_DATASET = Bound(
    name="T3-dataset-size",
    statement="every training example is classified correctly from iteration 8κ(log m + log 8L₀) + 1 on, κ = 1/(ηλ₀)",
    source=f"{SOURCE}, T3",
    status="derived",
    symbols=meanings(m, kappa, L_0, k, V, D_y, gamma_s),
    assumptions=(
        _LABELS,
        _DESCENT_AT_CONDITION,
        Assumption("κ ≥ 1, as ηλ₀ ≤ ηB²‖X‖² ≤ 1", sympy.Ge(kappa, 1), domain=True),
        Assumption("there is a loss to reduce", sympy.Ge(8 * m * L_0, 1)),
        _REPLACEMENT,
        _EXAMPLES,
        _STEPS,
        _SIZE,
        _LATER,
    ),
    expr=8 * kappa * (sympy.log(m) + sympy.log(8 * L_0)) + 1,
    sense="<=",
    obligations=("T3.threshold", "T3.condition", "T1.rate"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


def _in_residual(assumption: Assumption) -> Assumption:
    """A hypothesis on ‖r_0‖ and L₀ = ‖r_0‖²/(2m) with ‖r_0‖ = ρ√m."""
    if assumption.condition is None:
        return assumption
    condition = cast(Boolean, assumption.condition.xreplace({r_0: rho * sympy.sqrt(m), L_0: rho**2 / 2}))
    return replace(assumption, condition=condition)


T3_PUBLISHED_FORM = Bound(
    name="T3-published-form",
    statement="every training example is classified correctly from iteration ⌈(log m + 2 log 2ρ)/(2 log(1/q))⌉ on, "
    "where q = 1-ηλ₀/16 and ‖r_0‖ = ρ√m",
    source=f"{SOURCE}, corollary of P1 and T3 in the form of arXiv 2108.00259 (TMLR 2024), whose wording was not read",
    status="derived",
    symbols=meanings(m, rho, eta, lambda_0, N, M, B, X, k, V, D_y, gamma_s),
    assumptions=(_LABELS, *map(_in_residual, (*DESCENT_OF_P1, _SIZE)), _REPLACEMENT, _EXAMPLES, _STEPS, _LATER),
    expr=sympy.Max(
        0,
        sympy.ceiling((sympy.log(m) + 2 * sympy.log(2 * rho)) / (2 * sympy.log(1 / (1 - eta * lambda_0 / 16)))),
    ),
    sense="<=",
    obligations=("T3.residual", "T3.sum", "T3.halves", "T3.threshold", "P1.rate", "P1.radius", "P1.total"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)


PUBLISHED_SHAPE = Bound(
    name="published-shape",
    statement="t ≥ -log k/log(1 - c·d/m²) brings the pruned loss into its O(1/k) regime (SGD; c unspecified)",
    source="the published form as remembered (arXiv 2108.00259 v2); constants unchecked, so symbolic",
    status="shape",
    symbols=meanings(k, c, d, m, N),
    assumptions=(
        Assumption("two-layer network in 1/N scaling, trained by SGD"),
        Assumption("wide enough: N·d > m²", sympy.Gt(N * d, m**2)),
        Assumption("more examples than dimensions", sympy.Gt(m, d)),
        Assumption("the contraction is in (0, 1)", sympy.Lt(c * d, m**2)),
        *map(whole, (k, d, m, N)),
    ),
    expr=-sympy.log(k) / sympy.log(1 - c * d / m**2),
    sense="<=",
    obligations=("published-shape.above", "published-shape.below", "published-shape.leading-term"),
    quantity="t",
    suffices="enough pre-training",
    whole=True,
)
