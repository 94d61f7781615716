"""Check every step of every proof by machine, or prove an inequality of your own."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pruneproof.errors import InvalidValueError
from pruneproof.files import require_file_name
from pruneproof.theory.theorems.catalogue import obligations, theorem_of

if TYPE_CHECKING:
    from pruneproof.theory.prover.search import Proof
    from pruneproof.theory.prover.verdicts import Discharge

UNDECIDED = 3
_TEXTS = Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT …", help_behavior_hint="")]


def main(
    inequality: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[INEQUALITY]", help_behavior_hint="")
    ] = None,
    *,
    on: _TEXTS = (),
    given: _TEXTS = (),
    seconds: Annotated[float | None, tyro.conf.arg(metavar="SECONDS", help_behavior_hint="")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    theorem: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None,
    pages: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Check every step of every proof by machine, with its negative control; or prove an inequality of your own.

    Exit status 1: a step is not proved, a negative control not refuted, or your inequality is refuted. 3: undecided.

    Example: pruneproof prove "x*log(x) > -0.37" --on "x in (0, 1]"

    Args:
        inequality: Two formulas with <, <=, >, >= between them; numbers are exact, ^ is a power, pi and e are known.
        on: The range of each variable, such as "x in (0, 1]" "y in [0, oo)".
        given: Inequalities to assume.
        seconds: How long to search for a proof of your inequality; 30 if left out.
        out: Write the certificate of your inequality, for `pruneproof check`.
        theorem: Check one theorem and print its page: hypotheses, steps, negative controls, what is not checked here.
        pages: Write the page of every theorem into a folder.
        json: Print JSON: of your inequality verdict, boxes, witness; else a list of steps with id, theorem, statement,
            level, verdict, boxes, seconds, control, control_verdict, witness, trust.
    """
    if inequality is not None:
        if theorem or pages:
            raise InvalidValueError("prove: --theorem and --pages do not belong to an inequality. Leave them out.")
        return _prove(inequality, on, given, seconds, out, json)
    if on or given or out or seconds is not None:
        raise InvalidValueError(
            "prove: --on, --given, --seconds and --out belong to an inequality. Put it first, in quotes."
        )
    return _check(None if theorem is None else theorem_of(theorem), pages, json)


def _prove(
    text: str, on: tuple[str, ...], given: tuple[str, ...], seconds: float | None, out: Path | None, as_json: bool
) -> int:
    from pruneproof.theory.prover import notation, prove
    from pruneproof.theory.prover.certificate import save
    from pruneproof.theory.prover.search import SECONDS

    claim, conditions = notation.inequality(text), [notation.inequality(condition) for condition in given]
    numbers = not on and not any(each.free_symbols for each in (claim, *conditions))
    if not on and not numbers:
        raise InvalidValueError('prove: a range for every variable is needed. Add e.g. --on "x in (0, 1]".')
    box = notation.box(on or ["x in [0, 1]"])  # numbers are the same everywhere
    if out is not None:
        require_file_name(out, "prove")
    proof = prove(claim, box, given=conditions, seconds=SECONDS if seconds is None else seconds)
    if out is not None and proof.verdict != "undecided":
        save(proof, out)
    if as_json:
        print(json_text.dumps(_as_data(proof, numbers), ensure_ascii=False, indent=1))
    else:
        print(_as_text(proof, numbers))
    return {"proved": 0, "refuted": 1, "undecided": UNDECIDED}[proof.verdict]


def _claim(proof: "Proof", numbers: bool) -> str:
    return str(proof.problem).partition(" for x in")[0] if numbers else str(proof.problem)


def _as_data(proof: "Proof", numbers: bool) -> dict[str, object]:
    witness = {n: str(value) for n, value in proof.witness.items()} if proof.witness and not numbers else None
    return {
        "claim": _claim(proof, numbers),
        "verdict": proof.verdict,
        "boxes": proof.boxes,
        "decided": proof.decided,
        "witness": witness,
        "difference": None if proof.value is None else str(proof.value),
        "where": list(proof.where),
        "seconds": round(proof.seconds, 3),
    }


def _as_text(proof: "Proof", numbers: bool) -> str:
    lines = [f"{proof.verdict}: {_claim(proof, numbers)}"]
    if proof.verdict == "proved":
        lines.append(f"{proof.leaves} boxes, each decided by a rule, {proof.seconds:.2f} s")
    elif proof.witness:
        at = "" if numbers else " at " + ", ".join(f"{name} = {value}" for name, value in proof.witness.items())
        lines.append(f"false{at}: the difference of the two sides is {proof.value}")
    else:
        lines.append(f"{proof.decided:.1%} decided by {proof.boxes} boxes in {proof.seconds:.1f} s; open:")
        lines += [f"  {box}" for box in proof.where]
    return "\n".join(lines)


def _check(theorem: str | None, pages: Path | None, as_json: bool) -> int:
    from pruneproof.theory.prover.verdicts import discharge
    from pruneproof.theory.theorems.proof_page import page, write_pages

    results = [discharge(step) for step in obligations(theorem)]
    if pages is not None:
        for path in write_pages(results, pages):
            print(path)
    elif as_json:
        print(json_text.dumps([result.row() for result in results], ensure_ascii=False, indent=1))
    elif theorem:
        print(page(theorem, results), end="")
    else:
        _show(results)
    return 0 if all(result.sound for result in results) else 1


def _show(results: "list[Discharge]") -> None:
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
