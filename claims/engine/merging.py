"""Put the rows of one results file into another, refusing what disagrees."""

from pruneproof.errors import StateError

from .cell import Task
from .store import Store

BATCH = 256  # cells held at a time


def merge(store: Store, other: Store) -> None:
    """Add the cells and claims of another file; cells that both have must have equal rows.

    Args:
        store: Receives them.
        other: Is read.

    Raises:
        StateError: If a cell has other rows, or a claim another criterion or scale. What was added
            before stays; it is valid by itself.
        FileFormatError: If the other file is damaged.
    """
    claims, theirs = store.claims(), other.claims()
    for claim, record in theirs.items():
        for name in ("criterion", "scale"):
            if claim in claims and _words(claims[claim][name]) != _words(record[name]):
                raise StateError(
                    f"merge: claim {claim} has another {name} in {other.path} than in the runs before it. "
                    "Merge runs of one version and scale."
                )
    batch: list[tuple[Task, str]] = []
    for task, rows in other.answers():
        _check_equal(store, other, task, rows)
        batch.append((task, rows))
        if len(batch) == BATCH:
            store.add(batch)
            batch = []
    store.add(batch)
    store.add_sources(other.sources())
    for claim, record in theirs.items():
        keys = dict.fromkeys([*store.needed(claim), *other.needed(claim)])
        store.register(claim, {**record, "cells": len(keys)}, keys)


def _words(text: str) -> list[str]:
    return text.split()


def _check_equal(store: Store, other: Store, task: Task, rows: str) -> None:
    known = store.answer(task.key)
    if known is not None and known != rows:
        raise StateError(
            f"merge: {task.measure} {task.cell} has other rows in {other.path} than in the runs before it. "
            "The machines do not compute the same: compare their environments in run.json, and merge one of the two."
        )
