"""A verdict as a badge: a sign, a word and a colour, so that none of them has to be seen."""

from html import escape

from ..claim import Verdict

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
