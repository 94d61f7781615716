"""Make the report of what a results file holds: every claim that was ever run into it, not only the last command's."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pruneproof.claims.claim import Claim
from pruneproof.claims.engine.folder import read_record, replace_file
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import KEYS, LoadedPaper, load_papers
from pruneproof.claims.verification import Result, judge
from pruneproof.errors import PruneproofError

from .claim_section import Pictures
from .document import page as document

PAGE = "index.html"


def publish(
    store: Store,
    known: tuple[LoadedPaper, ...],
    folder: Path,
    results: list[Result],
    *,
    page: Path | None = None,
    drawn: Mapping[str, Pictures] | None = None,
) -> Path:
    """Write `index.html`.

    Args:
        store: The rows.
        known: The papers that were loaded; those of this package are loaded when the store has rows of them.
        folder: Where `run.json` lies and the page goes.
        results: What was judged already, with its failures; the rest is judged from the rows.
        page: The file to write instead of `index.html` in the folder.
        drawn: The pictures of claims, by id, of those that have been drawn already.

    Returns:
        The path of the page.
    """
    complete = _complete(store, known)
    path = page or folder / PAGE
    replace_file(path, document(complete, judged(store, complete, results), store, read_record(folder), drawn))
    return path


def judged(store: Store, papers: tuple[LoadedPaper, ...], results: Sequence[Result] = ()) -> list[Result]:
    """The claims that a results file holds, judged; what is left out is said on standard error.

    Args:
        store: The rows.
        papers: The papers whose claims are judged, in their order.
        results: What was judged already.
    """
    known = {result.claim.id: result for result in results}
    recorded = store.claims()
    claims = [claim for paper in papers for claim in paper.claims if claim.id in recorded]
    for name in sorted(recorded.keys() - {claim.id for claim in claims}):
        _leave_out(name, f"of {recorded[name]['paper']}: name its module with --paper")
    return [result for claim in claims if (result := known.get(claim.id) or _judged(claim, store))]


def _judged(claim: Claim, store: Store) -> Result | None:
    try:
        return judge(claim, store)
    except PruneproofError as error:  # rows of an earlier run, gathered under another criterion
        _leave_out(claim.id, str(error))
        return None


def _leave_out(name: str, why: str) -> None:
    print(f"not in the report: {name} ({why})", file=sys.stderr)


def _complete(store: Store, known: tuple[LoadedPaper, ...]) -> tuple[LoadedPaper, ...]:
    loaded = {paper.paper.key: paper for paper in known}
    recorded = {record["paper"] for record in store.claims().values()}
    ours = {key: loaded.get(key) or load_papers((key,))[0] for key in KEYS if key in recorded}
    return tuple((ours | loaded).values())
