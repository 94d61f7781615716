"""One step of a proof as data: what is claimed, under which conditions, on which range, and a false twin beside it.

The kind of claim decides how it is discharged, at the strongest level that applies:

* `Identity`: sympy shows that the difference of two formulas is zero (level `symbolic`);
* a relation between polynomials or rational functions, without a box: z3 shows that conditions and negation contradict
  each other over the reals (level `smt`);
* a relation with a box: ball arithmetic shows it on the whole box (level `certified`).

The twin is the same step with a constant tightened or a condition dropped. It must be refuted, with a witness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import sympy

Level = Literal["symbolic", "smt", "certified"]
LEVELS: tuple[Level, ...] = ("symbolic", "smt", "certified")  # strongest first


@dataclass(frozen=True, eq=False)
class Identity:
    """The claim that two formulas are equal for all values that their symbols declare."""

    left: sympy.Expr
    right: sympy.Expr

    def __str__(self) -> str:
        """The identity in one line."""
        return f"{self.left} = {self.right}"


Claim = Identity | sympy.Basic


@dataclass(frozen=True, eq=False)
class Twin:
    """A false version of a step: `text` says what was changed; `claim` or `given` replaces that of the step."""

    text: str
    claim: Claim | None = None
    given: tuple[sympy.Basic, ...] | None = None


@dataclass(frozen=True, eq=False)
class Obligation:
    """One inequality, identity or induction step that a theorem rests on.

    **Arguments:** `id`, `"theorem.step"`; `statement`, the step in words; `claim`; `twin`; `given`, the conditions;
    `box`, symbol → range, for a certified claim, with `tail` and `touch` as in `prove`; `trust`, what the theorem takes
    from elsewhere at this step, by name.
    """

    id: str
    statement: str
    claim: Claim
    twin: Twin
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
    def level(self) -> Level:
        """How the step is discharged."""
        if isinstance(self.claim, Identity):
            return "symbolic"
        return "certified" if self.box else "smt"
