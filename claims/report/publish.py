"""Make the report of what a results file holds: every claim that was ever run into it, not only the last command's."""

import sys
from pathlib import Path

from pruneproof.claims.claim import Claim
from pruneproof.claims.engine.folder import read_record, replace_file
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import KEYS, Chapter, chapters
from pruneproof.claims.verification import Result, judge
from pruneproof.errors import PruneproofError

from . import page

PAGE = "index.html"


def publish(store: Store, known: tuple[Chapter, ...], folder: Path, results: list[Result]) -> Path:
    """Write `index.html`.

    Arguments:
        store: the rows.
        known: the papers that were loaded; those of this package are loaded when the store has rows of them.
        folder: where the page goes and `run.json` lies.
        results: what was judged already, with its failures; the rest is judged from the rows.

    Returns the path of the page.
    """
    complete = _complete(store, known)
    judged = {result.claim.id: result for result in results}
    recorded = store.claims()
    claims = [claim for chapter in complete for claim in chapter.claims if claim.id in recorded]
    for name in sorted(recorded.keys() - {claim.id for claim in claims}):
        _leave_out(name, f"of {recorded[name]['paper']}: name its module with --paper")
    told = [result for claim in claims if (result := judged.get(claim.id) or _judged(claim, store))]
    path = folder / PAGE
    replace_file(path, page(complete, told, store, read_record(folder)))
    return path


def _judged(claim: Claim, store: Store) -> Result | None:
    try:
        return judge(claim, store)
    except PruneproofError as error:  # rows of an earlier run, gathered under another criterion
        _leave_out(claim.id, str(error))
        return None


def _leave_out(name: str, why: str) -> None:
    print(f"not in the report: {name} ({why})", file=sys.stderr)


def _complete(store: Store, known: tuple[Chapter, ...]) -> tuple[Chapter, ...]:
    loaded = {chapter.paper.key: chapter for chapter in known}
    recorded = {record["paper"] for record in store.claims().values()}
    ours = {key: loaded.get(key) or chapters((key,))[0] for key in KEYS if key in recorded}
    return tuple((ours | loaded).values())
