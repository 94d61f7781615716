"""What the steps of the proofs say is what was reviewed: a weakened step is still proved, so its words are kept.

`obligations.txt` holds every claim with its conditions; a change of it is a change of a proof, to be read against the
theorem's page in `theory/`. Rewritten by `python tests/test_obligations_statements.py`.
"""

from pathlib import Path

from pruneproof.theory.theorems.catalogue import obligations

STATEMENTS = Path(__file__).parent / "obligations.txt"


def _text() -> str:
    lines = [f"{s.id} [{s.level}]: {s.claim}  given {', '.join(map(str, s.given))}" for s in obligations()]
    return "\n".join(line.removesuffix("  given ") for line in lines) + "\n"


def test_the_steps_say_what_was_reviewed() -> None:
    assert _text() == STATEMENTS.read_text("utf-8")


if __name__ == "__main__":
    STATEMENTS.write_text(_text(), "utf-8")
