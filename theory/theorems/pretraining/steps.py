"""Steps of P1, T1 and T2 (theory/theorems/pretraining/proof.md).

Names: R = ‖r_t‖, r = ‖r_0‖, g = ‖Jᵀr_t‖, h = ‖JJᵀr_t‖, square = β² = B²‖X‖², L the Lipschitz constant of the Jacobian
(L²N = M²‖X‖²), lam = λ₀, root = √λ₀, alpha = √λ₀/2, move = ‖W_t-W_0‖.
"""

import sympy
from sympy import Eq, Ge, Gt, Le, Max, Rational, exp, log, sqrt, tanh

from pruneproof.theory.prover.obligation import Identity, NegativeControl, Obligation

R, r, g, h, eta, square, L, lam, root, move, step = sympy.symbols("R r g h eta square L lam root move step")


N, M, X, B, longest, slope, vector, data, delta, weight = sympy.symbols(
    "N M X B longest slope vector data delta weight"
)


after, linear, sigma, alpha = sympy.symbols("after linear sigma alpha")
z = sympy.Symbol("z", real=True)
fraction = sympy.Symbol("fraction", real=True)
q = sympy.Symbol("q", positive=True)
_THIRD = Rational(1, 3)
a, b, c, depth, D_y = sympy.symbols("a b c depth D_y")
k, L_0, V, rate, gamma_s = sympy.symbols("k L_0 V rate gamma_s", positive=True)
_width = (Gt(lam, 0), Ge(r, 0), Ge(L, 0), Gt(N, 0), Gt(M, 0), Gt(X, 0), Eq(L**2 * N, M**2 * X**2))
_entry = (Ge(delta, 0), Ge(M, 0), Ge(weight, 0), Ge(longest, 0), Le(delta, M * weight * longest))
_near = (Gt(root, 0), Ge(L, 0), Ge(move, 0), Ge(sigma, root - L * move))
_start = (Gt(eta, 0), Gt(square, 0), Le(eta * square, 1), Gt(lam, 0), Le(lam, square), Ge(L, 0), Ge(R, 0), Le(R, r))
_moved = (Gt(alpha, 0), Ge(move, 0), Ge(step, 0), Ge(after, 0))
_target = (Gt(c, 0), Ge(D_y, 0), Gt(depth, 0), Ge(depth, c - a), Ge(a, 0))
_small_steps = (Gt(eta, 0), Gt(square, 0), Le(eta * square, 1), Gt(R, 0), Ge(g, 0))


JACOBIAN = (
    Obligation(
        "P1.jacobian",
        "‖Jᵀv‖² is the mean over neurons of ‖XᵀD_r v‖² ≤ ‖X‖²‖D_r v‖² ≤ B²‖X‖²‖v‖²",
        Le(data**2, B**2 * X**2 * vector**2),
        NegativeControl("B²‖X‖²/2", Le(data**2, B**2 * X**2 * vector**2 / 2)),
        (Le(data**2, X**2 * slope**2), Le(slope**2, B**2 * vector**2)),
    ),
    Obligation(
        "P1.lipschitz",
        "a diagonal entry of D_r moves by at most M·‖Δw_r‖·‖x_j‖ ≤ M·‖Δw_r‖",
        Le(delta**2, M**2 * weight**2),
        NegativeControl("‖x_j‖ ≤ 1 dropped", given=_entry),
        (*_entry, Le(longest, 1)),
    ),
    Obligation(
        "P1.tanh-second",
        "tanh'' = -2·tanh·(1-tanh²)",
        Identity(sympy.Derivative(tanh(z), z, 2), -2 * tanh(z) * (1 - tanh(z) ** 2)),
        NegativeControl("factor 1 for 2", Identity(sympy.Derivative(tanh(z), z, 2), -tanh(z) * (1 - tanh(z) ** 2))),
    ),
    Obligation(
        "P1.tanh",
        "M = 4/(3√3) for tanh: (2u(1-u²))² ≤ 16/27 for u² = `fraction` in [0, 1]; the sides touch at u² = 1/3",
        Le(4 * fraction * (1 - fraction) ** 2, Rational(16, 27)),
        NegativeControl("15/27", Le(4 * fraction * (1 - fraction) ** 2, Rational(15, 27))),
        box={fraction: (0, 1)},
        touch=(_THIRD,),
    ),
    Obligation(
        "P1.softplus-second",
        "softplus'' = s(1-s) with s = 1/(1+exp(-z))",
        Identity(sympy.Derivative(log(1 + exp(z)), z, 2), 1 / (1 + exp(-z)) * (1 - 1 / (1 + exp(-z)))),
        NegativeControl("s for s(1-s)", Identity(sympy.Derivative(log(1 + exp(z)), z, 2), 1 / (1 + exp(-z)))),
    ),
    Obligation(
        "P1.softplus",
        "M = 1/4 for softplus: s(1-s) ≤ 1/4",
        Le(slope * (1 - slope), Rational(1, 4)),
        NegativeControl("1/5", Le(slope * (1 - slope), Rational(1, 5))),
    ),
)


