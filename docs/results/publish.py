"""Publish a run: `python docs/results/publish.py RUN`.

RUN is the folder of a finished `pruneproof verify --scale standard`. Written are, from its rows: the page and the rows
in standard/ beside this file, the table of README.md there, the picture verdicts.svg of the table's beginning, and
claims/report/published.json, which puts the verdicts beside those of smaller runs. Without RUN only the picture is
drawn. Exit status 1 says that a published file is larger than it should be.
"""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pruneproof.claims.engine.export import Format, export_rows
from pruneproof.claims.engine.folder import existing_results, read_record, replace_file
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import load_papers
from pruneproof.claims.report.cost import rates
from pruneproof.claims.report.document import page
from pruneproof.claims.report.measuring import cpu_table
from pruneproof.claims.report.publish import judged
from pruneproof.claims.report.published import FILE, summary
from pruneproof.claims.verification import Result

HERE = Path(__file__).parent
README, PICTURE, FOLDER = HERE / "README.md", HERE / "verdicts.svg", HERE / "standard"
LIMITS = {"index.html": 800_000, "rows.parquet": 2_000_000}  # bytes
BEGIN, END = "<!-- the run: written by publish.py -->", "<!-- end of the run -->"
ROWS = 14  # of the picture
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>pruneproof verify --scale standard: the first verdicts</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px;
line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect width="100%" height="100%" rx="8" fill="#292929"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def verdicts() -> list[tuple[str, str, str]]:
    """Claim, statement, verdict: the rows of the first table in README.md."""
    text = README.read_text("utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+\d(?: \(theorem\))?) \| (.*) \| ([^|]+) \|$", text, flags=re.MULTILINE)
    return [(claim, _shown(statement), verdict) for claim, statement, verdict in rows]


def _shown(statement: str) -> str:
    """The statement up to the first formula that a terminal cannot show."""
    words, *formulas = re.split(r"\$(.*?)\$", statement)
    for formula, following in zip(formulas[::2], formulas[1::2], strict=True):
        if "\\" in formula:
            return words.rstrip(" ,:") + " …"
        words += formula + following
    return words


def draw() -> str:
    """The picture as SVG; the same rows give the same text."""
    table = Table("claim", "statement", "verdict", box=box.SIMPLE_HEAD, pad_edge=False)
    rows = verdicts()
    for claim, statement, verdict in rows[:ROWS]:
        colour = "green" if verdict.startswith("holds") else "yellow"
        short = re.sub(" at (this scale|scale standard)$", "", verdict)
        table.add_row(Text(claim, no_wrap=True), Text(statement), Text(short, colour))
    console = Console(
        record=True, width=108, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print("[bold]$ pruneproof verify --scale standard[/bold]")
    console.print(table)
    console.print(f"… and {len(rows) - ROWS} more", style="dim")
    return console.export_svg(code_format=FORMAT, unique_id="verdicts")


def section(results: list[Result], record: dict[str, Any], cost: str) -> str:
    """What README.md says of a run: its origin and cost, and its verdicts as a table."""
    about = record.get("environment", {})
    lines = [
        BEGIN,
        f"The run began {record.get('started', '')} and took {cost} of processor time: pruneproof "
        f"{about.get('pruneproof', '')}, source {about.get('source', '')}, {about.get('cores', '')} cores "
        f"({about.get('processor', '')}). All rows: [standard/rows.parquet](standard/rows.parquet).",
        "",
        "| claim | statement | verdict |",
        "|---|---|---|",
    ]
    for result in results:
        claim = result.claim
        statement = " ".join(claim.statement.split()).replace("\\|", "\\Vert ").replace("|", "\\vert ")
        lines.append(f"| {claim.id}{' (theorem)' if claim.theorem else ''} | {statement} | {result.label} |")
    return "\n".join([*lines, END])


def publish(run: Path) -> None:
    """Write everything that is published of a run.

    Args:
        run: Its folder.
    """
    record = read_record(run)
    FOLDER.mkdir(exist_ok=True)
    with Store(existing_results(run), reading=True) as store:
        papers = load_papers()
        results = judged(store, papers)
        replace_file(FOLDER / "index.html", page(papers, results, store, record))
        cost = str(cpu_table(results, store, record)[-1]["CPU time"])
        export_rows(store, FOLDER / "rows.parquet", Format.PARQUET)
        known = summary(results, record, rates(store.answers(), record.get("cpu_seconds", {})))
    replace_file(FILE, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    replace_file(README, before + section(results, record, cost) + rest.partition(END)[2])


def too_large(folder: Path = FOLDER) -> list[str]:
    """The published files that are larger than a reader should have to load, with their sizes."""
    sizes = {name: (folder / name).stat().st_size for name in LIMITS if (folder / name).exists()}
    return [f"{name}: {size:,} of {LIMITS[name]:,} bytes" for name, size in sizes.items() if size > LIMITS[name]]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        publish(Path(sys.argv[1]))
    replace_file(PICTURE, draw())
    sys.exit("\n".join(too_large()) or None)
