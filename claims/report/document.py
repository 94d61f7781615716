"""The page: what was found in one table, then every paper with its claims, the proofs, how it was measured.

Everything that came from rows, claims or the machine is escaped. The page loads and runs nothing.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pruneproof.claims.claim import Paper, Scale, Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.engine.store import Store
from pruneproof.claims.estimates import shown
from pruneproof.claims.papers import KEYS, LoadedPaper
from pruneproof.claims.verification import Result
from pruneproof.environment import require
from pruneproof.errors import PruneproofError

from .claim_section import Pictures, claim_section, draw
from .drawing import share_styles
from .markup import SIGNS, UNRUN, badge, is_open, kind, templates
from .measuring import citation, cpu_table, data_of, data_table
from .published import published

MEANINGS = {
    Verdict.HOLDS: "The criterion, fixed before the run, is met in the stated scope. It does not prove the paper.",
    Verdict.VIOLATED: "A proved statement met a counterexample: the proof, its assumptions or this code is wrong.",
    Verdict.NOT_REPRODUCED: "The observation was looked for and not found here; the figures say how far.",
    Verdict.INCONCLUSIVE: "The data cannot tell; the scope says what was missing.",
    Verdict.VACUOUS: "The bound is true and says nothing here.",
    Verdict.NOT_APPLICABLE: "An assumption of the statement does not hold here.",
}


def page(
    papers: tuple[LoadedPaper, ...],
    results: list[Result],
    store: Store,
    record: dict[str, Any],
    drawn: Mapping[str, Pictures] | None = None,
) -> str:
    """The report as one HTML document.

    Args:
        papers: The papers, in the order of the page.
        results: The judged claims.
        store: Where their rows are.
        record: When, where and with what they were measured, as in `run.json`.
        drawn: The pictures of claims, by id, of those that have been drawn already.
    """
    data: dict[str, tuple[str, ...]] = {}
    shown_papers = [
        {
            "paper": loaded.paper,
            "results": mine,
            "advice": _advice(loaded.paper, mine),
            "sections": [_section(result, store, record, data, drawn or {}) for result in mine],
        }
        for loaded in papers
        if (mine := [result for result in results if result.claim.paper == loaded.paper.key])
    ]
    present = {kind(result) for result in results}
    names = [(*sign, str(verdict)) for verdict, sign in SIGNS.items()] + [(*UNRUN, "not run, or incomplete")]
    cpu = cpu_table(results, store, record)
    about = {"command": record.get("command", ""), **record.get("environment", {})}
    written = templates().get_template("page.html").render(
        style=Markup((Path(__file__).parent / "templates" / "style.css").read_text("utf-8")),
        filters=[(name, text, mark) for mark, name, text in names if name in present],
        incomplete=_incomplete(results),
        summary=_summary(results),
        when=_when(results, record, cpu),
        papers=shown_papers,
        meanings=[(badge(verdict), MEANINGS[verdict]) for verdict in Verdict],
        proofs=proofs_section() if _has_theorem_of_ours(results) else "",
        environment=about.items(),
        data=data_table(data),
        cpu=cpu,
        citation=citation(record),
        published=published() if any(result.scale is not Scale.STANDARD for result in results) else {},
    )  # fmt: skip
    return share_styles(written)


@cache
def proofs_section() -> Markup:
    """The proof steps behind the bounds, checked once in a process; it says so if they could not be."""
    template = templates().get_template("proofs.html")
    try:
        require("report", "z3")
    except PruneproofError as error:
        return Markup(template.render(unchecked=str(error)))
    from pruneproof.theory.prover.verdicts import table as checked_steps
    from pruneproof.theory.theorems.catalogue import obligations

    steps = checked_steps(obligations())
    levels = Counter(str(step["level"]) for step in steps)
    return Markup(
        template.render(
            unchecked="",
            rows=[_step(step) for step in steps],
            proved=sum(step["verdict"] == "proved" for step in steps),
            refuted=sum(step["control_verdict"] == "refuted" for step in steps),
            ways=", ".join(f"{number} {_WAYS[level]}" for level, number in levels.items()),
        )
    )


_WAYS = {"symbolic": "as identities", "smt": "by z3", "certified": "by ball arithmetic"}


def _step(step: dict[str, Any]) -> dict[str, str]:
    return {
        "step": step["id"],
        "says": step["statement"],
        "verdict": step["verdict"],
        "by": step["level"],
        "negative control": f"{step['control']}: {step['control_verdict']}",
        "rests on": shown(step["trust"]) or "–",
    }


def _section(
    result: Result,
    store: Store,
    record: dict[str, Any],
    data: dict[str, tuple[str, ...]],
    drawn: Mapping[str, Pictures],
) -> Markup:
    entry = record.get("criteria", {}).get(result.claim.id, {})
    known = isinstance(entry, dict) and entry.get("sha256") == result.claim.criterion_hash
    rows = list(store.rows(result.claim.id))
    data[result.claim.id] = data_of(rows)
    pictures = drawn.get(result.claim.id) or draw(result, rows)
    return claim_section(result, rows, pictures, entry.get("fixed", "") if known else "")


def _has_theorem_of_ours(results: list[Result]) -> bool:
    return any(result.claim.theorem and result.claim.paper in KEYS for result in results)


def _incomplete(results: list[Result]) -> str:
    cells, missing = sum(result.cells for result in results), sum(result.missing for result in results)
    return f"INCOMPLETE: {cells - missing:,} of {cells:,} cells." if missing else ""


def _summary(results: list[Result]) -> Markup:
    counts = Counter(kind(result) for result in results)
    verbs = {name: ("hold" if verdict is Verdict.HOLDS else str(verdict)) for verdict, (_, name) in SIGNS.items()}
    verbs |= {UNRUN[1]: "not run or incomplete"}
    if counts[SIGNS[Verdict.HOLDS][1]] == 1:
        verbs[SIGNS[Verdict.HOLDS][1]] = "holds"
    parts = [f"{counts[name]} {verb}" for name, verb in verbs.items() if counts[name]]
    theorems = sum(result.claim.theorem for result in results)
    broken = counts[SIGNS[Verdict.VIOLATED][1]]
    proved = f"{broken} of {theorems} theorems violated" if broken else f"No theorem violated (of {theorems})"
    claims = f"{len(results)} claim{'s' if len(results) != 1 else ''}"
    return Markup("{}: {}. <strong>{}.</strong>").format(claims, ", ".join(parts) or "none run", proved)


def _advice(paper: Paper, results: list[Result]) -> list[tuple[str, str]]:
    """What to believe and do: a sentence of the paper for each verdict that was reached, with the claim's id."""
    return [
        (result.claim.id, paper.advice[result.claim.id][result.outcome.verdict])
        for result in results
        if not is_open(result) and result.outcome.verdict in paper.advice.get(result.claim.id, {})
    ]


def _when(results: list[Result], record: dict[str, Any], cpu: list[Row]) -> str:
    """Scale, date, what all cells cost, and the source."""
    scales = " and ".join(f"scale {scale}" for scale in Scale if any(result.scale is scale for result in results))
    source = record.get("environment", {}).get("source", "")
    cost = f"{cpu[-1]['CPU time']} of processor time" if cpu else ""
    parts = [scales, record.get("started", ""), cost, source and f"source {source}"]
    return " · ".join(part for part in parts if part)
