"""Put the rows of several runs, of one machine or many, into one."""

from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.claims.engine.folder import RESULTS, existing_results, results_folder
from pruneproof.claims.engine.merging import merge
from pruneproof.claims.engine.store import Store
from pruneproof.errors import InvalidValueError


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH …", help_behavior_hint="")],
    out: Path = Path("merged"),
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Merge the results of several runs: every cell once, with the claims that need it.

    Runs that disagree are refused: the same cell with other rows, or the same claim with another criterion or at
    another scale. Afterwards `pruneproof verify --resume --out OUT` computes what is still missing, and
    `pruneproof report --out OUT` judges the claims.

    Example: pruneproof merge here/results.sqlite there/results.sqlite --out both

    Args:
        files: results.sqlite files, or the folders of runs.
        out: Folder of the merged run, made if absent.
        resume: Add to the run that is in the folder, instead of keeping it aside.
    """
    sources = [existing_results(file) for file in files]
    if len(sources) < (1 if resume else 2):
        raise InvalidValueError(f"merge: needs two runs or more, got {len(sources)}. Name their folders.")
    for number, source in enumerate(sources):
        if any(source.samefile(earlier) for earlier in sources[:number]):
            raise InvalidValueError(
                f"merge: {files[number]} is named twice, or is a link to another run. Name it once."
            )
    target = out / RESULTS
    if target.exists() and any(target.samefile(source) for source in sources):
        raise InvalidValueError(f"merge: {out} is one of the runs to merge. Pass --out with another folder.")
    with results_folder(out, resume=resume) as store:
        for source in sources:
            with Store(source, reading=True) as other:
                merge(store, other)
        number = len(store)
    print(f"{number} cells in {target}")
    return 0
