"""The chain from a statement's assumptions to its conclusion: checked steps, their levels, and what is trusted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import LEVELS, Discharge, Obligation, obligations

if TYPE_CHECKING:
    from ..bound import Bound


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


def steps(bound: "Bound") -> tuple[Obligation, ...]:
    """The obligations of a statement and of what it rests on; its own are those it names, or all of its theorem."""
    theorem = bound.name.partition("-")[0]
    own = bound.obligations or tuple(step.id for step in obligations(theorem) if bound.status == "derived")
    wanted = {*own, *(_required(theorem) if own else ())}
    return tuple(step for step in obligations() if step.id in wanted)


def _required(theorem: str) -> set[str]:
    """Ids of the steps of everything that a theorem rests on, directly or not."""
    found: set[str] = set()
    for name in RESTS_ON.get(theorem, ()):
        found |= {name} if "." in name else {step.id for step in obligations(name)} | _required(name)
    return found


def weakest_link(bound: "Bound") -> str:
    """The weakest level in the chain, and what rests on trust.

    >>> from pruneproof.theory.greedy import G2
    >>> weakest_link(G2)
    'smt'
    """
    chain = steps(bound)
    if not chain:
        return "published, not proved here" if bound.status != "derived" else "no machine-checked steps"
    level = max((step.level for step in chain), key=LEVELS.index)
    trusted = list(dict.fromkeys(name for step in chain for name in step.trust))
    return f"{level}; trusting {', '.join(trusted)}" if trusted else level


def page(theorem: str, results: Sequence[Discharge]) -> str:
    """One theorem from assumptions to conclusion in Markdown: statements, checked steps with their twins, trust.

    **Arguments:** `theorem`, e.g. `"G1"`; `results`, its discharged obligations.
    """
    from ..catalogue import bounds

    about = [bound for bound in bounds() if bound.name == theorem or bound.name.startswith(f"{theorem}-")]
    lines = [f"# {theorem}", ""]
    for bound in about:
        lines += _statement(bound)
    lines += ["## Steps", ""]
    for result in results:
        lines += _step(result)
    if theorem in RESTS_ON:
        lines += ["", f"The proof also uses {', '.join(RESTS_ON[theorem])}."]
    required = _required(theorem) | {result.obligation.id for result in results}
    trusted = list(dict.fromkeys(name for step in obligations() if step.id in required for name in step.trust))
    lines += [
        "",
        "## Trust",
        "",
        *[f"- {name}" for name in trusted or ["nothing beyond the tools that checked the steps"]],
    ]
    return "\n".join(lines) + "\n"


def _statement(bound: "Bound") -> list[str]:
    assumed = [f"- assumes: {assumption.text}" for assumption in bound.assumptions]
    return [f"## {bound.name}", "", bound.statement, "", f"Source: {bound.source}", "", *assumed, ""]


def _step(result: Discharge) -> list[str]:
    step = result.obligation
    boxes = f", {result.boxes} boxes" if result.boxes else ""
    return [
        f"- **{step.id}** ({step.level}{boxes}: {result.verdict}). {step.statement}",
        f"  - false twin ({step.twin.text}): {result.twin_verdict}, {result.witness}",
    ]
