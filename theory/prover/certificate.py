"""Certificates: what a proof consists of, as a JSON file that is re-checked without searching.

A proved inequality is stored as the inequality, the box, and the trees of cuts in preorder with the rule that
decides each leaf; a refuted one as the point. Checking rebuilds the boxes from the cuts, so that they cover
the box by construction, and applies one rule per leaf: no natural enclosure, gradient or counterexample is
tried in vain. A file with fields that mean nothing to the checker is refused, since to confirm it would vouch
for them.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import cast

from flint import ctx, fmpq

from pruneproof.errors import FileFormatError, PruneproofError, StateError
from pruneproof.files import whole_file

from .box import Box
from .expressions import rational
from .problem import Piece, Problem, problem_from_json
from .rules import Gap, excluded, rules
from .search import PRECISIONS, VACUOUS, Proof, Step, refutes

KIND = "inequality"
FORMAT = 2
LIBRARIES = ("python-flint", "sympy")
FIELDS = frozenset(
    {"kind", "format", "verdict", "inequality", "given", "box", "precision", "steps", "piece", "witness", "versions"}
)
AGAIN = "Prove the inequality again with this version."


def certificate(proof: Proof) -> dict[str, object]:
    """A decided proof as plain data.

    Args:
        proof: What `prove` returned.

    Returns:
        A dictionary for JSON. The witness of a refutation is given in the variables of its piece.

    Raises:
        StateError: For an undecided proof, which has nothing to certify.
    """
    if proof.verdict == "undecided":
        raise StateError(
            f"certificate: the inequality is undecided at {'; '.join(proof.where)}, so there is nothing to certify. "
            "Shrink the box or give more time."
        )
    number, point = proof.counterexample or (None, ())
    names = [symbol.name for symbol in proof.problem.gap.symbols]
    return {
        "kind": KIND,
        "format": FORMAT,
        "verdict": proof.verdict,
        **proof.problem.as_json(),
        "precision": proof.precision,
        "steps": [step if isinstance(step, str) else [step[0], str(step[1])] for step in proof.steps],
        "piece": number,
        "witness": {name: str(value) for name, value in zip(names, point, strict=True)} if point else None,
        "versions": {library: version(library) for library in LIBRARIES},
    }


def save(proof: Proof, path: str | Path) -> None:
    """Write the certificate of a proof to a file.

    Args:
        proof: What `prove` returned.
        path: The file.

    Raises:
        StateError: For an undecided proof.
    """
    text = json.dumps(certificate(proof))
    with whole_file(Path(path), "save") as file:
        file.write(text.encode())


def verify(data: object) -> str | None:
    """Re-check a certificate.

    What the certificate claims is for the reader to compare with what he wants to know: see `claim`.

    Args:
        data: What `json.load` gave.

    Returns:
        `None` if it shows what it says, else the reason why it does not.

    Raises:
        PruneproofError: For data that is no certificate at all.

    Example:
        >>> import sympy
        >>> from pruneproof.theory.prover.search import prove
        >>> x = sympy.Symbol("x", real=True)
        >>> proof = certificate(prove(sympy.exp(x) > x, {x: (-2, 2)}))
        >>> verify(proof) is None, verify({**proof, "steps": proof["steps"][:-1]})
        (True, 'the tree of boxes is cut short')
    """
    with _malformed_refused():
        fields = _fields(data)
        unknown = sorted(ascii(name)[:40] for name in fields.keys() - FIELDS)
        if unknown:
            return f"there are fields that mean nothing here: {', '.join(unknown[:5])}"
        question = problem_from_json(fields)
        with ctx.workprec(cast(int, fields["precision"])):
            if fields["verdict"] == "refuted":
                return _check_witness(question, fields)
            if fields.get("witness") is not None or fields.get("piece") is not None:
                return "a proof names no counterexample"
            return _check_trees(question, _steps(fields.get("steps")))


def claim(data: object) -> str:
    """What a certificate is about: the inequality and the box, in one line.

    Args:
        data: What `json.load` gave.

    Returns:
        The claim in words.

    Raises:
        PruneproofError: For data that is no certificate at all.

    Example:
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
        reason = f"{type(error).__name__}: {error}"[:200]
        raise FileFormatError(f"check: this is no certificate of an inequality ({reason}). {AGAIN}") from error


