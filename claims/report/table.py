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
    figures = {name for name in columns if all(_is_figure(row.get(name)) for row in rows)}
    head = "".join(f'<th scope="col"{_kind(name in figures)}>{label(name)}</th>' for name in columns)
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
        kind = _kind(_is_figure(value))
        return f"<tr>{head}<td{kind}>{_text(value)}</td><td></td></tr>" if kind else _wide(head, value)
    estimate, low, high = (_text(part) for part in value)
    return f'<tr>{head}<td class="n">{estimate}</td><td class="interval">{low} … {high}</td></tr>'


def _wide(head: str, value: Any) -> str:
    return f'<tr>{head}<td colspan="2">{_text(value)}</td></tr>'


def _cell(value: Any, figure: bool) -> str:
    return f"<td{_kind(figure)}>{_text(value)}</td>"


def _kind(figure: bool) -> str:
    return ' class="n"' if figure else ""


def _is_figure(value: Any) -> bool:
    return value is None or is_interval(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: Any) -> str:
    """A value with a true minus sign, texts as prose."""
    return prose(shown(value)) if isinstance(value, str) else escape(shown(value)).replace("-", "−")


def _framed(inner: str, caption: str) -> str:
    name = escape(caption, quote=True)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>{inner}</table></div>'
