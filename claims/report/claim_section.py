"""A verdict as a badge: a sign, a word and a colour, so that none of them has to be seen.

Rows with the same keys as an HTML table: figures to the right, text to the left, wide ones scroll.

One claim as a section of the page: statement, source, criterion, what was measured, pictures, verdict, limits.
"""

import traceback
from html import escape
from typing import Any

from pruneproof.claims.claim import Figure, Measured, Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import Estimate, is_interval, shown
from pruneproof.claims.verification import Result

from .markup import prose
from .picture import picture

SIGNS = {
    Verdict.HOLDS: ("✓", "holds"),
    Verdict.VIOLATED: ("✗", "violated"),
    Verdict.NOT_REPRODUCED: ("≠", "unreproduced"),
    Verdict.INCONCLUSIVE: ("?", "inconclusive"),
    Verdict.VACUOUS: ("∅", "vacuous"),
    Verdict.NOT_APPLICABLE: ("–", "inapplicable"),
}


MEANINGS = {
    Verdict.HOLDS: "The criterion, fixed before the run, is met in the stated scope. It does not prove the paper.",
    Verdict.VIOLATED: "A proved statement met a counterexample: the proof, its assumptions or this code is wrong.",
    Verdict.NOT_REPRODUCED: "The observation was looked for and not found here; the figures say how far.",
    Verdict.INCONCLUSIVE: "The data cannot tell; the scope says what was missing.",
    Verdict.VACUOUS: "The bound is true and says nothing here.",
    Verdict.NOT_APPLICABLE: "An assumption of the statement does not hold here.",
}


def badge(verdict: Verdict) -> str:
    """The verdict in its colour.

    Example:
        >>> badge(Verdict.HOLDS)
        '<span class="badge holds"><span aria-hidden="true">✓</span> holds</span>'
    """
    sign, kind = SIGNS[verdict]
    return f'<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {escape(str(verdict))}</span>'


def table(rows: list[Row], caption: str) -> str:
    """A table with the first row's keys as its columns.

    Arguments:
        rows: what to show; a key that a row lacks shows as a dash.
        caption: what the table shows, for everybody who cannot see where it stands.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    figures = {name for name in columns if all(_is_figure(row.get(name)) for row in rows)}
    head = "".join(f'<th scope="col"{_type_of(name in figures)}>{label(name)}</th>' for name in columns)
    lines = ("".join(_cell(row.get(name), name in figures) for name in columns) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return _framed(f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", caption)


def measured_table(measured: Measured) -> str:
    """What was measured, one line per figure, intervals in a column of their own."""
    return _framed(f"<tbody>{''.join(_line(name, value) for name, value in measured.items())}</tbody>", "Measured")


def label(name: str) -> str:
    """A key as a person reads it."""
    return prose(name if "$" in name else name.replace("_", " "))


def _line(name: str, value: Any) -> str:
    head = f'<th scope="row">{label(name)}</th>'
    if not is_interval(value):
        kind = _type_of(_is_figure(value))
        return f"<tr>{head}<td{kind}>{_text(value)}</td><td></td></tr>" if kind else _wide(head, value)
    if isinstance(value, Estimate):
        interval = f"{_text(value.low)} … {_text(value.high)}" if value.has_interval else _text(value.interval_text)
        return f'<tr>{head}<td class="n">{_text(value.value)}</td><td class="interval">{interval}</td></tr>'
    estimate, low, high = (_text(part) for part in value)
    return f'<tr>{head}<td class="n">{estimate}</td><td class="interval">{low} … {high}</td></tr>'


def _wide(head: str, value: Any) -> str:
    return f'<tr>{head}<td colspan="2">{_text(value)}</td></tr>'


def _cell(value: Any, figure: bool) -> str:
    return f"<td{_type_of(figure)}>{_text(value)}</td>"


def _type_of(figure: bool) -> str:
    return ' class="n"' if figure else ""


def _is_figure(value: Any) -> bool:
    return value is None or is_interval(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: Any) -> str:
    """A value with a true minus sign, texts as prose."""
    return prose(shown(value)) if isinstance(value, str) else escape(shown(value)).replace("-", "−")


def _framed(inner: str, caption: str) -> str:
    name = escape(caption, quote=True)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>{inner}</table></div>'


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
