"""What arguments must be: each requirement and its sentence are stated once, for every public function.

A check takes the name of the function that the user called, and raises before anything has changed.
"""

from collections.abc import Collection
from numbers import Real
from typing import Any

from .errors import InvalidTypeError, InvalidValueError, described, did_you_mean


def require_type(where: str, value: object, kinds: Any, requirement: str, remedy: str) -> None:
    """Refuse an argument of a wrong type.

    Args:
        where: The public function that was called.
        value: What was given.
        kinds: The accepted types, as `isinstance` takes them.
        requirement: What the argument must be, such as `"the masks must be Masks"`.
        remedy: What to do, as a sentence.

    Raises:
        InvalidTypeError: The value is of another type.

    Example:
        >>> require_type("random", 0, str, "the name must be a string", "Pass its text.")
        Traceback (most recent call last):
        pruneproof.errors.InvalidTypeError: random: the name must be a string, got 0. Pass its text.
    """
    if not isinstance(value, kinds):
        raise InvalidTypeError(f"{where}: {requirement}, got {described(value)}. {remedy}")


def require_integer(where: str, name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Refuse what is no whole number within the limits.

    Args:
        where: The public function that was called.
        name: What is counted, such as `"steps"`.
        value: What was given.
        least: The smallest number accepted.
        most: The largest one, if there is one.

    Returns:
        The number.

    Raises:
        InvalidTypeError: The value is no `int`, or is a `bool`.
        InvalidValueError: It is too small or too large.

    Example:
        >>> require_integer("imp", "iterations", 0)
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: imp: iterations must be a whole number of at least 1, got 0.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        kind = InvalidValueError if whole else InvalidTypeError
        raise kind(f"{where}: {name} must be a whole number {limits}, got {described(value)}.")
    return value


def require_fraction(where: str, name: str, value: Any, *, one: bool = False, remedy: str = "") -> float:
    """Refuse what does not lie between 0 and 1.

    Args:
        where: The public function that was called.
        name: What is a fraction, such as `"the density"`.
        value: What was given.
        one: Whether 1 itself is accepted; 0 never is.
        remedy: What to do, as a sentence.

    Returns:
        The number.

    Raises:
        InvalidTypeError: The value is no number.
        InvalidValueError: It lies outside.

    Example:
        >>> require_fraction("select", "the density", 1.5, one=True)
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: select: the density must lie in (0, 1], got 1.5.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (0 < float(value) < 1 or (one and value == 1)):
        kind = InvalidValueError if number else InvalidTypeError
        interval = "(0, 1]" if one else "(0, 1)"
        raise kind(f"{where}: {name} must lie in {interval}, got {described(value)}. {remedy}".rstrip())
    return float(value)


def require_choice(where: str, name: str, value: object, choices: Collection[str]) -> None:
    """Refuse a word that is none of the choices.

    Args:
        where: The public function that was called.
        name: What is chosen, such as `"the method"`.
        value: What was given.
        choices: The accepted words.

    Raises:
        InvalidValueError: The value is none of them.

    Example:
        >>> require_choice("certify", "the method", "ipb", ("ibp", "crown"))
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: certify: the method must be one of ibp, crown, got 'ipb'. Did you mean ibp?
    """
    if not isinstance(value, str) or value not in choices:
        meant = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise InvalidValueError(f"{where}: {name} must be one of {', '.join(choices)}, got {value!r}.{meant}")
