"""All statements with the steps of their proofs: what there is, what rests on what, and what is trusted.

A theorem is a package here: its `Bound` constants, exported in the order of the proof, and modules with
the steps of the proof, each with a negative control. Listing steps does not check them; that is done by
`pruneproof.theory.prover.verdicts`. Packages are imported as far as they are needed.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from pruneproof.errors import UnknownNameError, did_you_mean
from pruneproof.theory.prover.obligation import LEVELS, Obligation

from .bound import Bound

STATEMENTS = ("greedy", "pretraining", "scaling_law", "sensitivity", "network")  # packages with `Bound` constants
STEPS = {  # package → its modules of steps, and how the names of their theorems begin
    "greedy": (("greedy.steps",), ("G1", "G2", "G3", "MARGIN")),
    "pretraining": (
        ("pretraining.steps", "pretraining.dataset_size_steps"),
        ("P1", "T1", "T2", "T3", "published-shape"),
    ),
    "sensitivity": (("sensitivity.steps",), ("S1", "S2", "S3", "S4", "S5", "S6")),
    "network": (("network.steps",), ("N1", "N2", "N2'", "N3", "N4")),
    "scaling_law": (("scaling_law.steps",), ("scaling",)),
    "mixtures": (("mixtures.steps",), ("mixture",)),
}
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
PAPERS = {  # paper, by its name in `pruneproof verify --paper` → title, and the packages with its statements
    "pretraining": (
        "Pre-training length and greedy selection (Wolfe et al., arXiv 2108.00259; Ye et al., arXiv 2003.01794)",
        ("greedy", "pretraining"),
    ),
    "sensitivity": (
        "Sensitivity-informed pruning (Baykal et al., arXiv 1910.05422)",
        ("sensitivity", "network"),
    ),
    "scaling": ("The scaling law of pruning (Rosenfeld et al., ICML 2021)", ("scaling_law",)),
}


@cache
def bounds(package: str | None = None) -> tuple[Bound, ...]:
    """Every `Bound`, in the order of the packages and of their definition.

    Args:
        package: One of `STATEMENTS`; default all.

    Returns:
        The bounds.

    Example:
        >>> [bound.name for bound in bounds()][:3]
        ['G1', 'G1-harmonic', 'G2']
    """
    modules = [import_module(f"{__package__}.{name}") for name in STATEMENTS if package in (None, name)]
    exported = (getattr(module, name) for module in modules for name in module.__all__)
    return tuple(value for value in exported if isinstance(value, Bound))


def named(name: str, *, where: str = "bound") -> Bound:
    """The bound of a name, in upper or lower case.

    Args:
        name: Such as `"g1"`.
        where: The function to be named in messages.

    Returns:
        The bound. Packages are imported one after the other until it is found.

    Raises:
        UnknownNameError: If there is none; the message says which are similar.

    Example:
        >>> named("t3-THRESHOLD").name
        'T3-threshold'
    """
    for package in STATEMENTS:
        for bound in bounds(package):
            if bound.name.casefold() == name.casefold():
                return bound
    raise UnknownNameError(
        f"{where}: no bound is called {name!r}.{did_you_mean(name, [bound.name for bound in bounds()])} "
        "`pruneproof bound` lists them."
    )


@cache
def obligations(theorem: str | None = None) -> tuple[Obligation, ...]:
    """The steps of proofs.

    Args:
        theorem: Only the steps of this one; default all, in the order of the proofs.

    Returns:
        The steps, not checked.

    Example:
        >>> [step.id for step in obligations("G2")]
        ['G2.vertex', 'G2.expansion', 'G2.base', 'G2.invariance', 'G2.conclusion']
    """
    return tuple(step for step in _steps_of(theorem) if theorem in (None, step.theorem))


def _steps_of(theorem: str | None) -> Iterator[Obligation]:
    """The steps of the packages that may hold a theorem."""
    for modules, theorems in STEPS.values():
        if theorem is None or theorem in theorems:
            for name in modules:
                yield from import_module(f"{__package__}.{name}").OBLIGATIONS


def theorem_of(name: str, *, where: str = "prove") -> str:
    """The theorem of a name, which may also be that of one of its bounds.

    Args:
        name: Such as `"T3"` or `"t3-dataset-size"`.
        where: The function to be named in messages.

    Returns:
        Such as `"T3"`.

    Raises:
        UnknownNameError: If there is none.

    Example:
        >>> theorem_of("t3-dataset-size")
        'T3'
    """
    theorems = {theorem.casefold(): theorem for _, names in STEPS.values() for theorem in names}
    bounded = {bound.name.casefold(): bound.name for bound in bounds()}
    folded = name.casefold()
    for candidate in (folded, folded.partition("-")[0]):
        if candidate in theorems and (candidate == folded or folded in bounded):
            return theorems[candidate]
    known = [*theorems.values(), *bounded.values()]
    raise UnknownNameError(
        f"{where}: no theorem is called {name!r}.{did_you_mean(name, known)} "
        f"Choose one of {', '.join(theorems.values())}."
    )


def steps(bound: Bound) -> tuple[Obligation, ...]:
    """The steps of a statement and of what it rests on.

    Args:
        bound: The statement.

    Returns:
        Its own steps are those it names, or all of its theorem.
    """
    theorem = bound.name if any(bound.name in names for _, names in STEPS.values()) else bound.name.partition("-")[0]
    own = bound.obligations or tuple(step.id for step in obligations(theorem) if bound.status == "derived")
    wanted = {*own, *(required_steps(theorem) if own else ())}
    theorems = dict.fromkeys(name.partition(".")[0] for name in wanted)
    packages = [modules for modules, names in STEPS.values() if any(theorem in names for theorem in theorems)]
    found = [import_module(f"{__package__}.{name}").OBLIGATIONS for modules in packages for name in modules]
    return tuple(step for listed in found for step in listed if step.id in wanted)


def required_steps(theorem: str) -> set[str]:
    """Ids of the steps of everything that a theorem rests on, directly or not."""
    found: set[str] = set()
    for name in RESTS_ON.get(theorem, ()):
        found |= {name} if "." in name else {step.id for step in obligations(name)} | required_steps(name)
    return found


def trust(bound: Bound) -> str:
    """The weakest level in the chain of a proof, and what rests on trust.

    Args:
        bound: The statement.

    Returns:
        Such as `"certified; trusting Weyl's inequality for singular values"`.

    Example:
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
