"""The exceptions of the library: one base class, and one class per kind of mistake.

Every class also derives from the built-in exception that Python users would catch for the same
mistake, so that both `except PruneproofError` and `except FileNotFoundError` work. A message is a
sentence that names the function the user called: what is wrong, what was given, what to do.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class PruneproofError(Exception):
    """Base class of every exception that the library raises on purpose.

    Args:
        message: A sentence, such as `"select: the density must lie in (0, 1], got 1.5. Pass the
            fraction of weights to keep, such as density=0.1."`.

    Example:
        >>> raise InvalidValueError("select: the density must lie in (0, 1], got 1.5.")
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: select: the density must lie in (0, 1], got 1.5.
    """

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr


class InvalidValueError(PruneproofError, ValueError):
    """An argument has the right type but a value, shape or dtype that the function cannot use."""


class InvalidTypeError(PruneproofError, TypeError):
    """An argument is of a type that the function does not accept."""


class UnknownNameError(PruneproofError, KeyError):
    """A parameter, layer, claim, bound or command of this name does not exist."""


class HypothesisError(PruneproofError, ValueError):
    """A theorem was asked for a value where one of its hypotheses fails or is not decided."""


class UnsupportedError(PruneproofError, NotImplementedError):
    """A model, layer, operation, format or device that the library does not handle."""


class StateError(PruneproofError, RuntimeError):
    """A call that does not fit the present state, such as masks on a model they no longer describe."""


class MissingFileError(PruneproofError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class FileAccessError(PruneproofError, OSError):
    """A file or folder cannot be read or written: permissions, a full disk, a read-only medium."""


class FileFormatError(PruneproofError, ValueError):
    """A file is malformed, truncated or not what its name says."""


class MissingPackageError(PruneproofError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""


@contextmanager
def speaking_for(where: str) -> Generator[None]:
    """Let refusals of a function that is called here begin with the one that the user called.

    Args:
        where: The public function that was called.

    Returns:
        A context, which is a decorator as well.

    Example:
        >>> with speaking_for("sparsify"):
        ...     raise InvalidValueError("SparseWeight.from_dense: the format must be one of ….")
        Traceback (most recent call last):
        pruneproof.errors.InvalidValueError: sparsify: the format must be one of ….
    """
    try:
        yield
    except PruneproofError as error:
        error.args = (re.sub(r"^[\w.]+(?=:| needs )", where, str(error)),)
        raise


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known names that resemble it, or nothing.

    Args:
        name: What was given; capitals do not matter.
        known: The names that exist.

    Returns:
        A sentence that begins with a space, or an empty string.

    Example:
        >>> did_you_mean("snipp", ["snip", "synflow"])
        ' Did you mean snip?'
        >>> did_you_mean("layer9", ["weight"])
        ''
    """
    from difflib import get_close_matches  # only where a name is wrong: the package itself loads next to nothing

    folded = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    longer = [candidate for candidate in folded if wanted and candidate.startswith(wanted)][:3]
    close = longer or get_close_matches(wanted, folded, n=3) or get_close_matches(wanted, folded, n=1, cutoff=0.4)
    return f" Did you mean {' or '.join(folded[match] for match in close)}?" if close else ""


def described(value: object) -> str:
    """Name a wrong argument in a few words: tensors by dtype and shape, what is no number also by its type.

    Args:
        value: What was given.

    Returns:
        The end of a message, "got …".

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


def one_line(error: BaseException) -> str:
    """An exception's type and message in one line cut after 400 characters.

    Args:
        error: Any exception.

    Returns:
        One line.

    Example:
        >>> one_line(ValueError("two\\n\\tlines"))
        'ValueError: two lines'
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= 400 else f"{text[:400]} …"
