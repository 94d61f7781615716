"""Make the report again from the rows of an earlier run."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from pruneproof.claims.engine.folder import existing_results
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import load_papers
from pruneproof.claims.report.publish import publish
from pruneproof.environment import require


def main(
    paper: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")] = (),
    out: Path = Path("report"),
    page: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
) -> int:
    """Judge the rows in OUT/results.sqlite again and write the report; nothing is measured, and the rows are only read.

    Example: pruneproof report --out my-report

    Args:
        paper: Import names of papers of your own whose claims were run.
        out: Folder of the run, or its results.sqlite.
        page: The file to write; default OUT/index.html.
    """
    for module in ("matplotlib", "jinja2", "latex2mathml"):
        require("report", module)
    results = existing_results(out)
    with Store(results, reading=True) as store, Console(stderr=True).status("judging the rows and drawing pictures"):
        known = load_papers(paper) if paper else ()
        written = publish(store, known, results.parent, [], page=page)
    print(f"report: {written}")
    return 0
