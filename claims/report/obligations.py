"""The proof obligations behind the bounds, checked while the page is made: a sentence, and a table on demand."""

from collections import Counter
from typing import Any

from ..extras import require
from ..values import shown
from .table import table


def obligations_section() -> str:
    """The section; it says so if the steps could not be checked here."""
    try:
        require("report", "z3")
    except ValueError as error:
        return _section(f"<p>Not checked here. {error}</p>")
    from ...theory.obligations import table as discharged

    rows = discharged()
    shown_rows = [_shown(row) for row in rows]
    return _section(
        f"<p>{_summary(rows)}</p><details><summary>All steps</summary>{table(shown_rows, 'Steps')}</details>"
    )


def _section(inner: str) -> str:
    return f'<section id="obligations"><h2>The proofs behind the theorems</h2>{inner}</section>'


def _summary(rows: list[dict[str, Any]]) -> str:
    proved = sum(row["verdict"] == "proved" for row in rows)
    refuted = sum(row["twin_verdict"] == "refuted" for row in rows)
    levels = Counter(row["level"] for row in rows)
    by = ", ".join(f"{number} {_HOW[level]}" for level, number in levels.items())
    return (
        f"{proved} of {len(rows)} steps are proved by machine ({by}). Of their {len(rows)} false twins, the same steps "
        f"with a constant tightened or a condition dropped, {refuted} are refuted. The proofs are in theory/*.md."
    )


_HOW = {"symbolic": "as identities", "smt": "by z3", "certified": "by ball arithmetic"}


def _shown(row: dict[str, Any]) -> dict[str, str]:
    return {
        "step": row["id"],
        "says": row["statement"],
        "verdict": row["verdict"],
        "by": row["level"],
        "false twin": f"{row['twin']}: {row['twin_verdict']}",
        "rests on": shown(row["trust"]) or "–",
    }
