"""One claim as a section of the page: statement, source, criterion, what was measured, pictures, verdict, limits."""

import traceback
from html import escape

from ..claim import Figure, Row
from ..runner import Result
from .badge import badge
from .picture import picture
from .prose import prose
from .table import measured_table, table

SHOWN = 60  # rows of a table that a page still serves; the rest are in results.sqlite
UNFOLDED = 12  # rows that are shown without asking


def claim_section(result: Result, rows: list[Row]) -> str:
    """The section of a claim.

    Arguments:
        result: the claim with its verdict.
        rows: its rows, for the pictures.
    """
    claim, outcome = result.claim, result.outcome
    return f"""<article class="claim" id="{escape(claim.id, quote=True)}">
<header><h3>{escape(claim.id)}</h3>{badge(outcome.verdict)}<span class="kind">{_kind(result)}</span></header>
<p class="statement">{prose(claim.statement)}</p>
<dl>
<div><dt>Source</dt><dd>{prose(claim.source)}</dd></div>
<div><dt>Criterion, fixed before the run</dt><dd>{prose(claim.criterion)}</dd></div>
<div><dt>Scope of the verdict</dt><dd>{prose(outcome.scope)}</dd></div>
{_seeds(result)}
</dl>
{_measured(result)}
{_pictures(result, rows)}
{_table(result)}
{_failures(result)}
{_says_not(claim.says_not)}
</article>"""


def _kind(result: Result) -> str:
    kind = "theorem" if result.claim.theorem else "observation"
    return f"{kind} · {result.cells - result.missing} of {result.cells} cells · {escape(str(result.scale))}"


def _seeds(result: Result) -> str:
    seeds = ", ".join(map(str, result.outcome.seeds))
    return f"<div><dt>Seeds</dt><dd>{escape(seeds)}</dd></div>" if seeds else ""


def _measured(result: Result) -> str:
    return f"<h4>Measured</h4>{measured_table(result.outcome.measured)}" if result.outcome.measured else ""


def _pictures(result: Result, rows: list[Row]) -> str:
    if result.claim.figures is None or not rows:
        return ""
    try:
        drawn = [_figure(figure, f"{result.claim.id}-{n}") for n, figure in enumerate(result.claim.figures(rows))]
    except Exception:  # a picture that cannot be drawn must not cost the page
        return _details("The pictures could not be drawn", traceback.format_exc())
    return f'<div class="pictures">{"".join(drawn)}</div>'


def _figure(figure: Figure, name: str) -> str:
    inner = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(figure.title, quote=True)}">'
    caption = f"<figcaption><b>{prose(figure.title)}.</b> {prose(figure.caption)}</figcaption>"
    return f"<figure>{inner}{picture(figure, name)}</div>{caption}</figure>"


def _table(result: Result) -> str:
    rows = result.outcome.table
    if not rows:
        return ""
    rest = f"<p>{len(rows) - SHOWN} more rows are in results.sqlite.</p>" if len(rows) > SHOWN else ""
    shown = table(rows[:SHOWN], f"{result.claim.id} in detail") + rest
    if len(rows) <= UNFOLDED:
        return f"<h4>Figures in detail</h4>{shown}"
    return f"<details><summary>Figures in detail: {len(rows)} rows</summary>{shown}</details>"


def _failures(result: Result) -> str:
    broken = _details("The criterion could not be applied", result.broken) if result.broken else ""
    told = [_details(f"{failure.task.cell}: {failure.error}", failure.trace) for failure in result.failures]
    head = f"<h4>{result.missing} cells failed</h4>" if result.missing else ""
    return head + broken + "".join(told)


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def _says_not(text: str) -> str:
    return f"<aside><h4>What this does not say</h4><p>{prose(text)}</p></aside>" if text else ""
