"""From the errors of half-rows to the error and the size of a network (proofs: theory/theorems/network/proof.md).

N1 is the relative route of the published analysis with its loss made explicit; N2 is the absolute route. Neither is
needed at a known point, where both networks can be run and subtracted: N2 *predicts* before anything is pruned, and
over a region it becomes N2′, which `prune.certify` computes.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound, probability, whole
from pruneproof.theory.theorems.sensitivity.statement import C, Sigma, delta, epsilon, neurons, widest

SOURCE = "theory/theorems/network/proof.md"
layers = sympy.Symbol("layers", positive=True)
amplification = sympy.Symbol("amplification", positive=True)
gain = sympy.Symbol("gain", nonnegative=True)
incoming = sympy.Symbol("incoming", nonnegative=True)
epsilon_plus = sympy.Symbol("epsilon_plus", nonnegative=True)
epsilon_minus = sympy.Symbol("epsilon_minus", nonnegative=True)
z_plus = sympy.Symbol("z_plus", nonnegative=True)
z_minus = sympy.Symbol("z_minus", nonnegative=True)
error = sympy.Symbol("error", nonnegative=True)
n = sympy.Symbol("n", positive=True)
budget = sympy.Symbol("budget", positive=True)
cost = sympy.Symbol("cost", positive=True)
total = sympy.Symbol("total", positive=True)


N1 = Bound(
    name="N1",
    statement="relative route: ε_l = ln(1+ε)/((L-1)·Π_{k≥l}D^k), ε < 1, in every layer gives f̂ ∈ (1±ε)f",
    source=f"{SOURCE}, N1",
    status="derived",
    symbols={
        epsilon: "ε, relative error allowed at the output",
        layers: "L, number of layers counted with the input (L-1 weight layers)",
        amplification: "Π_{k≥l}D^k, where D^k ≥ 1 bounds Δ = (z⁺+z⁻)/|z| of the neurons of layer k",
    },
    assumptions=(
        whole(layers, "at least one weight layer, counted in whole numbers", least=2),
        Assumption("no sign turns: a pre-activation moves by less than itself", sympy.Lt(epsilon, 1)),
        Assumption("Δ is at least 1", sympy.Ge(amplification, 1), domain=True),
        Assumption("Δ_i ≤ D^k for every neuron of every layer at the point; D grows without bound near z = 0"),
        Assumption("no biases: they are not scaled with the activations; ReLU between the layers"),
    ),
    expr=sympy.log(1 + epsilon) / ((layers - 1) * amplification),
    sense=">=",
    quantity="ε_l",
    suffices="small enough error of every half-row of layer l",
)


N1_PUBLISHED = Bound(
    name="N1-published",
    statement="published budget: ε_l = ε/(2(L-1)Δ̂^{l→})",
    source="CoreNet (Baykal et al., ICLR 2019), as remembered; constants unchecked",
    status="shape",
    symbols=N1.symbols,
    assumptions=N1.assumptions,
    expr=epsilon / (2 * (layers - 1) * amplification),
    sense=">=",
    quantity="ε_l",
    suffices="published error budget of layer l",
)


N2 = Bound(
    name="N2",
    statement="one neuron: e = Σ|ŵ|e_in + ε⁺z⁺ + ε⁻z⁻ bounds |ẑ-z|; e passes any 1-Lipschitz activation",
    source=f"{SOURCE}, N2",
    status="derived",
    symbols={
        gain: "Σ_j|ŵ_j|e_j/e_in, the pruned row's gain on the incoming errors",
        incoming: "e_in, the incoming error (activation)",
        epsilon_plus: "ε of the half-row W⁺",
        epsilon_minus: "ε of the half-row W⁻",
        z_plus: "z⁺ of the original at the point (activation)",
        z_minus: "z⁻ of the original at the point (activation)",
    },
    assumptions=(Assumption("both half-rows hold at the original's activations"),),
    expr=gain * incoming + epsilon_plus * z_plus + epsilon_minus * z_minus,
    sense="<=",
    quantity="|ẑ-z|",
)


N2_CLASS = Bound(
    name="N2-class",
    statement="the predicted class is unchanged if the original's margin exceeds 2 max e",
    source=f"{SOURCE}, N2",
    status="derived",
    symbols={error: "max over outputs of e (logit)"},
    assumptions=(Assumption("no output of the pruned network is off by more than e at the point"),),
    expr=2 * error,
    sense="<=",
    quantity="margin",
    suffices="enough for the same class",
    strict=True,
)


N3 = Bound(
    name="N3",
    statement="size of one half-row: min(n, ⌈CΣ(6+2ε)/(3ε²)·ln(4η/δ)⌉); 8η in place of 4η for signed activations",
    source=f"{SOURCE}, N3",
    status="derived",
    symbols={
        n: "number of weights of the half-row",
        C: "stretch from S to the point",
        Sigma: "sum of its sensitivities",
        epsilon: "ε_l of its layer",
        neurons: "η, number of neurons",
        delta: "δ, failure probability of the network at one point",
    },
    assumptions=(
        Assumption("the point is fixed before the draw"),
        Assumption("g_j(x) ≤ C·s_j at the point, for every weight"),
        Assumption("activations are not signed (else pass 2η for η)"),
        Assumption("z > 0 at some point of S (a dead row is kept)", sympy.Ge(Sigma, 1), domain=True),
        Assumption("C·Σ ≥ 1, as the shares of a live point sum to 1", sympy.Ge(C * Sigma, 1), domain=True),
        probability(delta, "a failure probability lies in (0, 1)"),
        whole(n),
        whole(neurons),
    ),
    expr=sympy.Min(n, sympy.ceiling(C * Sigma * (6 + 2 * epsilon) / (3 * epsilon**2) * sympy.log(4 * neurons / delta))),
    sense="<=",
    quantity="nnz of one half-row",
    whole=True,
)


N4 = Bound(
    name="N4",
    statement="to first order, Σ c_i ε_i is least at m_i = M(c_i²Σ_i)^{1/3}/Σ_k(c_k²Σ_k)^{1/3}",
    source=f"{SOURCE}, N4",
    status="derived",
    symbols={
        budget: "M, draws in all",
        cost: "c_i, the absolute error that ε_i stands for (activation)",
        Sigma: "Σ_i",
        total: "Σ_k (c_k²Σ_k)^{1/3} over all half-rows",
    },
    assumptions=(
        Assumption("before clipping at the size of each half-row"),
        whole(budget),
        Assumption("the total contains the half-row's own term", sympy.Ge(total**3, cost**2 * Sigma), domain=True),
    ),
    expr=budget * sympy.cbrt(cost**2 * Sigma) / total,
    sense="==",
    quantity="m_i",
)


_NETWORK = (
    whole(neurons, "more than one neuron, counted in whole numbers", least=2),
    whole(widest),
    Assumption("the widest layer is part of the network", sympy.Le(widest, neurons), domain=True),
    probability(delta, "a failure probability lies in (0, 1)"),
)


CORENET_CONFIDENCE = Bound(
    name="CoreNet-kappa",
    statement="κ = √(2λ)(1+√(2λ)ln(8ηη*/δ)), λ = ln(ηη*)/2, added to the mean of Δ",
    source="CoreNet (Baykal et al., ICLR 2019), as remembered; constants unchecked",
    status="shape",
    symbols={neurons: "η, number of neurons", widest: "η*, the widest layer", delta: "δ"},
    assumptions=_NETWORK,
    expr=sympy.sqrt(sympy.log(neurons * widest))
    * (1 + sympy.sqrt(sympy.log(neurons * widest)) * sympy.log(8 * neurons * widest / delta)),
    sense="==",
    quantity="κ",
)


CORENET_SIZE = Bound(
    name="CoreNet-size",
    statement="m = ⌈8Σ ln(ηη*) ln(8η/δ)/ε_l²⌉ draws per half-row",
    source="CoreNet (Baykal et al., ICLR 2019), as remembered; constants unchecked",
    status="shape",
    symbols={
        Sigma: "sum of sensitivities, at least 1",
        neurons: "η, number of neurons",
        widest: "η*, the widest layer",
        delta: "δ, failure probability",
        epsilon: "ε_l of the layer",
    },
    assumptions=(
        Assumption("the cumulative distribution of g satisfies the paper's condition"),
        *_NETWORK,
        Assumption("z > 0 at some point of S (a dead row is kept)", sympy.Ge(Sigma, 1), domain=True),
    ),
    expr=sympy.ceiling(8 * Sigma * sympy.log(neurons * widest) * sympy.log(8 * neurons / delta) / epsilon**2),
    sense="<=",
    quantity="m",
    suffices="enough draws, as published",
    whole=True,
)


def keeps_every_weight(size: Bound, weights: int, **values: object) -> bool:
    """Whether a size bound is vacuous: it asks for at least as many draws as the half-row has weights.

    Args:
        size: A bound on a number of draws.
        weights: The half-row's length.
        **values: The bound's values.

    Returns:
        Whether nothing would be pruned.

    Raises:
        HypothesisError: Where a hypothesis of the bound fails.

    Example:
        >>> keeps_every_weight(CORENET_SIZE, 300, Sigma=1, neurons=410, widest=300, delta=0.1, epsilon=0.01)
        True
    """
    return size.bound(**values) >= weights
