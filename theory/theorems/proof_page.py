"""One theorem as a page in Markdown, from its hypotheses to its conclusion, made from the same data as its check."""

from collections.abc import Sequence
from pathlib import Path

from pruneproof.errors import FileAccessError
from pruneproof.theory.prover.verdicts import Discharge

from .bound import Assumption, Bound
from .catalogue import RESTS_ON, bounds, obligations, required_steps


def page(theorem: str, results: Sequence[Discharge]) -> str:
    """One theorem with its statements, hypotheses, checked steps, negative controls and what it trusts.

    Args:
        theorem: Such as `"G1"`.
        results: Its checked steps.

    Returns:
        Markdown.
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


def write_pages(results: Sequence[Discharge], folder: Path) -> list[Path]:
    """Write the page of every theorem with checked steps.

    Args:
        results: The checked steps of one or more theorems.
        folder: Where to write `G1.md` and so on; it is made if it does not exist.

    Returns:
        The files.

    Raises:
        FileAccessError: If a file cannot be written.
    """
    theorems = dict.fromkeys(result.obligation.theorem for result in results)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for theorem in theorems:
            path = folder / f"{theorem.replace(chr(39), '-region')}.md"  # N2' is no file name
            path.write_text(
                page(theorem, [result for result in results if result.obligation.theorem == theorem]), "utf-8"
            )
            written.append(path)
    except OSError as error:
        raise FileAccessError(f"prove: pages cannot be written to {folder} ({error.strerror}).") from None
    return written


def _statement(bound: Bound) -> list[str]:
    lines = [f"## {bound.name}", "", bound.statement, "", f"Source: {bound.source}", ""]
    return [*lines, *[f"- {_hypothesis(each)}" for each in bound.assumptions], ""]


def _hypothesis(assumption: Assumption) -> str:
    if assumption.condition is None:
        return f"you must ensure: {assumption.text}"
    return f"assumes: {assumption.text} (decided by the program: `{assumption.condition}`)"


def _step(result: Discharge) -> list[str]:
    step = result.obligation
    boxes = f", {result.boxes} boxes" if result.boxes else ""
    return [
        f"- **{step.id}** ({step.level}{boxes}: {result.verdict}). {step.statement}",
        f"  - negative control ({step.control.text}): {result.control_verdict}, {result.witness}",
    ]
