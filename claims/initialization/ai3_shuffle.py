"""AI3, AI4, AI5 and AI6: what shuffling, re-initialising and inverting do to the methods' accuracy."""

from collections.abc import Sequence
from functools import partial

from pruneproof.claims.claim import Claim, Outcome, Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import above, accuracies, below, difference, estimate, verdict

from .figures import curves
from .grid import DENSITY, ablation_cells, late_cells, pruned
from .methods import NETWORK, SOURCE
from .tables import accuracy_table
from .variants import ABLATED

MARGIN = 2.5  # points of accuracy that an ablation may cost
CONTROL = 10.0  # points by which the random control must be worse, or the test could not see a loss
DESTROYED = 60.0  # per cent


def judge_preserved(rows: Sequence[Row], ablation: str) -> Outcome:
    """AI3 and AI4: ablated minus original, non-inferior by `MARGIN`; the random control shows that losses are seen."""
    deltas = {m: difference(_level(rows, m, ablation), _level(rows, m)) for m in (*ABLATED, "grasp")}
    control = {m: difference(_level(rows, m), _level(rows, "random")) for m in ABLATED}
    asserted = [above(deltas[m], -MARGIN) for m in ABLATED]
    sensitive = all(above(delta, CONTROL) for delta in control.values())
    reached = verdict(asserted) if sensitive else Verdict.INCONCLUSIVE
    measured = {f"{m}: {ablation} − original": delta.interval for m, delta in deltas.items() if delta.seeds}
    measured |= {f"control: {m} − random": delta.interval for m, delta in control.items()}
    open_ = [deltas[m].detectable for m, test in zip(ABLATED, asserted, strict=True) if test is None]
    scope = f"On {NETWORK}" + (f"; undecided: differences below {max(open_):.1f} points" if open_ else "")
    scope += "." if sensitive else f"; the random control is not shown to be {CONTROL:.0f} points worse."
    return Outcome(reached, measured, deltas[ABLATED[0]].seeds, scope, accuracy_table(rows, ("none", ablation)))


def judge_inverted(rows: Sequence[Row]) -> Outcome:
    """AI5: accuracy under inverted scores, against an absolute bound."""
    levels = {m: estimate(_level(rows, m, "invert")) for m in (*ABLATED, "grasp")}
    tests = [below(levels[m], DESTROYED) for m in ABLATED]
    measured = {f"{m}, inverted": level.interval for m, level in levels.items() if level.seeds}
    scope = f"On {NETWORK}."
    return Outcome(verdict(tests), measured, levels[ABLATED[0]].seeds, scope, accuracy_table(rows, ("none", "invert")))


def judge_tickets(rows: Sequence[Row]) -> Outcome:
    """AI6: printed with its power, whatever it is."""
    ticket = _late(rows, "ticket")
    deltas = {name: difference(_late(rows, f"ticket {name}"), ticket) for name in ("shuffle", "reinitialize")}
    measured: dict[str, object] = {f"ticket: {name} − original": delta.interval for name, delta in deltas.items()}
    measured["detectable with 80 % power, points"] = round(max(delta.detectable for delta in deltas.values()), 2)
    scope = f"On {NETWORK}; printed with its power, never asserted: so the criterion was fixed before the run."
    return Outcome(Verdict.INCONCLUSIVE, measured, deltas["shuffle"].seeds, scope)


def _level(rows: Sequence[Row], method: str, ablation: str = "none") -> dict[int, float]:
    return accuracies(rows, kind="early", network="cnn", density=DENSITY, method=method, ablation=ablation, at=0)


def _late(rows: Sequence[Row], variant: str) -> dict[int, float]:
    return accuracies(rows, kind="late", network="cnn", density=DENSITY, variant=variant)


def _preserves(id: str, ablation: str, deed: str) -> Claim:
    return Claim(
        id,
        f"{deed} preserves or improves accuracy: what matters is the fraction kept in each layer.",
        SOURCE,
        f"On {NETWORK}: for SNIP, SynFlow, magnitude and GraSP-abs the one-sided 95 % lower bound of the paired mean "
        f"of (ablated − original) lies above −{MARGIN} points, and, so that the test could have failed, the same "
        f"methods beat random pruning by at least {CONTROL:.0f} points with the same confidence. GraSP proper is "
        "printed.",
        pruned,
        paper="initialization",
        grid=partial(ablation_cells, ablations=(ablation,)),
        judge=partial(judge_preserved, ablation=ablation),
        figures=lambda rows: [curves(rows, ablation)],
        says_not="That it holds for perceptrons: AI7 shows where it stops.",
    )


AI3 = _preserves("AI3", "shuffle", "Shuffling which weights are kept within each layer")
AI4 = _preserves("AI4", "reinitialize", "Re-initialising the weights under the mask")
AI5 = Claim(
    "AI5",
    "Inverting the scores destroys accuracy: the scores do carry information about layers.",
    SOURCE,
    f"On {NETWORK}: for SNIP, SynFlow, magnitude and GraSP-abs the one-sided 95 % upper bound of the mean test "
    f"accuracy under inverted scores lies below {DESTROYED:.0f} %. GraSP proper is printed.",
    pruned,
    paper="initialization",
    grid=partial(ablation_cells, ablations=("invert",)),
    judge=judge_inverted,
    figures=lambda rows: [curves(rows, "invert")],
    says_not="That the scores tell which weights within a layer to keep: AI3 and AI4 are about that.",
)
AI6 = Claim(
    "AI6",
    "Masks found after training are different: shuffling or re-initialising them costs accuracy.",
    SOURCE,
    f"On {NETWORK}: the paired differences of lottery tickets are printed with the smallest effect that the seeds "
    "could have shown; the claim is never asserted here, whatever they are.",
    pruned,
    paper="initialization",
    grid=late_cells,
    judge=judge_tickets,
    says_not="Whether the published effect exists here: nothing is asserted, whatever the differences are.",
)
