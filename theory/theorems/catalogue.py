"""All statements with the steps of their proofs: what there is, what rests on what, and what is trusted.

A theorem is a package here: its `Bound` constants, exported in the order of the proof, and modules
with the steps of the proof, each with a negative control. Listing steps does not check them; that is
done by `pruneproof.theory.prover.verdicts`.
"""

from functools import cache
from importlib import import_module

from pruneproof.theory.prover.obligation import LEVELS, Obligation

from .bound import Bound

STATEMENTS = ("greedy", "pretraining", "scaling_law", "sensitivity", "network")  # packages with `Bound` constants
STEPS = (
    "greedy.steps",
    "pretraining.steps",
    "pretraining.dataset_size_steps",
    "sensitivity.steps",
    "network.steps",
    "scaling_law.steps",
    "mixtures.steps",
)
RESTS_ON = {  # theorem → the theorems or single steps that its proof uses
    "G3": ("G2.vertex",),
    "T1": ("G1",),
    "T2": ("G2", "MARGIN"),
    "T3": ("T1", "T2"),
    "S3": ("S1.bennett-bernstein",),
    "S4": ("S1.bennett-bernstein",),
    "S5": ("S1",),
    "S6": ("S1", "S2"),
    "N1": ("S6",),
    "N2": ("S6",),
    "N3": ("S1",),
}


@cache
def bounds() -> tuple[Bound, ...]:
    """Every `Bound` of the package, in the order of the modules and of their definition.

    >>> [bound.name for bound in bounds()][:3]
    ['G1', 'G1-harmonic', 'G2']
    """
    modules = [import_module(f"{__package__}.{name}") for name in STATEMENTS]
    exported = (getattr(module, name) for module in modules for name in module.__all__)
    return tuple(value for value in exported if isinstance(value, Bound))


@cache
def obligations(theorem: str | None = None) -> tuple[Obligation, ...]:
    """All obligations, in the order of the proofs; or those of one theorem.

    >>> [step.id for step in obligations("G2")]
    ['G2.vertex', 'G2.expansion', 'G2.base', 'G2.invariance', 'G2.conclusion']
    """
    found = [step for name in STEPS for step in import_module(f"{__package__}.{name}").OBLIGATIONS]
    return tuple(step for step in found if theorem in (None, step.theorem))


def steps(bound: Bound) -> tuple[Obligation, ...]:
    """The obligations of a statement and of what it rests on; its own are those it names, or all of its theorem."""
    theorem = bound.name.partition("-")[0]
    own = bound.obligations or tuple(step.id for step in obligations(theorem) if bound.status == "derived")
    wanted = {*own, *(required_steps(theorem) if own else ())}
    return tuple(step for step in obligations() if step.id in wanted)


def required_steps(theorem: str) -> set[str]:
    """Ids of the steps of everything that a theorem rests on, directly or not."""
    found: set[str] = set()
    for name in RESTS_ON.get(theorem, ()):
        found |= {name} if "." in name else {step.id for step in obligations(name)} | required_steps(name)
    return found


def trust(bound: Bound) -> str:
    """The weakest level in the chain, and what rests on trust.

    >>> from pruneproof.theory.theorems.greedy import G2
    >>> trust(G2)
    'smt'
    """
    chain = steps(bound)
    if not chain:
        return "published, not proved here" if bound.status != "derived" else "no machine-checked steps"
    level = max((step.level for step in chain), key=LEVELS.index)
    trusted = list(dict.fromkeys(name for step in chain for name in step.trust))
    return f"{level}; trusting {', '.join(trusted)}" if trusted else level
