"""Write the rows of a run as CSV or Parquet."""

from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.claims.engine.export import Format, export_rows
from pruneproof.claims.engine.folder import existing_results
from pruneproof.claims.engine.store import Store
from pruneproof.errors import InvalidValueError
from pruneproof.files import require_file_name


def main(
    file: tyro.conf.Positional[Path],
    to: Annotated[Format, tyro.conf.EnumChoicesFromValues] = Format.CSV,
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
) -> int:
    """Write every row of a results file, each with its cell's parameters, for other programs.

    Rows come in the order of their cells' parameters. Lists and dicts within a row become JSON texts. The file is
    written whole or not at all; a run that is still going on is exported as far as it has come. In CSV, a text that a
    spreadsheet would run as a formula gets an apostrophe before it.

    Example: pruneproof export sweep/results.sqlite --to parquet --out rows.parquet

    Args:
        file: A results.sqlite, or the folder of a run.
        to: The format.
        out: The file to write; default the results file with another ending.
    """
    results = existing_results(file)
    path = out or results.with_suffix(f".{to}")
    require_file_name(path, "--out")
    if path.exists() and path.samefile(results):
        raise InvalidValueError(f"--out: {path} holds the rows and cannot be written over. Choose another name.")
    with Store(results, reading=True) as store:
        number = export_rows(store, path, to)
    print(f"{number} rows in {path}")
    return 0