RADIUS = (
    Obligation(
        "P1.radius",
        "N ≥ 256·M²‖X‖²r²/λ₀² ⇒ 8r/√λ₀ ≤ √λ₀/(2L), i.e. 16rL ≤ λ₀: the total movement stays where σ_min ≥ √λ₀/2",
        Le(16 * r * L, lam),
        NegativeControl("64 for 256", given=(*_width, Ge(N * lam**2, 64 * M**2 * X**2 * r**2))),
        (*_width, Ge(N * lam**2, 256 * M**2 * X**2 * r**2)),
    ),
    Obligation(
        "P1.smallest-singular-value",
        "σ_min(J_t) ≥ √λ₀ - L·‖W_t-W_0‖ (Weyl) and 2L·‖W_t-W_0‖ ≤ √λ₀ ⇒ σ_min(J_t) ≥ √λ₀/2",
        Ge(sigma, root / 2),
        NegativeControl("movement up to √λ₀/L", given=(*_near, Le(L * move, root))),
        (*_near, Le(2 * L * move, root)),
        trust=("Weyl's inequality for singular values",),
    ),
    Obligation(
        "P1.step-size",
        "η ≤ 1/β², λ₀ ≤ β², 16rL ≤ λ₀, ‖r_t‖ ≤ r ⇒ 2ηL‖r_t‖ ≤ 1: the second condition on η is implied",
        Le(2 * eta * L * R, 1),
        NegativeControl("width condition dropped", given=_start),
        (
            Gt(eta, 0),
            Le(eta * square, 1),
            Gt(lam, 0),
            Le(lam, square),
            Ge(L, 0),
            Ge(R, 0),
            Le(R, r),
            Le(16 * r * L, lam),
        ),
    ),
)


DESCENT = (
    Obligation(
        "P1.linear-part",
        "‖(I-ηJJᵀ)r‖² = R² - 2ηg² + η²h² ≤ R² - ηg², as h ≤ βg and ηβ² ≤ 1",
        Le(R**2 - 2 * eta * g**2 + eta**2 * h**2, R**2 - eta * g**2),
        NegativeControl(
            "ηβ² ≤ 2", given=(Gt(eta, 0), Ge(g, 0), Ge(h, 0), Le(eta * square, 2), Le(h**2, square * g**2))
        ),
        (*_small_steps, Ge(h, 0), Le(h**2, square * g**2)),
    ),
    Obligation(
        "P1.square-root",
        "s² ≤ R² - ηg² ⇒ s ≤ R - ηg²/(2R)",
        Le(2 * R * linear, 2 * R**2 - eta * g**2),
        NegativeControl("ηg²/R for ηg²/(2R)", Le(R * linear, R**2 - eta * g**2)),
        (*_small_steps, Ge(linear, 0), Le(linear**2, R**2 - eta * g**2)),
    ),
    Obligation(
        "P1.step",
        "linear part plus curvature ½Lη²g², with 2ηLR ≤ 1: ‖r_{t+1}‖ ≤ R - ηg²/(4R)",
        Le(4 * R * after, 4 * R**2 - eta * g**2),
        NegativeControl("ηg²/(2R)", Le(2 * R * after, 2 * R**2 - eta * g**2)),
        (
            *_small_steps,
            Ge(L, 0),
            Le(2 * eta * L * R, 1),
            Le(2 * R * linear, 2 * R**2 - eta * g**2),
            Le(after, linear + L * eta**2 * g**2 / 2),
        ),
    ),
    Obligation(
        "P1.rate",
        "g ≥ (√λ₀/2)·R ⇒ ‖r_{t+1}‖ ≤ (1-ηλ₀/16)·R",
        Le(after, (1 - eta * lam / 16) * R),
        NegativeControl("ηλ₀/8", Le(after, (1 - eta * lam / 8) * R)),
        (*_small_steps, Gt(lam, 0), Ge(4 * g**2, lam * R**2), Le(4 * R * after, 4 * R**2 - eta * g**2)),
    ),
    Obligation(
        "P1.potential",
        "‖r_{t+1}‖ + (α/4)‖W_{t+1}-W_t‖ ≤ ‖r_t‖, as ‖W_{t+1}-W_t‖ = ηg and g ≥ αR",
        Le(after + alpha / 4 * eta * g, R),
        NegativeControl("α/2 for α/4", Le(after + alpha / 2 * eta * g, R)),
        (*_small_steps, Gt(alpha, 0), Ge(g, alpha * R), Le(4 * R * after, 4 * R**2 - eta * g**2)),
    ),
    Obligation(
        "P1.movement",
        "induction: R_t + (α/4)·m_t ≤ r and the potential step ⇒ R_{t+1} + (α/4)·m_{t+1} ≤ r",
        Le(after + alpha / 4 * (move + step), r),
        NegativeControl("α/2 in the conclusion", Le(after + alpha / 2 * (move + step), r)),
        (
            Gt(alpha, 0),
            Ge(move, 0),
            Ge(step, 0),
            Ge(after, 0),
            Le(R + alpha / 4 * move, r),
            Le(after + alpha / 4 * step, R),
        ),
    ),
    Obligation(
        "P1.total",
        "(α/4)·‖W_t-W_0‖ ≤ r with α = √λ₀/2 ⇒ ‖W_t-W_0‖ ≤ 8r/√λ₀",
        Le(root * move, 8 * r),
        NegativeControl("4r/√λ₀", Le(root * move, 4 * r)),
        (Gt(root, 0), Eq(2 * alpha, root), Le(alpha * move / 4, r)),
    ),
)


