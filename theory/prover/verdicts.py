"""Check a step of a proof and its negative control: the first must be proved, the second refuted.

Identities are reduced to zero by sympy, and refuted at a point where a ball excludes equality;
polynomial steps go to z3, steps with a box to `prove`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, cast

import sympy

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import enclose

from . import smt
from .obligation import Formula, Identity, Obligation
from .search import prove

ProofVerdict = Literal["proved", "refuted", "undecided"]

# Distinct rationals without structure: no two of them make an accidental identity likely.
_POINTS = tuple(sympy.Rational(*pair) for pair in ((7, 5), (3, 11), (13, 6), (2, 9), (17, 4), (5, 13), (19, 8), (1, 7)))


def holds(identity: Identity) -> bool:
    """Does sympy reduce the difference of both sides to zero?"""
    return sympy.simplify(_difference(identity)) == 0


def counterexample(identity: Identity) -> str | None:
    """A point at which the two sides certainly differ, in words; `None` if the points tried show none."""
    difference = _difference(identity)
    symbols = sorted(difference.free_symbols, key=str)
    for shift in range(len(_POINTS)):
        points = [_POINTS[(shift + index) % len(_POINTS)] for index in range(len(symbols))]
        try:
            ball = enclose(difference, dict(zip(cast("list[sympy.Symbol]", symbols), points, strict=True)))
        except PruneproofError:  # undefined there, or outside what a symbol declares
            continue
        if ball < 0 or ball > 0:
            shown = ", ".join(f"{symbol} = {point}" for symbol, point in zip(symbols, points, strict=True))
            return f"{shown or 'constants'}: difference {ball.str(6)}"
    return None


def _difference(identity: Identity) -> sympy.Expr:
    """Left minus right, with integrals, sums and limits carried out."""
    return identity.left.doit() - identity.right.doit()


@dataclass(frozen=True)
class Discharge:
    """What came of one step.

    Args:
        obligation: The step.
        verdict: Whether it was proved.
        boxes: How many boxes a certified step needed.
        seconds: Time spent on the step, its control not counted.
        control_verdict: What came of the negative control.
        witness: The point that refutes the control, in words.
    """

    obligation: Obligation
    verdict: ProofVerdict
    boxes: int
    seconds: float
    control_verdict: ProofVerdict
    witness: str

    @property
    def sound(self) -> bool:
        """Is the step proved and its negative control refuted?"""
        return self.verdict == "proved" and self.control_verdict == "refuted"

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
            "control": step.control.text,
            "control_verdict": self.control_verdict,
            "witness": self.witness,
            "trust": list(step.trust),
        }


def discharge(obligation: Obligation) -> Discharge:
    """Check one step and its negative control.

    Args:
        obligation: The step.

    Returns:
        Both verdicts. Time and boxes depend on the machine's speed only through `seconds`.

    Example:
        >>> from pruneproof.theory.theorems.catalogue import obligations
        >>> discharge(next(step for step in obligations() if step.id == "G2.invariance")).sound
        True
    """
    start = perf_counter()
    verdict, boxes, _ = _decide(obligation, obligation.claim, obligation.given)
    seconds = perf_counter() - start
    control = obligation.control
    given = obligation.given if control.given is None else control.given
    claim = obligation.claim if control.claim is None else control.claim
    control_verdict, _, witness = _decide(obligation, claim, given)
    return Discharge(obligation, verdict, boxes, seconds, control_verdict, witness)


def _decide(step: Obligation, claim: Formula, given: tuple[sympy.Basic, ...]) -> tuple[ProofVerdict, int, str]:
    """Verdict, boxes looked at, witness against the claim."""
    if isinstance(claim, Identity):
        return _decide_identity(claim)
    if step.box is None:
        verdict, witness = smt.decide(claim, given)
        return verdict, 0, witness
    proof = prove(claim, step.box, given=given, tail=step.tail, touch=step.touch, seconds=None)
    shown = ", ".join(f"{name} = {value}" for name, value in (proof.witness or {}).items())
    return proof.verdict, proof.boxes, f"{shown}: {proof.value}" if shown else "; ".join(proof.where)


def _decide_identity(claim: Identity) -> tuple[ProofVerdict, int, str]:
    witness = counterexample(claim)
    if witness is not None:
        return "refuted", 0, witness
    return cast(ProofVerdict, "proved" if holds(claim) else "undecided"), 0, ""


def table(steps: Iterable[Obligation]) -> list[dict[str, object]]:
    """Check steps of proofs and their negative controls; one JSON-able row each.

    Args:
        steps: The steps, such as `obligations("G1")`.

    Returns:
        Rows with the keys id, theorem, statement, level, verdict, boxes, seconds, control,
        control_verdict, witness, trust.
    """
    return [discharge(step).row() for step in steps]
