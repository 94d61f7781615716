"""Proof obligations: every inequality step of the derived statements, checked by machine, each with a false twin.

One file per family of theorems; the proofs that the steps belong to are in the Markdown files of `theory`. What rests
on a theorem from elsewhere says so by name (`trust`).
"""

from functools import cache
from importlib import import_module

from .obligation import LEVELS as LEVELS
from .obligation import Identity as Identity
from .obligation import Obligation as Obligation
from .obligation import Twin as Twin
from .verdicts import Discharge as Discharge
from .verdicts import discharge as discharge

FAMILIES = ("greedy", "pretraining", "dataset_size", "sensitivity", "network", "scaling_law", "mixtures")


@cache
def obligations(theorem: str | None = None) -> tuple[Obligation, ...]:
    """All obligations, in the order of the proofs; or those of one theorem.

    >>> [step.id for step in obligations("G2")]
    ['G2.vertex', 'G2.expansion', 'G2.base', 'G2.invariance', 'G2.conclusion']
    """
    found = [step for family in FAMILIES for step in import_module(f"{__name__}.{family}").OBLIGATIONS]
    return tuple(step for step in found if theorem in (None, step.theorem))


def table(theorem: str | None = None) -> list[dict[str, object]]:
    """Check all obligations, or those of one theorem; one JSON-able row each.

    Keys: id, theorem, statement, level, verdict, boxes, seconds, twin, twin_verdict, witness, trust.
    """
    return [discharge(step).row() for step in obligations(theorem)]
