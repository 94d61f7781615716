"""One claim as a section of the page: statement, source, criterion, what was measured, pictures, verdict, limits."""

import traceback
from typing import Any, NamedTuple

from markupsafe import Markup

from pruneproof.claims.engine.cell import Row
from pruneproof.claims.verification import Result

from .markup import templates
from .measuring import data_of, seeds_of
from .picture import picture

WHOLE, MOST = 32, 6  # a table of more rows than the first has only the second number of them on the page


class Pictures(NamedTuple):
    """Title, caption and drawing of each picture of a claim; or why they could not be drawn."""

    drawn: list[tuple[str, str, Markup]]
    undrawn: str


def claim_section(result: Result, rows: list[Row], pictures: Pictures, fixed: str = "") -> Markup:
    """The section of a claim.

    Args:
        result: The claim with its verdict.
        rows: Its rows.
        pictures: What is drawn of them.
        fixed: When its criterion was written down, or an empty text if that is not known.
    """
    template = templates().get_template("claim.html")
    return Markup(
        template.render(
            result=result,
            claim=result.claim,
            outcome=result.outcome,
            fixed=fixed,
            data=data_of(rows),
            seeds=seeds_of(result.outcome.seeds, rows),
            pictures=pictures.drawn,
            undrawn=pictures.undrawn,
            whole=WHOLE,
            most=MOST,
        )
    )


def draw(result: Result, rows: list[Row]) -> Pictures:
    """Draw the pictures of a claim; that one cannot be drawn must not cost the page."""
    figures: Any = result.claim.figures
    if figures is None or not rows:
        return Pictures([], "")
    try:
        return Pictures(
            [
                (figure.title, figure.caption, Markup(picture(figure, f"{result.claim.id}-{number}")))
                for number, figure in enumerate(figures(rows))
            ],
            "",
        )
    except Exception:
        return Pictures([], traceback.format_exc())
