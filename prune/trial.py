"""Run code that is the user's own (a model, a loss) and tell in one line what it did not accept."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from ..errors import PruneproofError

LONGEST = 200  # characters of a message that are shown
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)  # how torch refuses its arguments


@contextmanager
def trial(where: str, *, required: str, remedy: str) -> Generator[None]:
    """Turn what torch raises about wrong arguments into a `PruneproofError`; lack of memory is left as it is."""
    try:
        yield
    except (PruneproofError, torch.OutOfMemoryError):
        raise
    except REFUSALS as error:
        raise PruneproofError(where, required=required, received=brief(error), remedy=remedy) from error


def brief(error: BaseException) -> str:
    """An exception's type and message in one line, shortened.

    Example:
        >>> brief(ValueError("two\\n\\tlines"))
        'ValueError: two lines'
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
