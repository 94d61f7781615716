"""The picture in README: the first verdicts of the committed `standard` run, as a terminal shows them.

python docs/results/picture.py    # writes verdicts.svg beside this file, from the table in README.md there
"""

import io
import re
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
PICTURE = HERE / "verdicts.svg"
ROWS = 14  # the first two papers
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
    text = (HERE / "README.md").read_text("utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+\d(?: \(theorem\))?) \| (.*) \| ([a-z ]+) \|$", text, flags=re.MULTILINE)
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
        colour = "green" if verdict == "holds" else "yellow"
        table.add_row(Text(claim, no_wrap=True), Text(statement), Text(verdict.removesuffix(" at this scale"), colour))
    console = Console(
        record=True, width=108, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print("[bold]$ pruneproof verify --scale standard[/bold]")
    console.print(table)
    console.print(f"… and {len(rows) - ROWS} more", style="dim")
    return console.export_svg(code_format=FORMAT, unique_id="verdicts")


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
