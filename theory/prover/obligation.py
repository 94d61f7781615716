"""One step of a proof as data: a formula, its conditions, its range, and a negative control beside it.

The kind of formula decides how the step is checked, at the strongest level that applies:

* `Identity`: sympy shows that the difference of two expressions is zero (level `symbolic`);
* a relation between polynomials or rational functions, without a box: z3 shows that the conditions
  and the negation contradict each other over the reals (level `smt`);
* a relation with a box: ball arithmetic shows it on the whole box (level `certified`).

The negative control is the same step with a constant tightened or a condition dropped. It must be
refuted, with a witness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import sympy

ProofLevel = Literal["symbolic", "smt", "certified"]
LEVELS: tuple[ProofLevel, ...] = ("symbolic", "smt", "certified")  # strongest first


@dataclass(frozen=True, eq=False)
class Identity:
    """The statement that two expressions are equal for all values that their symbols declare."""

    left: sympy.Expr
    right: sympy.Expr

    def __str__(self) -> str:
        """The identity in one line."""
        return f"{self.left} = {self.right}"


Formula = Identity | sympy.Basic


@dataclass(frozen=True, eq=False)
class NegativeControl:
    """A false version of a step, which the check of the step must refuse.

    Args:
        text: What was changed, such as `"V/4 for V"`.
        claim: The false formula; `None` keeps that of the step.
        given: The conditions that are left; `None` keeps those of the step.
    """

    text: str
    claim: Formula | None = None
    given: tuple[sympy.Basic, ...] | None = None


@dataclass(frozen=True, eq=False)
class Obligation:
    """One inequality, identity or induction step that a theorem rests on.

    Args:
        id: `"theorem.step"`, such as `"G1.base"`.
        statement: The step in words.
        claim: The formula to be shown.
        control: The false version that must be refuted.
        given: Conditions under which the formula is claimed.
        box: Symbol → range, for a formula to be shown by ball arithmetic.
        tail: Where tails start, as in `prove`.
        touch: Interior points where both sides touch, as in `prove`.
        trust: What the theorem takes from elsewhere at this step, by name.
    """

    id: str
    statement: str
    claim: Formula
    control: NegativeControl
    given: tuple[sympy.Basic, ...] = ()
    box: Mapping[sympy.Symbol, object] | None = None
    tail: Mapping[sympy.Symbol, sympy.Expr | int] | None = None
    touch: tuple[sympy.Expr | int, ...] = ()
    trust: tuple[str, ...] = ()

    @property
    def theorem(self) -> str:
        """The theorem that the step belongs to, e.g. `"G1"`."""
        return self.id.partition(".")[0]

    @property
    def level(self) -> ProofLevel:
        """How the step is checked."""
        if isinstance(self.claim, Identity):
            return "symbolic"
        return "certified" if self.box else "smt"
