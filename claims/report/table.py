"""Rows with the same keys as an HTML table: figures to the right, text to the left, wide ones scroll."""

from html import escape
from typing import Any

from ..claim import Measured, Row
from ..values import is_interval, shown
from .prose import prose


def table(rows: list[Row], caption: str) -> str:
    """A table with the first row's keys as its columns.

    Arguments:
        rows: what to show; a key that a row lacks shows as a dash.
        caption: what the table shows, for everybody who cannot see where it stands.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{label(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(_cell(row.get(name)) for name in columns) + "</tr>" for row in rows)
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
        return f'<tr>{head}<td colspan="2">{prose(shown(value))}</td></tr>'
    estimate, low, high = (escape(shown(part)) for part in value)
    return f'<tr>{head}<td>{estimate}</td><td class="interval">{low} … {high}</td></tr>'


def _cell(value: Any) -> str:
    figure = isinstance(value, int | float) or is_interval(value)
    kind = ' class="n"' if figure else ""
    return f"<td{kind}>{prose(shown(value))}</td>"


def _framed(inner: str, caption: str) -> str:
    name = escape(caption, quote=True)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>{inner}</table></div>'