_threshold = log(2 * k * L_0 / V) / (2 * rate)  # rate = log(1/q)
_interior = log(8 * L_0 / gamma_s**2) / (2 * rate)
_half_interior = log(4 * L_0 / gamma_s**2) / (2 * rate)


THRESHOLDS = (
    Obligation(
        "T1.composition",
        "√ℓ(s̄) ≤ q^t√L₀ (descent) into G1: √ℓ(s̄) + √(V/(2k)) ≤ q^t√L₀ + √(V/(2k)), and squares keep the order",
        Le((a + c) ** 2, (b + c) ** 2),
        NegativeControl("a, c of any sign", given=(Le(a, b),)),
        (Ge(a, 0), Le(a, b), Ge(c, 0)),
    ),
    Obligation(
        "T1.regime",
        "L_t ≤ V/(2k) ⇒ (√L_t + √(V/(2k)))² ≤ 2V/k",
        Le((a + c) ** 2, 4 * c**2),
        NegativeControl("V/k for 2V/k", Le((a + c) ** 2, 2 * c**2)),
        (Ge(a, 0), Ge(c, 0), Le(a**2, c**2)),
    ),
    Obligation(
        "T1.threshold",
        "at t = log(2kL₀/V)/(2log(1/q)) the dense loss q^(2t)·L₀ is V/(2k); it falls with t",
        Identity(exp(-2 * rate * _threshold) * L_0, V / (2 * k)),
        NegativeControl("half the threshold", Identity(exp(-rate * _threshold) * L_0, V / (2 * k))),
    ),
    Obligation(
        "T1.rate",
        "log(1/q) ≥ 1-q for 0 < q ≤ 1, so 1/(2log(1/q)) ≤ 8/(ηλ₀) with q = 1-ηλ₀/16",
        Ge(-log(q), 1 - q),
        NegativeControl("twice as fast", Ge(-log(q), 2 * (1 - q))),
        box={q: sympy.Interval.Lopen(0, 1)},
    ),
    Obligation(
        "T2.margin",
        "√(2L_t) ≤ γ_s/2 ⇒ γ_y ≥ γ_s/2, so W = max(D_y, D_y²/(2γ_y)) ≤ max(D_y, D_y²/γ_s)",
        Le(Max(D_y, D_y**2 / (2 * depth)), Max(D_y, D_y**2 / c)),
        NegativeControl("√(2L_t) ≤ 3γ_s/4", given=(*_target, Le(4 * a, 3 * c))),
        (*_target, Le(2 * a, c)),
    ),
    Obligation(
        "T2.threshold",
        "at t = log(8L₀/γ_s²)/(2log(1/q)): √(2·q^(2t)·L₀) = γ_s/2",
        Identity(sqrt(2 * exp(-2 * rate * _interior) * L_0), gamma_s / 2),
        NegativeControl(
            "4L₀ for 8L₀",
            Identity(sqrt(2 * exp(-2 * rate * _half_interior) * L_0), gamma_s / 2),
        ),
    ),
)


OBLIGATIONS = (*JACOBIAN, *RADIUS, *DESCENT, *THRESHOLDS)
