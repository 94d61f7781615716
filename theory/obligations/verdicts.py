"""Check an obligation and its false twin: the first must be proved, the second refuted with a witness."""

from dataclasses import dataclass
from time import perf_counter
from typing import Literal, cast

import sympy

from ..certify import prove
from . import smt, symbolic
from .obligation import Claim, Identity, Obligation

Verdict = Literal["proved", "refuted", "undecided"]


@dataclass(frozen=True)
class Discharge:
    """What came of one obligation: `boxes` counts those of a certified step, `witness` refutes the twin."""

    obligation: Obligation
    verdict: Verdict
    boxes: int
    seconds: float
    twin_verdict: Verdict
    witness: str

    @property
    def sound(self) -> bool:
        """Is the step proved and its twin refuted?"""
        return self.verdict == "proved" and self.twin_verdict == "refuted"

    def row(self) -> dict[str, object]:
        """The result as plain data, for tables and JSON."""
        step = self.obligation
        return {
            "id": step.id,
            "theorem": step.theorem,
            "statement": step.statement,
            "level": step.level,
            "verdict": self.verdict,
            "boxes": self.boxes,
            "seconds": round(self.seconds, 3),
            "twin": step.twin.text,
            "twin_verdict": self.twin_verdict,
            "witness": self.witness,
            "trust": list(step.trust),
        }


def discharge(obligation: Obligation) -> Discharge:
    """Check one obligation and its false twin.

    >>> from pruneproof.theory.obligations import obligations
    >>> discharge(next(step for step in obligations() if step.id == "G2.invariance")).sound
    True
    """
    start = perf_counter()
    verdict, boxes, _ = _decide(obligation, obligation.claim, obligation.given)
    seconds = perf_counter() - start
    twin = obligation.twin
    given = obligation.given if twin.given is None else twin.given
    twin_verdict, _, witness = _decide(obligation, obligation.claim if twin.claim is None else twin.claim, given)
    return Discharge(obligation, verdict, boxes, seconds, twin_verdict, witness)


def _decide(step: Obligation, claim: Claim, given: tuple[sympy.Basic, ...]) -> tuple[Verdict, int, str]:
    """Verdict, boxes looked at, witness against the claim."""
    if isinstance(claim, Identity):
        return _decide_identity(claim)
    if step.box is None:
        verdict, witness = smt.decide(claim, given)
        return verdict, 0, witness
    proof = prove(claim, step.box, given=given, tail=step.tail, touch=step.touch)
    shown = ", ".join(f"{name} = {value}" for name, value in (proof.witness or {}).items())
    return proof.verdict, proof.boxes, f"{shown}: {proof.value}" if shown else "; ".join(proof.where)


def _decide_identity(claim: Identity) -> tuple[Verdict, int, str]:
    witness = symbolic.counterexample(claim)
    if witness is not None:
        return "refuted", 0, witness
    return cast(Verdict, "proved" if symbolic.holds(claim) else "undecided"), 0, ""
