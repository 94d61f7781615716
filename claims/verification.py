"""Run claims: compute the cells they need, store them, apply each criterion to the stored rows.

A verdict is always reached from rows read back from the store, so a resumed run and an undisturbed one cannot differ.
"""

import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from pruneproof.claims.engine.cell import Task, task
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.progress import Progress
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.worker import Failure
from pruneproof.environment import cores
from pruneproof.errors import PruneproofError

from .claim import Claim, Outcome, Scale, Verdict


@dataclass(frozen=True)
class Result:
    """A claim with its verdict.

    Arguments:
        claim: what was claimed.
        outcome: the verdict with its evidence.
        scale: at which scale the rows were measured.
        cells: how many cells the claim asked for.
        missing: how many of them have no rows, because they raised.
        failures: what they raised in this run, the first of them word by word.
        broken: what the criterion itself raised, or an empty text.

    Example:
        >>> from pruneproof.claims.label_noise import CLAIMS
        >>> outcome = Outcome(Verdict.INCONCLUSIVE, {}, (), "nothing was run")
        >>> Result(CLAIMS[0], outcome, Scale.QUICK, cells=0, missing=0).outcome.verdict.value
        'inconclusive'
    """

    claim: Claim
    outcome: Outcome
    scale: Scale
    cells: int
    missing: int
    failures: tuple[Failure, ...] = ()
    broken: str = ""


def run(
    claims: Sequence[Claim],
    scale: Scale,
    store: Store,
    executor: Executor,
    *,
    seeds: int | None = None,
    progress: Progress | None = None,
    in_flight: int | None = None,
) -> list[Result]:
    """Run claims and judge them.

    Arguments:
        claims: what to run; cells that two claims share are computed once.
        scale: how much to run.
        store: receives the rows; cells it already holds are not computed again.
        executor: any `concurrent.futures.Executor`, e.g. that of `processes()`.
        seeds: number of seeds, by default what the claim names for the scale.
        progress: is told of every cell.
        in_flight: cells submitted at a time, by default four per core.
    Returns one result per claim. Raises `PruneproofError` for rows of another criterion, or if an executor lost its
    workers.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> def agreed(rows):
        ...     return Outcome(Verdict.HOLDS, {"largest": max(row["x"] for row in rows)}, (), "two cells")
        >>> claim = Claim("X1", "x is small", "nobody", "no x above 3", dict, paper="x", judge=agreed,
        ...               grid=lambda scale, seeds: [{"x": 1}, {"x": 3}])
        >>> with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        ...     run([claim], Scale.QUICK, store, executor)[0].outcome.measured
        {'largest': 3}
    """
    asked = {claim.id: [task(claim.measure, cell) for cell in claim.grid(scale, seeds)] for claim in claims}
    for claim in claims:
        _ask(store, claim, scale, asked[claim.id])
    fewest_first = sorted(asked.values(), key=len)  # few cells are long ones; the short ones then fill the end
    tasks = {one.key: one for some in fewest_first for one in some}
    progress = progress or Progress()
    progress.begin(Counter(one.measure for one in tasks.values()))
    failures = execute(tasks.values(), store, executor, in_flight=in_flight or 4 * cores(), progress=progress)
    return [judge(claim, store, _of(failures, asked[claim.id])) for claim in claims]


def _of(failures: list[Failure], asked: list[Task]) -> tuple[Failure, ...]:
    keys = {one.key for one in asked}
    return tuple(failure for failure in failures if failure.task.key in keys)


def judge(claim: Claim, store: Store, failures: tuple[Failure, ...] = ()) -> Result:
    """Apply a claim's criterion to its rows in the store.

    Arguments:
        claim: whose criterion and rows.
        store: where the rows are.
        failures: what its cells raised in this run, to be told with the result.

    Raises `PruneproofError` if the store does not know the claim, or knows it with another criterion.

    Example:
        >>> from pruneproof.claims.label_noise import CLAIMS
        >>> with Store(":memory:") as store:
        ...     judge(CLAIMS[0], store)
        Traceback (most recent call last):
        pruneproof.errors.PruneproofError: judge: needs a claim that was run; received LN1; run it with verify
    """
    recorded = store.claims().get(claim.id)
    if recorded is None:
        raise PruneproofError("judge", required="a claim that was run", received=claim.id, remedy="run it with verify")
    _same_criterion(claim, recorded["criterion"])
    missing = store.missing(claim.id)
    outcome, broken = _judged(claim, store)
    if missing and outcome.verdict is not Verdict.VIOLATED:  # a counterexample needs no completeness
        scope = f"{missing} of {recorded['cells']} cells failed; of the rest: {outcome.scope}"
        outcome = Outcome(Verdict.INCONCLUSIVE, outcome.measured, outcome.seeds, scope, outcome.table)
    return Result(claim, outcome, Scale(recorded["scale"]), recorded["cells"], missing, failures, broken)


def _judged(claim: Claim, store: Store) -> tuple[Outcome, str]:
    try:
        outcome = claim.judge(list(store.rows(claim.id)))
        if outcome.verdict is Verdict.VIOLATED and not claim.theorem:
            raise ValueError("only a theorem can be violated; an observation is not reproduced")
        return outcome, ""
    except Exception as error:
        scope = f"the criterion could not be applied ({type(error).__name__}: {error})"
        return Outcome(Verdict.INCONCLUSIVE, {}, (), scope), traceback.format_exc()


def _ask(store: Store, claim: Claim, scale: Scale, asked: list[Task]) -> None:
    recorded = store.claims().get(claim.id)
    if recorded is not None:
        _same_criterion(claim, recorded["criterion"])
    record = {
        "paper": claim.paper,
        "statement": claim.statement,
        "source": claim.source,
        "criterion": claim.criterion,
        "scale": str(scale),
        "cells": len(asked),
    }
    store.ask(claim.id, record, (one.key for one in asked))


def _same_criterion(claim: Claim, recorded: str) -> None:
    if recorded.split() != claim.criterion.split():  # texts may be reflowed
        raise PruneproofError(
            f"claim {claim.id}",
            required=f"the criterion fixed before the run ({recorded!r})",
            received=claim.criterion,
            remedy="start a new run: without --resume, or with another --out",
        )
