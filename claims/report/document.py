"""The page: what was found in one table, then every paper with its claims, then with what it was found.

Everything that came from rows, claims or the machine is escaped. The page loads nothing.
"""

from collections import Counter
from html import escape
from typing import Any

from ..claim import Paper, Scale, Verdict
from ..papers import KEYS, Chapter
from ..runner import Result
from ..store import Store
from ..values import shown
from .badge import MEANINGS, badge
from .claim_section import claim_section
from .obligations import obligations_section
from .prose import prose
from .stylesheet import STYLE
from .table import label


def page(chapters: tuple[Chapter, ...], results: list[Result], store: Store, record: dict[str, Any]) -> str:
    """The report as one HTML document.

    Arguments:
        chapters: the papers, in the order of the page.
        results: the judged claims.
        store: where their rows are.
        record: when, where and with what they were measured, as in `run.json`.
    """
    parts = [(chapter.paper, _of(chapter.paper, results)) for chapter in chapters]
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