def _fields(data: object) -> dict[str, object]:
    fields = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    if fields.get("kind") != KIND or fields.get("format") != FORMAT:
        raise FileFormatError(
            f"check: a certificate of an inequality has kind {KIND!r} and format {FORMAT}, got kind "
            f"{str(fields.get('kind'))[:40]!r} and format {str(fields.get('format'))[:40]}. {AGAIN}"
        )
    precision = fields.get("precision")
    if type(precision) is not int or precision not in PRECISIONS:
        shown = precision if type(precision) is int and abs(precision) < 10**9 else type(precision).__name__
        raise FileFormatError(
            f"check: the precision must be {PRECISIONS[0]} to {PRECISIONS[-1]} bits, got {shown}. {AGAIN}"
        )
    if fields.get("verdict") not in ("proved", "refuted"):
        raise FileFormatError(
            f"check: the verdict must be proved or refuted, got {ascii(fields.get('verdict'))[:40]}. {AGAIN}"
        )
    return fields


def _steps(listed: object) -> list[Step]:
    steps: list[Step] = []
    for step in cast("list[object]", listed) if isinstance(listed, list) else []:
        if isinstance(step, str):
            steps.append(step)
            continue
        index, point = cast("list[object]", step) if isinstance(step, list) and len(step) == 2 else (None, None)
        if type(index) is not int:
            raise FileFormatError(
                f"check: a step is the name of a rule or [side, point], got {ascii(step)[:60]}. {AGAIN}"
            )
        number = rational(point)
        steps.append((index, fmpq(int(number.p), int(number.q))))
    return steps


def _check_witness(question: Problem, fields: dict[str, object]) -> str | None:
    number, witness = fields.get("piece"), fields.get("witness")
    names = [symbol.name for symbol in question.gap.symbols]
    if fields.get("steps"):
        return "a refutation has no steps"
    if type(number) is not int or not 0 <= number < len(question.pieces):
        return "the witness does not name its piece"
    if not isinstance(witness, dict) or list(cast("dict[str, object]", witness)) != names:
        return "the witness does not name the symbols"
    numbers = [rational(value) for value in cast("dict[str, object]", witness).values()]
    point = tuple(fmpq(int(value.p), int(value.q)) for value in numbers)
    if question.pieces[number].excludes(point):
        return "the witness is outside the box or breaks a condition"
    return None if refutes(question.pieces[number], point) else "the inequality holds at the witness"


def _check_trees(question: Problem, steps: list[Step]) -> str | None:
    known = rules()
    rest = steps
    for piece in question.pieces:
        wrong, rest = _check_tree(piece, rest, known)
        if wrong is not None:
            return wrong
    if rest:
        return "there are steps beyond the tree of boxes"
    if all(step.startswith("excluded") for step in steps if isinstance(step, str)):
        return VACUOUS
    return None


def _check_tree(
    piece: Piece, steps: list[Step], known: dict[str, Callable[[Gap, Box], bool]]
) -> tuple[str | None, list[Step]]:
    """What is wrong with the tree of one piece, and the steps after it."""
    pending: list[Box] = [piece.box]
    for number, step in enumerate(steps):
        if not pending:
            return None, steps[number:]
        box = pending.pop()
        if isinstance(step, tuple):
            index, point = step
            if not 0 <= index < len(box):
                return f"there is no side {index}", []
            left, right = box[index].cut(point)
            pending += [(*box[:index], part, *box[index + 1 :]) for part in (right, left)]
        elif not _holds(piece, step, box, known):
            return f"the rule {ascii(step)[:60]} does not decide {', '.join(map(str, box))}", []
    return ("the tree of boxes is cut short", []) if pending else (None, [])


def _holds(piece: Piece, rule: str, box: Box, known: dict[str, Callable[[Gap, Box], bool]]) -> bool:
    name, _, number = rule.partition(" ")
    if name == "excluded":
        index = int(number) if number.isdecimal() else len(piece.given)
        return index < len(piece.given) and excluded(piece.given[index], box)
    return rule in known and bool(known[rule](piece.gap.resolved(box), box))
