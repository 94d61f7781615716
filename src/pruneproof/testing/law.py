"""A law: a name, a sentence, and a check that returns or raises."""

from collections.abc import Callable
from dataclasses import dataclass


class LawBroken(AssertionError):
    """An implementation breaks a law; the message says which, where, and by how much.

    Example:
        >>> raise LawBroken("determinism: two calls differ")
        Traceback (most recent call last):
        pruneproof.testing.law.LawBroken: determinism: two calls differ
    """


@dataclass(frozen=True)
class Law:
    """A statement about one implementation that can be checked; call it.

    Args:
        name: One word, e.g. `"purity"`; also what `str` gives, for test ids.
        statement: The law in one sentence.
        check: Returns `None` if the law holds, else what breaks it.

    Example:
        >>> law = Law("even", "the number is even", lambda: None if 4 % 2 == 0 else "4 is odd")
        >>> law()
        >>> str(law)
        'even'
    """

    name: str
    statement: str
    check: Callable[[], str | None]

    def __call__(self) -> None:
        """Raise `LawBroken` unless the law holds."""
        broken = self.check()
        if broken is not None:
            raise LawBroken(f"{self.name} ({self.statement}): {broken}")

    def __str__(self) -> str:
        return self.name
