"""SL1: do the published formula, its real form, limits and inverse agree, and does a fit find the constants?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import LAW
from pruneproof.theory.scaling.points import Points, points_from_rows
from pruneproof.theory.scaling.smallest_network import smallest_invariant
from pruneproof.theory.theorems.scaling_law import statement as law

from .setting import PUBLICATION

NOISE = 0.034  # the seed noise that the paper reports
REPEATS = 50
TRUTH = {"p": 0.03, "gamma": 1.2, "upper_error": 0.7}
DENSE = 0.06
BARS = {"p": 0.05, "gamma": 0.04, "upper_error": 0.01}
ROUND_TRIP = 1e-10

STATEMENT = (
    "The published law equals its real form, has the stated limits and a closed-form inverse, and its constants can be "
    "recovered from noisy measurements."
)
SOURCE = f"{PUBLICATION}; derivations in theory/theorems/scaling_law/proof.md"
CRITERION = (
    f"Symbolic identities true and a negative control refused; round trip through m* within {ROUND_TRIP:g}; recovery "
    f"of p, γ, ε↑ within 5 %, 4 %, 1 % (root mean square of {REPEATS}) at {NOISE:.1%} noise."
)
SAYS_NOT = "That measured errors follow the law: this is about the formula and the fit."
SYMBOLS = (
    "the law is that of SL2, with its constants p, γ and ε↑; d is the density, and m* is the inverse: where the law "
    "reaches a given error."
)


@dataclass(frozen=True)
class IdentityRow:
    """One symbolic identity.

    Args:
        check: `"identities"`.
        name: What is claimed.
        true: Whether it is proved (for the negative control: whether it is refused).
    """

    check: str
    name: str
    true: bool


@dataclass(frozen=True)
class InverseRow:
    """One round trip through the closed-form inverse.

    Args:
        check: `"inverse"`.
        deviation: Relative deviation of the law at m* from the target.
    """

    check: str
    deviation: float


@dataclass(frozen=True)
class RecoveryRow:
    """One fit to simulated noisy data.

    Args:
        check: `"recovery"`.
        p: Relative deviation of the fitted p from the true one.
        gamma: The same for γ.
        upper_error: The same for ε↑.
    """

    check: str
    p: float
    gamma: float
    upper_error: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Three checks, the same at every scale."""
    return [
        {"check": "identities"},
        {"check": "inverse", "seed": 0, "repeats": 1000},
        {"check": "recovery", "seed": 1, "repeats": REPEATS},
    ]


@stable_id("pruneproof.claims.scaling.algebra:measure_algebra")
def measure(cell: Cell) -> list[IdentityRow] | list[InverseRow] | list[RecoveryRow]:
    """Check identities symbolically ("identities"), the inverse numerically ("inverse"), or recover constants."""
    check = cell["check"]
    if check == "identities":
        return [IdentityRow(check, name, true) for name, true in _identities()]
    generator = np.random.default_rng(cell["seed"])
    if check == "inverse":
        return [InverseRow(check, _round_trip(generator)) for _ in range(cell["repeats"])]
    return [_recovered(check, generator) for _ in range(cell["repeats"])]


def _identities() -> list[tuple[str, bool]]:
    d, gamma = law.density, law.exponent
    real, published = law.real_form(), law.complex_form()
    at_two = real.subs(gamma, 2)
    control = law.dense_error * ((d + law.transition * (law.upper_error / law.dense_error) ** (1 / gamma))
                              / (d + law.transition)) ** gamma  # fmt: skip
    x, gap, share = sympy.symbols("x L s", positive=True)
    logarithm = sympy.log(1 + share * (sympy.exp(2 * gap * x) - 1)) / (2 * x)
    return [
        ("complex form = real form", bool((published / real).equals(1))),
        ("d → ∞ gives the dense error", _same(sympy.limit(at_two, d, sympy.oo), law.dense_error)),
        ("d → 0 gives ε↑", _same(sympy.limit(at_two, d, 0), law.upper_error)),
        ("γ → ∞ is log-linear", _same(sympy.limit(logarithm, x, 0), gap * share)),
        ("negative control refused", not (control / real).equals(1)),
    ]


def _same(left: sympy.Expr, right: sympy.Expr) -> bool:
    return sympy.simplify(left - right) == 0


def _round_trip(generator: np.random.Generator) -> float:
    """Relative deviation of the law at m* from the target it was solved for."""
    shape = {"p": generator.uniform(0.001, 1), "gamma": generator.uniform(0.1, 20), "upper_error": 0.9}
    dense = generator.uniform(0.01, 0.5)
    target = dense * (0.9 / dense) ** generator.uniform(0.02, 0.98)
    invariant = smallest_invariant(target, dense, shape)
    width = _points(np.array([1.0]), dense).replaced(density=np.array([invariant]))
    return float(abs(np.exp(LAW.log_error(shape, width))[0] / target - 1))


def _recovered(check: str, generator: np.random.Generator) -> RecoveryRow:
    points = _points(np.repeat(0.8 ** np.arange(41), 3), DENSE)
    exact = np.exp(LAW.log_error(TRUTH, points))
    fitted = fit(points.replaced(error=exact * (1 + NOISE * generator.standard_normal(len(points)))))
    return RecoveryRow(check, **{name: float(fitted.parameters[name] / value - 1) for name, value in TRUTH.items()})


def _points(density: np.ndarray, dense: float) -> Points:
    rows = [
        {"network": "a", "width": 1, "depth": 1, "density": d, "error": 0.5, "dense_error": dense, "seed": seed}
        for seed, d in enumerate(density)
    ]
    return points_from_rows(rows)


def judge(rows: Sequence[Row]) -> Outcome:
    """Every identity true, every round trip exact; the constants recovered within their bars."""
    identities = {row.name: row.true for row in read_rows(IdentityRow, _of(rows, "identities"))}
    inverse = max(row.deviation for row in read_rows(InverseRow, _of(rows, "inverse")))
    recovery = read_rows(RecoveryRow, _of(rows, "recovery"))
    spread = {name: float(np.sqrt(np.mean([getattr(row, name) ** 2 for row in recovery]))) for name in BARS}
    proved = all(identities.values()) and inverse <= ROUND_TRIP
    recovered = all(spread[name] <= bar for name, bar in BARS.items())
    verdict = Verdict.HOLDS if recovered else Verdict.NOT_REPRODUCED
    return Outcome(
        verdict=verdict if proved else Verdict.VIOLATED,
        measured={
            **{name: "yes" if true else "no" for name, true in identities.items()},
            "largest round-trip deviation": inverse,
            **{f"recovery of {name}, root mean square": value for name, value in spread.items()},
        },
        seeds=(0, 1),
        scope=f"identities for all positive constants (limits in d at γ = 2); {REPEATS} simulated data sets of 41 "
        f"densities × 3 seeds with {NOISE:.1%} noise, p = 0.03, γ = 1.2, ε↑ = 0.7, ε_np = 0.06",
    )


def _of(rows: Sequence[Row], check: str) -> list[Row]:
    return [row for row in rows if row["check"] == check]


SL1 = Claim(
    "SL1",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="scaling",
    grid=grid,
    judge=judge,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
