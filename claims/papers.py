"""The papers that can be run: each is a module with `PAPER` and `CLAIMS`.

The five of this package are named by their key; anybody else's by its import name, e.g. `--paper my_lab.my_paper`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from pruneproof.errors import InvalidValueError, UnknownNameError, did_you_mean

from .claim import Claim, Paper

# Key → prefix of its claims' ids and their number: known without importing a paper and what it rests on
_IDS = {
    "pretraining": ("PT", 8),
    "initialization": ("AI", 8),
    "sensitivity": ("SP", 10),
    "scaling": ("SL", 8),
    "label_noise": ("LN", 6),
}
KEYS = tuple(_IDS)


@dataclass(frozen=True)
class LoadedPaper:
    """A paper with its claims."""

    paper: Paper
    claims: tuple[Claim, ...]


def claim_ids(key: str) -> tuple[str, ...]:
    """The ids of a paper of this package, without importing it.

    Example:
        >>> claim_ids("scaling")
        ('SL1', 'SL2', 'SL3', 'SL4', 'SL5', 'SL6', 'SL7', 'SL8')
    """
    prefix, number = _IDS[key]
    return tuple(f"{prefix}{index}" for index in range(1, number + 1))


def papers_of(names: tuple[str, ...], ids: tuple[str, ...]) -> tuple[str, ...]:
    """The papers to import for some claims: all named ones, or those of this package that have the claims.

    Args:
        names: Keys or import names; by default all papers of this package.
        ids: Of claims; by default all.

    Raises:
        UnknownNameError: For an unknown id, where no paper but those of this package could have it.
    """
    if not ids or not set(names) <= set(KEYS):
        return names
    known = {name: key for key in names or KEYS for name in claim_ids(key)}
    _check_ids(ids, known)
    return tuple(dict.fromkeys(known[name] for name in ids))


def load_papers(names: tuple[str, ...] = ()) -> tuple[LoadedPaper, ...]:
    """Import papers.

    Args:
        names: Keys or import names; by default all papers of this package.

    Raises:
        UnknownNameError: For a name that is neither, or a module that lacks `PAPER` or `CLAIMS`.
    """
    return tuple(_load(name) for name in names or KEYS)


def _load(name: str) -> LoadedPaper:
    module = f"{__package__}.{name}" if name in KEYS else name
    try:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"no module {module}")
    except ImportError as error:
        raise _unknown(name, str(error)) from None
    content = import_module(module)
    try:
        return LoadedPaper(content.PAPER, tuple(content.CLAIMS))
    except AttributeError as error:
        raise _unknown(name, str(error)) from None


def _unknown(name: str, why: str) -> UnknownNameError:
    return UnknownNameError(
        f"--paper: there is no paper called {name}.{did_you_mean(name, KEYS)} The papers are {', '.join(KEYS)}. A "
        f"paper of your own is a module with PAPER and CLAIMS that can be imported (set PYTHONPATH); here: {why}."
    )


def select_claims(papers: tuple[LoadedPaper, ...], ids: tuple[str, ...]) -> tuple[Claim, ...]:
    """The claims of some papers, or only those with the given ids.

    Raises:
        UnknownNameError: For an id that none of the papers has.
        InvalidValueError: For an id that two claims share.
    """
    claims = [claim for paper in papers for claim in paper.claims]
    known = {claim.id: claim for claim in claims}
    if len(known) < len(claims):
        twice = sorted({claim.id for claim in claims if known[claim.id] is not claim})
        raise InvalidValueError(f"papers: two claims are called {', '.join(twice)}. Rename one of them.")
    _check_ids(ids, known)
    return tuple(known[name] for name in ids) if ids else tuple(claims)


def _check_ids(ids: tuple[str, ...], known: Collection[str]) -> None:
    wrong = [name for name in ids if name not in known]
    if wrong:
        raise UnknownNameError(
            f"--claim: no claim of these papers is called {' or '.join(wrong)}.{did_you_mean(wrong[0], known)} "
            f"The claims are {', '.join(known)}; `pruneproof verify --list` says what they are about."
        )
