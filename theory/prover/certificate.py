"""Certificates: what a proof consists of, as a JSON file that is re-checked without searching.

A proved inequality is stored as the inequality, the box, and the tree of cuts in preorder with the rule that decides
each leaf; a refuted one as the point. Checking rebuilds the boxes from the cuts, so that they cover the box by
construction, and applies one rule per leaf: no natural enclosure, gradient or counterexample is tried in vain.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import cast

from flint import ctx, fmpq

from pruneproof.errors import PruneproofError
from pruneproof.files import whole_file

from .box import Box
from .expressions import rational
from .problem import Problem, problem_from_json
from .rules import Gap, at_point, excluded, leaf_rules
from .search import PRECISIONS, Proof, Step

KIND = "inequality"
FORMAT = 1
LIBRARIES = ("python-flint", "sympy")


def certificate(proof: Proof) -> dict[str, object]:
    """A decided proof as plain data; an undecided one has nothing to certify and is refused."""
    if proof.verdict == "undecided":
        raise PruneproofError(
            "certificate",
            required="a decided inequality",
            received=f"undecided at {proof.where}",
            remedy="shrink the box",
        )
    return {
        "kind": KIND,
        "format": FORMAT,
        "verdict": proof.verdict,
        **proof.problem.as_json(),
        "precision": proof.precision,
        "steps": [step if isinstance(step, str) else [step[0], str(step[1])] for step in proof.steps],
        "witness": {name: str(value) for name, value in proof.witness.items()} if proof.witness else None,
        "versions": {library: version(library) for library in LIBRARIES},
    }


def save(proof: Proof, path: str | Path) -> None:
    """Write the certificate of a proof to a file."""
    text = json.dumps(certificate(proof))
    with whole_file(Path(path), "save") as file:
        file.write(text.encode())


def verify(data: object) -> str | None:
    """Re-check a certificate: `None` if it shows what it says, else the reason why it does not.

    **Arguments:** `data`, what `json.load` gave. Raises `PruneproofError` for data that is no certificate at all. What
    the certificate claims is for the reader to compare with what he wants to know: see `claim`.

    >>> import sympy
    >>> from pruneproof.theory.prover.search import prove
    >>> x = sympy.Symbol("x", real=True)
    >>> proof = certificate(prove(sympy.exp(x) > x, {x: (-2, 2)}))
    >>> verify(proof) is None, verify({**proof, "steps": proof["steps"][:-1]})
    (True, 'the tree of boxes is cut short')
    """
    with _malformed_refused():
        fields = _fields(data)
        question = problem_from_json(fields)
        with ctx.workprec(cast(int, fields["precision"])):
            if fields["verdict"] == "refuted":
                return _check_witness(question, fields.get("witness"))
            return _check_tree(question, _steps(fields.get("steps")))


def claim(data: object) -> str:
    """What a certificate is about: the inequality and the box, in one line.

    >>> import sympy
    >>> from pruneproof.theory.prover.search import prove
    >>> x = sympy.Symbol("x", real=True)
    >>> claim(certificate(prove(sympy.exp(x) > x, {x: (-2, 2)})))
    'exp(x) > x for x in [-2, 2]'
    """
    with _malformed_refused():
        return str(problem_from_json(_fields(data)))


@contextmanager
def _malformed_refused() -> Generator[None]:
    """Tell in one line what a certificate from anyone makes go wrong: a missing field, a list for a number, depth."""
    try:
        yield
    except PruneproofError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        received = f"{type(error).__name__}: {error}"[:200]
        raise PruneproofError("check", required="a certificate", received=received, remedy="prove it again") from error


def _fields(data: object) -> dict[str, object]:
    fields = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    if fields.get("kind") != KIND or fields.get("format") != FORMAT:
        received = f"kind {fields.get('kind')!r}, format {fields.get('format')!r}"
        needed = f"a certificate of kind {KIND!r}, format {FORMAT}"
        raise PruneproofError("check", required=needed, received=received, remedy="prove it again")
    precision = fields.get("precision")
    if type(precision) is not int or precision not in PRECISIONS:
        needed = f"a precision of {PRECISIONS[0]} to {PRECISIONS[-1]} bits"
        raise PruneproofError("check", required=needed, received=precision, remedy="prove it again")
    if fields.get("verdict") not in ("proved", "refuted"):
        raise PruneproofError("check", required="a verdict", received=fields.get("verdict"), remedy="prove it again")
    return fields


def _steps(listed: object) -> list[Step]:
    steps: list[Step] = []
    for step in cast("list[object]", listed) if isinstance(listed, list) else []:
        if isinstance(step, str):
            steps.append(step)
            continue
        index, point = cast("list[object]", step) if isinstance(step, list) and len(step) == 2 else (None, None)
        if type(index) is not int:
            raise PruneproofError("check", required="steps", received=str(step)[:60], remedy="prove it again")
        number = rational(point)
        steps.append((index, fmpq(int(number.p), int(number.q))))
    return steps


def _check_witness(question: Problem, witness: object) -> str | None:
    names = [symbol.name for symbol in question.gap.symbols]
    if not isinstance(witness, dict) or list(cast("dict[str, object]", witness)) != names:
        return "the witness does not name the symbols"
    numbers = [rational(value) for value in cast("dict[str, object]", witness).values()]
    point = tuple(fmpq(int(number.p), int(number.q)) for number in numbers)
    if question.excludes(point):
        return "the witness is outside the box or breaks a condition"
    return None if question.gap.negative(at_point(question.gap, point)) else "the inequality holds at the witness"


def _check_tree(question: Problem, steps: list[Step]) -> str | None:
    rules = leaf_rules()
    pending: list[Box] = [question.box]
    for step in steps:
        if not pending:
            return "there are steps beyond the tree of boxes"
        box = pending.pop()
        if isinstance(step, tuple):
            index, point = step
            if not 0 <= index < len(box):
                return f"there is no side {index}"
            left, right = box[index].cut(point)
            pending += [(*box[:index], part, *box[index + 1 :]) for part in (right, left)]
        elif not _holds(question, step, box, rules):
            return f"the rule {step[:60]!r} does not decide {', '.join(map(str, box))}"
    return "the tree of boxes is cut short" if pending else None


def _holds(question: Problem, rule: str, box: Box, rules: dict[str, Callable[[Gap, Box], bool]]) -> bool:
    name, _, number = rule.partition(" ")
    if name == "excluded":
        index = int(number) if number.isdecimal() else len(question.given)
        return index < len(question.given) and excluded(question.given[index], box)
    return rule in rules and bool(rules[rule](question.gap, box))
