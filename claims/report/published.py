"""The verdicts of the committed `standard` run, to be read beside those of a smaller one.

`published.json` is written by `docs/results/publish.py` with the page of that run; installed copies have no other trace
of it.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pruneproof.claims.claim import Scale
from pruneproof.claims.verification import Result

FILE = Path(__file__).with_name("published.json")


def summary(results: Sequence[Result], record: dict[str, Any], rates: Mapping[str, float]) -> dict[str, Any]:
    """What `published.json` holds of a run.

    Args:
        results: Its judged claims.
        record: Its `run.json`.
        rates: CPU seconds for a unit of work by kind of cell, see `cost`.
    """
    return {
        "source": record.get("environment", {}).get("source", ""),
        "started": record.get("started", ""),
        "verdicts": {each.claim.id: {"label": each.label, "criterion": each.claim.criterion_hash} for each in results},
        "rates": {name: float(f"{rate:.3g}") for name, rate in rates.items()},
    }


@cache
def published() -> dict[str, Any]:
    """The content of `published.json`."""
    return json.loads(FILE.read_text("utf-8"))


def standard_verdict(result: Result) -> str:
    """The published verdict on a claim that was judged here at another scale, or an empty text.

    Args:
        result: The claim as it was judged here.
    """
    found = published()["verdicts"].get(result.claim.id)
    if found is None or result.scale is Scale.STANDARD:
        return ""
    earlier = "" if found["criterion"] == result.claim.criterion_hash else " by an earlier criterion"
    return f"published run{earlier}: {found['label']}"
