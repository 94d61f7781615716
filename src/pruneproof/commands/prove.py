"""Check every step of every proof by machine, and that its negative control is refused."""

import json as json_text
from typing import Annotated

import tyro

from pruneproof.errors import PruneproofError
from pruneproof.theory.prover.verdicts import Discharge, discharge
from pruneproof.theory.theorems.catalogue import obligations
from pruneproof.theory.theorems.proof_page import page


def main(
    *,
    theorem: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Check every step of every proof by machine, and that its negative control is refused.

    Exit status 1 if a step is not proved or a negative control not refuted.

    Example: pruneproof prove --theorem G1

    Args:
        theorem: check one theorem and print its page: assumptions, steps, controls, what rests on trust.
        json: print a list of objects: id, theorem, statement, level, verdict, boxes, seconds, control, control_verdict,
            witness, trust.
    """
    if theorem is not None:
        theorem = _named(theorem)
    results = [discharge(step) for step in obligations(theorem)]
    if json:
        print(json_text.dumps([result.row() for result in results], ensure_ascii=False, indent=1))
    elif theorem:
        print(page(theorem, results), end="")
    else:
        _show(results)
    return 0 if all(result.sound for result in results) else 1


def _named(theorem: str) -> str:
    """A theorem by its name in any case, as `bound` takes it."""
    known = {step.theorem.casefold(): step.theorem for step in obligations()}
    if theorem.casefold() not in known:
        required = f"one of {', '.join(known.values())}"
        raise PruneproofError("prove", required=required, received=theorem, remedy="check the name")
    return known[theorem.casefold()]


def _show(results: list[Discharge]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    columns = ("level", "boxes", "seconds", "verdict", "negative control")
    table = Table(Column("id", no_wrap=True), *columns, box=None)
    for result in results:
        step, boxes = result.obligation, str(result.boxes or "")
        row = (step.level, boxes, f"{result.seconds:.3f}", result.verdict, result.control_verdict)
        table.add_row(step.id, *row, style=None if result.sound else "bold red")
    sound, seconds = sum(result.sound for result in results), sum(result.seconds for result in results)
    console = Console()
    console.print(table)
    console.print(f"{sound} of {len(results)} steps proved with their negative control refuted, {seconds:.1f} s")
