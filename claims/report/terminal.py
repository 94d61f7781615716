"""The results for a terminal and for programs."""

import json
from collections.abc import Iterable
from typing import Any, TextIO

from pruneproof.claims.claim import Claim, Verdict
from pruneproof.claims.engine.cell import plain
from pruneproof.claims.estimates import as_json, shown
from pruneproof.claims.papers import LoadedPaper
from pruneproof.claims.verification import Result

from .published import standard_verdict

FIGURES = 4  # measured values per claim on a terminal


COLOURS = {
    Verdict.HOLDS: "green",
    Verdict.VIOLATED: "bold red",
    Verdict.NOT_REPRODUCED: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.VACUOUS: "dim",
    Verdict.NOT_APPLICABLE: "dim",
}


def claim_fields(claim: Claim) -> dict[str, Any]:
    """What a claim says, as a JSON object."""
    return {
        "id": claim.id,
        "paper": claim.paper,
        "source": claim.source,
        "statement": claim.statement,
        "criterion": claim.criterion,
        "theorem": claim.theorem,
        "says_not": claim.says_not,
    }


def print_claims(papers: Iterable[LoadedPaper], claims: Iterable[Claim], *, as_json: bool = False) -> None:
    """Papers and the claims of them that may be run, on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    claims = tuple(claims)
    if as_json:
        print(json.dumps([claim_fields(claim) for claim in claims], indent=2, ensure_ascii=False))
        return
    table = Table("claim", "statement", box=box.SIMPLE_HEAD, pad_edge=False)
    for loaded in papers:
        paper = loaded.paper
        table.add_row(Text(paper.key, "bold"), Text(f"{paper.title} ({paper.authors}, {paper.year})", "bold"))
        for claim in claims:
            if claim in loaded.claims:
                kind = "Theorem: " if claim.theorem else ""
                table.add_row(Text(claim.id), Text(kind + claim.statement.replace("$", "")))
    Console().print(table)


def result_fields(result: Result) -> dict[str, Any]:
    """A result as a JSON object."""
    claim, outcome = result.claim, result.outcome
    fields = {
        **claim_fields(claim),
        "verdict": str(outcome.verdict),
        "measured": {name: as_json(value) for name, value in outcome.measured.items()},
        "seeds": outcome.seeds,
        "scope": outcome.scope,
        "scale": str(result.scale),
        "cells": result.cells,
        "missing": result.missing,
    }
    return plain(fields)


def print_verdicts(results: Iterable[Result]) -> None:
    """The table of verdicts on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("claim", "verdict", "measured", box=box.SIMPLE_HEAD, pad_edge=False)
    for result in results:
        verdict = result.outcome.verdict
        told = Text(str(verdict), COLOURS[verdict])
        if beside := standard_verdict(result):
            told.append(f"\n({beside})", "dim")
        table.add_row(Text(result.claim.id), told, Text(_digest(result)))
    Console().print(table)


def _digest(result: Result) -> str:
    measured = [f"{name} {shown(value)}" for name, value in result.outcome.measured.items()]
    rest = [f"… {len(measured) - FIGURES} more in the report"] if len(measured) > FIGURES else []
    return "; ".join(measured[:FIGURES] + rest) or result.outcome.scope


def print_failures(results: Iterable[Result], stream: TextIO) -> None:
    """What raised, once, with the parameters that reproduce it."""
    failures = {failure.task.key: failure for result in results for failure in result.failures}
    for failure in failures.values():
        print(f"failed: {failure.task.measure} {failure.task.cell}\n{failure.trace or failure.error}", file=stream)
    for result in results:
        if result.broken:
            print(f"failed: the criterion of {result.claim.id}\n{result.broken}", file=stream)
