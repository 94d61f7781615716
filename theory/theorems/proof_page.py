"""One theorem as a page in Markdown, from its assumptions to its conclusion."""

from collections.abc import Sequence

from pruneproof.theory.prover.verdicts import Discharge

from .bound import Bound
from .catalogue import RESTS_ON, bounds, obligations, required_steps


def page(theorem: str, results: Sequence[Discharge]) -> str:
    """One theorem from assumptions to conclusion in Markdown: statements, checked steps with their controls, trust.

    **Arguments:** `theorem`, e.g. `"G1"`; `results`, its discharged obligations.
    """
    about = [bound for bound in bounds() if bound.name == theorem or bound.name.startswith(f"{theorem}-")]
    lines = [f"# {theorem}", ""]
    for bound in about:
        lines += _statement(bound)
    lines += ["## Steps", ""]
    for result in results:
        lines += _step(result)
    if theorem in RESTS_ON:
        lines += ["", f"The proof also uses {', '.join(RESTS_ON[theorem])}."]
    required = required_steps(theorem) | {result.obligation.id for result in results}
    trusted = list(dict.fromkeys(name for step in obligations() if step.id in required for name in step.trust))
    lines += [
        "",
        "## Trust",
        "",
        *[f"- {name}" for name in trusted or ["nothing beyond the tools that checked the steps"]],
    ]
    return "\n".join(lines) + "\n"


def _statement(bound: Bound) -> list[str]:
    assumed = [f"- assumes: {assumption.text}" for assumption in bound.assumptions]
    return [f"## {bound.name}", "", bound.statement, "", f"Source: {bound.source}", "", *assumed, ""]


def _step(result: Discharge) -> list[str]:
    step = result.obligation
    boxes = f", {result.boxes} boxes" if result.boxes else ""
    return [
        f"- **{step.id}** ({step.level}{boxes}: {result.verdict}). {step.statement}",
        f"  - negative control ({step.control.text}): {result.control_verdict}, {result.witness}",
    ]
