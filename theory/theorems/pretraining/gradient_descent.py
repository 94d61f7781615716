"""P1: full gradient descent of a wide two-layer network, with every constant explicit (proof: proof.md).

f(x; W) = N^(-1/2) Σ a_r σ(w_r·x), a_r = ±1 fixed, W trained on ½‖r‖² with r = f(X; W) - y. J₀ is the Jacobian of
f(X; ·) at the start, λ₀ the smallest eigenvalue of J₀J₀ᵀ. The symbols of all statements on pre-training are here.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound, whole
from pruneproof.theory.theorems.greedy.statement import D_y, V, gamma_s, k

SOURCE = "theory/theorems/pretraining/proof.md"
N = sympy.Symbol("N", positive=True)
m = sympy.Symbol("m", positive=True)
d = sympy.Symbol("d", positive=True)
t = sympy.Symbol("t", nonnegative=True)
B = sympy.Symbol("B", positive=True)
M = sympy.Symbol("M", positive=True)
X = sympy.Symbol("X", positive=True)
r_0 = sympy.Symbol("r_0", positive=True)
lambda_0 = sympy.Symbol("lambda_0", positive=True)
eta = sympy.Symbol("eta", positive=True)
q = sympy.Symbol("q", positive=True)
L_0 = sympy.Symbol("L_0", positive=True)
L_t = sympy.Symbol("L_t", positive=True)
kappa = sympy.Symbol("kappa", positive=True)
rho = sympy.Symbol("rho", positive=True)
c = sympy.Symbol("c", positive=True)
spread = sympy.Symbol("V", positive=True)  # V where it is divided by


MEANING = {
    N: "number of neurons",
    m: "number of training examples",
    d: "input dimension",
    t: "gradient-descent iterations",
    B: "bound on abs(σ'); 1 for tanh and softplus",
    M: "bound on abs(σ'')·max(1, max‖x_j‖); abs(σ'') ≤ 4/(3√3) for tanh, 1/4 for softplus",
    X: "‖X‖, the spectral norm of the m×d data",
    r_0: "‖r_0‖, the norm of the residual at the start (not divided by m)",
    lambda_0: "λ₀, the smallest eigenvalue of the empirical tangent kernel J₀J₀ᵀ",
    eta: "η, the step size",
    q: "the contraction of ‖r‖ in one step; 1 - ηλ₀/16 under P1",
    L_0: "loss at the start, ‖r_0‖²/(2m)",
    L_t: "loss of the dense network after t steps, ‖r_t‖²/(2m)",
    V: "V_t = (1/N)Σ‖Φ_i-s̄‖², the spread of the neurons after t steps",
    spread: "V_t = (1/N)Σ‖Φ_i-s̄‖², the spread of the neurons after t steps",
    k: "number of greedy steps",
    D_y: "max‖Φ_i-y‖ after t steps",
    gamma_s: "γ_s, the depth of the dense output in the hull of the neurons, after t steps",
    kappa: "κ = 1/(ηλ₀): at the largest step size of P1 the condition number B²‖X‖²/λ₀",
    rho: "ρ = ‖r_0‖/√m, the root mean square residual of one example at the start",
    c: "the unspecified constant of the published shape",
}


_CONSTANTS = Assumption("abs(σ') ≤ B and abs(σ'')·‖x_j‖ ≤ M for every example (with ‖x_j‖ ≤ 1, M bounds abs(σ''))")
_SIGNS = Assumption("the outer weights are ±1 and fixed")
_WIDTH = Assumption("the width condition of P1", sympy.Ge(N, 256 * M**2 * X**2 * r_0**2 / lambda_0**2))
STEP = Assumption("the step size of P1", sympy.Le(eta, 1 / (B**2 * X**2)))
BELOW = Assumption("λ₀ ≤ ‖J₀‖² ≤ B²‖X‖²", sympy.Le(lambda_0, B**2 * X**2), domain=True)
DESCENT_OF_P1 = (_CONSTANTS, _SIGNS, whole(N), _WIDTH, STEP, BELOW)  # under these P1 holds


def meanings(*symbols: sympy.Symbol) -> dict[sympy.Symbol, str]:
    """The entries of `MEANING` for the symbols of one statement.

    Args:
        *symbols: The symbols, in the order in which they are to be shown.

    Returns:
        Symbol → meaning.
    """
    return {symbol: MEANING[symbol] for symbol in symbols}


P1_WIDTH = Bound(
    name="P1-width",
    statement="the width from which P1 holds is at most 256·M²‖X‖²‖r_0‖²/λ₀²",
    source=f"{SOURCE}, P1",
    status="derived",
    symbols=meanings(M, X, r_0, lambda_0),
    assumptions=(_CONSTANTS, _SIGNS),
    expr=256 * M**2 * X**2 * r_0**2 / lambda_0**2,
    sense="<=",
    obligations=("P1.lipschitz", "P1.tanh-second", "P1.tanh", "P1.softplus-second", "P1.softplus", "P1.radius"),
    quantity="N",
    suffices="wide enough",
    whole=True,
)


P1_STEP_SIZE = Bound(
    name="P1-step-size",
    statement="every step size up to 1/(B²‖X‖²) is admissible",
    source=f"{SOURCE}, P1",
    status="derived",
    symbols=meanings(B, X),
    assumptions=(_CONSTANTS, _SIGNS),
    expr=1 / (B**2 * X**2),
    sense=">=",
    obligations=("P1.jacobian", "P1.step-size"),
    quantity="η",
    suffices="small enough step size",
)


P1_RATE = Bound(
    name="P1",
    statement="‖r_t‖ ≤ (1-ηλ₀/16)^t·‖r_0‖",
    source=f"{SOURCE}, P1",
    status="derived",
    symbols=meanings(t, r_0, eta, lambda_0, N, M, B, X),
    assumptions=(whole(t, least=0), *DESCENT_OF_P1),
    expr=(1 - eta * lambda_0 / 16) ** t * r_0,
    sense="<=",
    obligations=(
        "P1.jacobian",
        "P1.lipschitz",
        "P1.radius",
        "P1.smallest-singular-value",
        "P1.step-size",
        "P1.linear-part",
        "P1.square-root",
        "P1.step",
        "P1.rate",
        "P1.potential",
        "P1.movement",
        "P1.total",
    ),
    quantity="‖r_t‖",
)


P1_MOVEMENT = Bound(
    name="P1-movement",
    statement="‖W_t-W_0‖_F ≤ 8‖r_0‖/√λ₀ for all t",
    source=f"{SOURCE}, P1",
    status="derived",
    symbols=meanings(r_0, lambda_0, N, M, B, X, eta),
    assumptions=DESCENT_OF_P1,
    expr=8 * r_0 / sympy.sqrt(lambda_0),
    sense="<=",
    obligations=("P1.smallest-singular-value", "P1.step", "P1.potential", "P1.movement", "P1.total", "P1.radius"),
    quantity="‖W_t-W_0‖_F",
)
