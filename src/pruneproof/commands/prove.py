"""Check every step of every proof by machine, and that its false twin is refused."""

import json as json_text
from typing import Annotated

import tyro

from ..errors import PruneproofError
from ..theory.obligations import Discharge, discharge, obligations
from ..theory.obligations.chain import page


def main(
    *,
    theorem: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Check every step of every proof by machine, and that its false twin is refused.

    Exit status 1 if a step is not proved or a twin not refuted.

    Example: pruneproof prove --theorem G1

    Args:
        theorem: check one theorem and print its page: assumptions, steps, twins, what rests on trust.
        json: print a list of objects: id, theorem, statement, level, verdict, boxes, seconds, twin, twin_verdict,
            witness, trust.
    """
    chosen = obligations(theorem)
    if not chosen:
        known = ", ".join(dict.fromkeys(step.theorem for step in obligations()))
        raise PruneproofError("prove", required=f"one of {known}", received=theorem, remedy="check the name")
    results = [discharge(step) for step in chosen]
    if json:
        print(json_text.dumps([result.row() for result in results], ensure_ascii=False, indent=1))
    elif theorem:
        print(page(theorem, results), end="")
    else:
        _show(results)
    return 0 if all(result.sound for result in results) else 1


def _show(results: list[Discharge]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    columns = ("level", "boxes", "seconds", "verdict", "false twin")
    table = Table(Column("id", no_wrap=True), *columns, box=None)
    for result in results:
        step, boxes = result.obligation, str(result.boxes or "")
        row = (step.level, boxes, f"{result.seconds:.3f}", result.verdict, result.twin_verdict)
        table.add_row(step.id, *row, style=None if result.sound else "bold red")
    sound, seconds = sum(result.sound for result in results), sum(result.seconds for result in results)
    console = Console()
    console.print(table)
    console.print(f"{sound} of {len(results)} steps proved with their false twin refuted, {seconds:.1f} s")
