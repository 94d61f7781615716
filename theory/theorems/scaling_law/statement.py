"""The scaling law of pruned networks (Rosenfeld, Frankle, Carbin, Shavit, ICML 2021) as statements.

Proofs: theory/theorems/scaling_law/proof.md.

A network of depth l and width w, pruned to density d, has error ε̂ = ε_np · [(m² + p²K²)/(m² + p²)]^{γ/2} with
K = (ε↑/ε_np)^{1/γ} and the invariant m = l^φ w^ψ d; for one network φ = ψ = 0 and m = d. ε_np is the measured error of
the dense network; ε↑, the error at density 0, γ, p, φ and ψ are fitted. The law is monotone in d.
"""

import sympy

from pruneproof.theory.theorems.bound import Assumption, Bound, whole

density = sympy.Symbol("d", positive=True)
depth, width = sympy.symbols("l w", positive=True)
transition, exponent = sympy.symbols("p gamma", positive=True)
dense_error, upper_error = sympy.symbols("epsilon_np epsilon_up", positive=True)
depth_exponent, width_exponent = sympy.symbols("phi psi", real=True)
target = sympy.Symbol("epsilon_k", positive=True)
PAPER = "Rosenfeld, Frankle, Carbin, Shavit: On the predictability of pruning across scales, ICML 2021"
_ratio = (upper_error / dense_error) ** (1 / exponent)
_invariant = depth**depth_exponent * width**width_exponent * density


_common = {
    dense_error: "error ε_np of the dense network (share of examples)",
    upper_error: "error ε↑ in the limit of density 0 (share of examples)",
    transition: "where the power law begins, in units of the invariant",
    exponent: "exponent γ of the power law (1)",
}


_network = {
    depth: "number of layers (1)",
    width: "width relative to any fixed reference (1)",
    depth_exponent: "exponent φ of the depth (1)",
    width_exponent: "exponent ψ of the width (1)",
}


_density = {density: "kept share of the weights (1)"}
_in_range = Assumption("the density lies in (0, 1]", density <= 1, domain=True)
_ordered = Assumption("pruning everything is worse than pruning nothing", upper_error > dense_error, domain=True)


_reached = Assumption(
    "the target lies between the dense error and ε↑",
    sympy.And(target > dense_error, target < upper_error),
    domain=True,
)


def complex_form(invariant: sympy.Expr = density) -> sympy.Expr:
    """The law as published, with complex numbers: ε_np · ‖(m − i p (ε↑/ε_np)^{1/γ}) / (m − i p)‖^γ.

    Args:
        invariant: M, by default the density of one network.

    Returns:
        The error as a formula.

    Example:
        >>> complex_form().subs(density, 0).simplify()
        epsilon_up
    """
    numerator = invariant - sympy.I * transition * _ratio
    return dense_error * sympy.Abs(numerator / (invariant - sympy.I * transition)) ** exponent


def real_form(invariant: sympy.Expr = density) -> sympy.Expr:
    """The same law without complex numbers: ε_np · [(m² + p²K²)/(m² + p²)]^{γ/2}.

    Args:
        invariant: M, by default the density of one network.

    Returns:
        The error as a formula.

    Example:
        >>> real_form().subs(density, 0).simplify()
        epsilon_up
    """
    squared = (invariant**2 + transition**2 * _ratio**2) / (invariant**2 + transition**2)
    return dense_error * squared ** (exponent / 2)


def limit_form(invariant: sympy.Expr = density) -> sympy.Expr:
    """The limit γ → ∞ at fixed ε↑/ε_np: ε_np · (ε↑/ε_np)^{p²/(m² + p²)}.

    Args:
        invariant: M, by default the density of one network.

    Returns:
        The error as a formula.

    Example:
        >>> limit_form().subs(density, transition).equals(sympy.sqrt(dense_error * upper_error))
        True
    """
    return dense_error * (upper_error / dense_error) ** (transition**2 / (invariant**2 + transition**2))


SINGLE = Bound(
    name="scaling-single",
    statement="The error of one network pruned to density d follows one curve between ε_np and ε↑.",
    source=f"{PAPER}; theory/theorems/scaling_law/proof.md",
    status="published",
    symbols=_density | _common,
    assumptions=(_in_range, _ordered),
    expr=real_form(),
    sense="==",
    obligations=(
        "scaling.real-form",
        "scaling.density-zero",
        "scaling.dense",
        "scaling.monotone",
        "scaling.between",
        "scaling.power-law",
    ),
    quantity="error",
)


JOINT = Bound(
    name="scaling-joint",
    statement="Networks of one family follow the same curve in the invariant m = l^φ w^ψ d.",
    source=f"{PAPER}; theory/theorems/scaling_law/proof.md",
    status="published",
    symbols=_density | _network | _common,
    assumptions=(_in_range, _ordered, whole(depth)),
    expr=real_form(_invariant),
    sense="==",
    obligations=(
        "scaling.real-form",
        "scaling.monotone",
    ),
    quantity="error",
)


STEEP = Bound(
    name="scaling-steep",
    statement="For γ → ∞ the law is log-linear in p²/(d² + p²), so γ cannot be identified from a small error range.",
    source="theory/theorems/scaling_law/proof.md",
    status="derived",
    symbols={name: text for name, text in (_density | _common).items() if name != exponent},
    assumptions=(_in_range, _ordered),
    expr=limit_form(),
    sense="==",
    obligations=("scaling.steep",),
    quantity="error",
)


_scaled_target = (target / dense_error) ** (2 / exponent)


SMALLEST = Bound(
    name="scaling-smallest",
    statement="The error reaches ε_k at the invariant m* = p √((K² − r)/(r − 1)), r = (ε_k/ε_np)^{2/γ}.",
    source="theory/theorems/scaling_law/proof.md",
    status="derived",
    symbols={target: "error ε_k that is allowed (share of examples)"} | _common,
    assumptions=(_ordered, _reached),
    expr=transition * sympy.sqrt((_ratio**2 - _scaled_target) / (_scaled_target - 1)),
    sense="==",
    obligations=(
        "scaling.smallest",
        "scaling.target",
        "scaling.round-trip",
    ),
    quantity="m*",
)
