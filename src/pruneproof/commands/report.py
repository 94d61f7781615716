"""Make the report again from the rows of an earlier run."""

from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.claims.engine.folder import existing_results
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import chapters
from pruneproof.claims.report.publish import publish
from pruneproof.environment import require


def main(
    paper: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")] = (),
    out: Path = Path("report"),
) -> int:
    """Judge the rows in OUT/results.sqlite again and write OUT/index.html; nothing is measured.

    Example: pruneproof report --out my-report

    Args:
        paper: import names of papers of your own whose claims were run.
        out: folder of the run.
    """
    require("report", "matplotlib")
    with Store(existing_results(out)) as store:
        print(f"report: {publish(store, chapters(paper) if paper else (), out, [])}")
    return 0
