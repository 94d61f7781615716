"""One claim as a section of the page: statement, source, criterion, what was measured, pictures, verdict, limits."""

import traceback
from typing import Any

from markupsafe import Markup

from pruneproof.claims.engine.cell import Row
from pruneproof.claims.verification import Result

from .markup import templates
from .measuring import data_of, seeds_of
from .picture import picture

MOST = 6  # rows of a table that a page serves; the rest are in results.sqlite


def claim_section(result: Result, rows: list[Row], fixed: str = "") -> Markup:
    """The section of a claim.

    Args:
        result: The claim with its verdict.
        rows: Its rows, for the pictures.
        fixed: When its criterion was written down, or an empty text if that is not known.
    """
    pictures, undrawn = _pictures(result, rows)
    template = templates().get_template("claim.html")
    return Markup(
        template.render(
            result=result,
            claim=result.claim,
            outcome=result.outcome,
            fixed=fixed,
            data=data_of(rows),
            seeds=seeds_of(result.outcome.seeds, rows),
            pictures=pictures,
            undrawn=undrawn,
            most=MOST,
        )
    )


def _pictures(result: Result, rows: list[Row]) -> tuple[list[tuple[str, str, Markup]], str]:
    """Title, caption and drawing of each picture; or why they could not be drawn, which must not cost the page."""
    figures: Any = result.claim.figures
    if figures is None or not rows:
        return [], ""
    try:
        return [
            (figure.title, figure.caption, Markup(picture(figure, f"{result.claim.id}-{number}")))
            for number, figure in enumerate(figures(rows))
        ], ""
    except Exception:
        return [], traceback.format_exc()
