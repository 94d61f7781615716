"""The one exception class of the library: misuse, told in one line."""


class PruneproofError(ValueError):
    """Misuse of a function: what was needed, what was received, what to do.

    Arguments:
        where: the public name that refuses, e.g. `"select"`.
        required: what the function needs, e.g. `"a density in (0, 1]"`.
        received: what it was given; shown by `repr` unless it is a string.
        remedy: what the caller can do about it, as an imperative.

    Example:
        >>> raise PruneproofError("select", required="a density in (0, 1]", received=1.5, remedy="pass e.g. 0.1")
        Traceback (most recent call last):
        pruneproof.errors.PruneproofError: select: needs a density in (0, 1]; received 1.5; pass e.g. 0.1
    """

    def __init__(self, where: str, *, required: str, received: object, remedy: str) -> None:
        shown = received if isinstance(received, str) else repr(received)
        super().__init__(f"{where}: needs {required}; received {shown}; {remedy}")
        self._arguments = (where, required, received, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip out of a worker process (keyword-only arguments would break the default)."""
        return _rebuild, self._arguments


def _rebuild(where: str, required: str, received: object, remedy: str) -> PruneproofError:
    return PruneproofError(where, required=required, received=received, remedy=remedy)


def described(value: object) -> str:
    """Name a wrong argument in a few words: tensors by dtype and shape, anything that is no number also by its type.

    Example:
        >>> described("0.1"), described(1.5), described([0.0] * 100)
        ("'0.1' (str)", '1.5', 'list')
    """
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{kind} of shape {tuple[object, ...](shape)}, {getattr(value, 'dtype', None)}"
    text = repr(value)
    if len(text) > 60 or "\n" in text:
        return kind
    return text if isinstance(value, int | float) and not isinstance(value, bool) else f"{text} ({kind})"


def require_type(where: str, value: object, kind: type, *, required: str, remedy: str) -> None:
    """Refuse an argument that is not of this type, saying which it is.

    Example:
        >>> require_type("random", 0, str, required="a name", remedy="pass one")
        Traceback (most recent call last):
        pruneproof.errors.PruneproofError: random: needs a name; received 0; pass one
    """
    if not isinstance(value, kind):
        raise PruneproofError(where, required=required, received=described(value), remedy=remedy)
