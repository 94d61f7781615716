"""The proof obligations behind the bounds, checked while the page is made: a sentence, and a table on demand.

The page: what was found in one table, then every paper with its claims, then with what it was found.

Everything that came from rows, claims or the machine is escaped. The page loads nothing.
"""

from collections import Counter
from html import escape
from typing import Any

from pruneproof.claims.claim import Paper, Scale, Verdict
from pruneproof.claims.engine.store import Store
from pruneproof.claims.estimates import shown
from pruneproof.claims.papers import KEYS, LoadedPaper
from pruneproof.claims.verification import Result
from pruneproof.environment import require
from pruneproof.errors import PruneproofError

from .claim_section import MEANINGS, badge, claim_section, label, table
from .markup import prose
from .stylesheet import STYLE


def obligations_section() -> str:
    """The section; it says so if the steps could not be checked here."""
    try:
        require("report", "z3")
    except PruneproofError as error:
        return _section(f"<p>Not checked here. {error}</p>")
    from pruneproof.theory.prover.verdicts import table as checked_steps
    from pruneproof.theory.theorems.catalogue import obligations

    rows = checked_steps(obligations())
    shown_rows = [_shown(row) for row in rows]
    return _section(
        f"<p>{_proof_summary(rows)}</p><details><summary>All steps</summary>{table(shown_rows, 'Steps')}</details>"
    )


def _section(inner: str) -> str:
    return f'<section id="obligations"><h2>The proofs behind the theorems</h2>{inner}</section>'


def _proof_summary(rows: list[dict[str, Any]]) -> str:
    proved = sum(row["verdict"] == "proved" for row in rows)
    refuted = sum(row["control_verdict"] == "refuted" for row in rows)
    levels = Counter(row["level"] for row in rows)
    by = ", ".join(f"{number} {_HOW[level]}" for level, number in levels.items())
    return (
        f"{proved} of {len(rows)} steps are proved by machine ({by}). Of their negative controls, the same steps "
        f"with a constant tightened or a condition dropped, {refuted} are refuted. The proofs are in theory/*.md."
    )


_HOW = {"symbolic": "as identities", "smt": "by z3", "certified": "by ball arithmetic"}


def _shown(row: dict[str, Any]) -> dict[str, str]:
    return {
        "step": row["id"],
        "says": row["statement"],
        "verdict": row["verdict"],
        "by": row["level"],
        "negative control": f"{row['control']}: {row['control_verdict']}",
        "rests on": shown(row["trust"]) or "–",
    }


def page(papers: tuple[LoadedPaper, ...], results: list[Result], store: Store, record: dict[str, Any]) -> str:
    """The report as one HTML document.

    Arguments:
        papers: the papers, in the order of the page.
        results: the judged claims.
        store: where their rows are.
        record: when, where and with what they were measured, as in `run.json`.
    """
    parts = [(each.paper, _of(each.paper, results)) for each in papers]
    told = [(paper, some) for paper, some in parts if some]
    sections = "\n".join(_paper(paper, some, store) for paper, some in told)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>pruneproof: verification report</title>
<style>{STYLE}</style>
</head>
<body>
<header class="top">
<p class="mark">pruneproof</p>
<h1>What the papers say, held against measurement</h1>
<p class="lead">{_summary(results)}</p>
<p class="when">{_when(results, record)}</p>
</header>
<main>
<section id="verdicts"><h2>Verdicts</h2>{_verdicts(told)}{_legend()}</section>
{sections}
{_proofs(results)}
<section id="environment"><h2>How it was measured</h2>{_environment(record)}</section>
</main>
<footer><p>Every row is in results.sqlite; <code>pruneproof report</code> makes this page again from it.</p></footer>
</body>
</html>
"""


def _of(paper: Paper, results: list[Result]) -> list[Result]:
    return [result for result in results if result.claim.paper == paper.key]


def _summary(results: list[Result]) -> str:
    counts = Counter(result.outcome.verdict for result in results)
    found = ", ".join(f"{counts[verdict]} {_verb(verdict, counts[verdict])}" for verdict in Verdict if counts[verdict])
    theorems = sum(result.claim.theorem for result in results)
    broken = counts[Verdict.VIOLATED]
    proved = f"{broken} of {theorems} theorems violated" if broken else f"no theorem violated (of {theorems})"
    claims = f"{len(results)} claim{'s' if len(results) != 1 else ''}"
    return f"{claims}: {found or 'none run'}. <strong>{proved[0].upper()}{proved[1:]}.</strong>"


def _verb(verdict: Verdict, number: int) -> str:
    return "hold" if verdict is Verdict.HOLDS and number > 1 else escape(str(verdict))


def _when(results: list[Result], record: dict[str, Any]) -> str:
    scales = " and ".join(f"scale {scale}" for scale in Scale if any(result.scale is scale for result in results))
    source = record.get("environment", {}).get("source", "")
    parts = [scales, record.get("started", ""), record.get("duration", ""), source and f"source {source}"]
    return escape(" · ".join(part for part in parts if part))


def _verdicts(told: list[tuple[Paper, list[Result]]]) -> str:
    bodies = "".join(_verdict_rows(paper, some) for paper, some in told)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Statement", "Verdict"))
    return f'<table class="verdicts"><thead><tr>{head}</tr></thead>{bodies}</table>'


def _verdict_rows(paper: Paper, results: list[Result]) -> str:
    link = f'<a href="#paper-{escape(paper.key, quote=True)}">{escape(paper.title)}</a>'
    head = f'<tr class="paper"><th colspan="3" scope="rowgroup">{link}</th></tr>'
    return f"<tbody>{head}{''.join(map(_verdict_row, results))}</tbody>"


def _verdict_row(result: Result) -> str:
    name = escape(result.claim.id, quote=True)
    statement = prose(result.claim.statement)
    link = f'<th scope="row"><a href="#{name}">{name}</a></th>'
    return f"<tr>{link}<td>{statement}</td><td>{badge(result.outcome.verdict)}</td></tr>"


def _paper(paper: Paper, results: list[Result], store: Store) -> str:
    arxiv = f" · arXiv:{escape(paper.arxiv)}" if paper.arxiv else ""
    claims = "\n".join(claim_section(result, list(store.rows(result.claim.id))) for result in results)
    return f"""<section class="paper" id="paper-{escape(paper.key, quote=True)}">
<h2>{prose(paper.title)}</h2>
<p class="authors">{escape(paper.authors)} · {paper.year}{arxiv}</p>
{claims}
</section>"""


def _proofs(results: list[Result]) -> str:
    ours = any(result.claim.theorem and result.claim.paper in KEYS for result in results)
    return obligations_section() if ours else ""


def _legend() -> str:
    meanings = "".join(f"<div><dt>{badge(verdict)}</dt><dd>{MEANINGS[verdict]}</dd></div>" for verdict in Verdict)
    return f'<details class="legend"><summary>What the verdicts mean</summary><dl>{meanings}</dl></details>'


def _environment(record: dict[str, Any]) -> str:
    about = {"command": record.get("command", ""), **record.get("environment", {})}
    lines = "".join(
        f"<div><dt>{label(name)}</dt><dd>{escape(shown(value))}</dd></div>" for name, value in about.items()
    )
    return f'<dl class="environment">{lines}</dl>'
