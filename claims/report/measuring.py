"""How a run was measured: on which images, in how much CPU time, and how to cite it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pruneproof._version import __version__
from pruneproof.claims.data.images import set_name
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.engine.store import Store
from pruneproof.claims.verification import Result


def data_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The data sets of some rows, by name, size and hash, as their cells name them under `data`.

    Example:
        >>> data_of([{"seed": 1, "data": "MNIST (60000 + 10000 images, SHA-256 5e88)"}, {"seed": 2}])
        ('MNIST (60000 + 10000 images, SHA-256 5e88)',)
    """
    return tuple(dict.fromkeys(str(row["data"]) for row in rows if row.get("data")))


def seeds_of(seeds: Sequence[int], rows: Iterable[Row]) -> str:
    """The seeds of a claim as ranges; where its data sets have other ones, those of each.

    Args:
        seeds: All of them.
        rows: The rows, with the `seed` and the `data` of their cells.

    Example:
        >>> seeds_of([200, 201, 202], [])
        '200–202'
        >>> seeds_of([0, 1], [{"seed": 0, "data": "A (1)"}, {"seed": 1, "data": "A (1)"}, {"seed": 1, "data": "B (2)"}])
        'A: 0–1; B: 1'
    """
    by_data: dict[str, set[int]] = {}
    for row in rows:
        if row.get("data") and row.get("seed") in seeds:
            by_data.setdefault(set_name(str(row["data"])), set()).add(row["seed"])
    if len({frozenset(own) for own in by_data.values()}) < 2:
        return _ranges(seeds)
    return "; ".join(f"{name}: {_ranges(own)}" for name, own in by_data.items())


def _ranges(seeds: Iterable[int]) -> str:
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def data_table(by_claim: Mapping[str, Sequence[str]]) -> list[Row]:
    """Data sets with the claims that were measured on them.

    Args:
        by_claim: Claim id → its data sets.

    Example:
        >>> data_table({"A1": ["digits"], "A2": ["digits", "MNIST"]})
        [{'data': 'digits', 'claims': 'A1, A2'}, {'data': 'MNIST', 'claims': 'A2'}]
    """
    users: dict[str, list[str]] = {}
    for claim, sets in by_claim.items():
        for each in sets:
            users.setdefault(each, []).append(claim)
    return [{"data": each, "claims": ", ".join(claims)} for each, claims in users.items()]


def cpu_table(results: Sequence[Result], store: Store, record: Mapping[str, Any]) -> list[Row]:
    """The CPU time of each claim; cells that claims share are counted at the first of them.

    Args:
        results: The claims, in the order of the page.
        store: Which cells they need.
        record: The `run.json` with the CPU seconds of the cells.

    Returns:
        A row a claim and the total; nothing if no cell was timed.
    """
    seconds: Mapping[str, float] = record.get("cpu_seconds", {})
    if not seconds:
        return []
    seen: set[str] = set()
    rows: list[Row] = []
    for result in results:
        needed = set(store.needed(result.claim.id))
        mine = needed - seen
        timed = [seconds[key] for key in mine & seconds.keys()]
        seen |= needed
        rows.append(
            {
                "claim": result.claim.id,
                "cells": len(needed),
                "of them with claims above": len(needed) - len(mine),
                "timed": len(timed),
                "CPU time": duration(sum(timed)) if timed else "–",
            }
        )
    total = [seconds[key] for key in seen & seconds.keys()]
    rows.append({"claim": "all", "cells": len(seen), "timed": len(total), "CPU time": duration(sum(total))})
    return rows


def duration(seconds: float) -> str:
    """A time in its natural unit.

    Example:
        >>> duration(7.26), duration(93.0), duration(5400.0)
        ('7.3 s', '1.6 min', '1.5 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def citation(record: Mapping[str, Any]) -> str:
    """A BibTeX entry for the software as it ran.

    Args:
        record: The `run.json`.
    """
    environment = record.get("environment", {})
    version, source = environment.get("pruneproof", __version__), environment.get("source", "")
    note = f"\n  note = {{source {source}}}," if source else ""
    return (
        "@software{pruneproof,\n  author = {{the pruneproof developers}},\n  title = {pruneproof},\n"
        f"  version = {{{version}}},{note}\n  year = {{{record.get('started', '')[:4]}}}\n}}"
    )
