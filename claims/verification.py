"""Run claims: compute the cells they need, store them, apply each criterion to the stored rows.

A verdict is always reached from rows read back from the store, so a resumed run and an undisturbed one cannot differ.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from pruneproof.claims.engine.cell import Cell, Task, task
from pruneproof.claims.engine.dispatch import execute
from pruneproof.claims.engine.progress import Progress
from pruneproof.claims.engine.sources import source_digests
from pruneproof.claims.engine.store import Store
from pruneproof.claims.engine.worker import Failure
from pruneproof.environment import cores
from pruneproof.errors import StateError

from .claim import Claim, Outcome, Scale, Verdict

KIND = ("kind", "task", "network", "data")  # parameters that decide, with the measure, how long a cell takes


@dataclass(frozen=True)
class Result:
    """A claim with its verdict.

    Args:
        claim: What was claimed.
        outcome: The verdict with its evidence.
        scale: At which scale the rows were measured.
        cells: How many cells the claim needs.
        missing: How many of them have no rows, because they raised or were not computed yet.
        failures: What they raised in this run, the first of them word by word.
        broken: What the criterion itself raised, or an empty text.

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

    @property
    def label(self) -> str:
        """The verdict as it is printed, or how much of the run there is."""
        if self.missing and self.outcome.verdict is not Verdict.VIOLATED:
            done = self.cells - self.missing
            return f"incomplete ({done} of {self.cells} cells)" if done else f"not run (0 of {self.cells} cells)"
        if self.outcome.verdict is Verdict.HOLDS and not self.claim.theorem:
            return f"holds at scale {self.scale}"
        return str(self.outcome.verdict)


def run(
    claims: Sequence[Claim],
    scale: Scale,
    store: Store,
    executor: Executor,
    *,
    seeds: int | None = None,
    progress: Progress | None = None,
    in_flight: int | None = None,
    timed: Callable[[str, float], None] | None = None,
    judged: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run claims and judge them.

    Args:
        claims: What to run; cells that two claims share are computed once.
        scale: How much to run.
        store: Receives the rows; cells it already holds are not computed again.
        executor: Any `concurrent.futures.Executor`, e.g. that of `processes()`.
        seeds: Number of seeds, by default what the claim names for the scale.
        progress: Is told of every cell, and of every verdict as soon as its cells are there.
        in_flight: Cells submitted at a time, by default four per core.
        timed: Is told the key and the CPU seconds of every cell that is computed.
        judged: Is given the result of every claim that is judged while others are still measured.

    Returns:
        One result per claim.

    Raises:
        StateError: For rows of another criterion, or if an executor lost its workers.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> def largest(rows):
        ...     return Outcome(Verdict.HOLDS, {"largest": max(row["x"] for row in rows)}, (), "two cells")
        >>> claim = Claim("X1", "x is small", "nobody", "no x above 3", dict, paper="x", judge=largest,
        ...               grid=lambda scale, seeds: [{"x": 1}, {"x": 3}])
        >>> with Store(":memory:") as store, ThreadPoolExecutor(1) as executor:
        ...     run([claim], Scale.QUICK, store, executor)[0].outcome.measured
        {'largest': 3}
    """
    needed = {claim.id: [_task(claim, cell) for cell in claim.grid(scale, seeds)] for claim in claims}
    for claim in claims:
        _register(store, claim, scale, needed[claim.id])
    fewest_first = sorted(needed.values(), key=len)  # few cells are long ones; the short ones then fill the end
    in_order = [task for tasks in fewest_first for task in tasks]
    tasks = {task.key: task for task in (*_typical(in_order), *in_order)}  # so that every kind is soon timed
    progress = progress or Progress()
    progress.begin(Counter(task.kind for task in tasks.values()))
    say_changed_sources(store, {claim.measure for claim in claims}, progress)
    watch = _Verdicts(claims, needed, store, progress, timed, judged)
    failures = execute(
        tasks.values(), store, executor, in_flight=in_flight or 4 * cores(), progress=progress, finished=watch.finished
    )
    return [watch.results.get(claim.id) or judge(claim, store, _of(failures, needed[claim.id])) for claim in claims]


def _task(claim: Claim, cell: Cell) -> Task:
    """A cell of a claim, of one kind with the others of its measure on the same network and data."""
    plain = task(claim.measure, cell)
    return replace(plain, kind=" ".join([plain.measure, *(str(cell[name]) for name in KIND if name in cell)]))


def _typical(tasks: Iterable[Task]) -> list[Task]:
    """One cell of each kind, of middling size: grids name the longest first."""
    kinds: dict[str, list[Task]] = {}
    for each in tasks:
        kinds.setdefault(each.kind, []).append(each)
    return [of_kind[len(of_kind) // 2] for of_kind in kinds.values()]


class _Verdicts:
    """Says a claim's verdict as soon as the last of its cells is there."""

    def __init__(
        self,
        claims: Sequence[Claim],
        needed: Mapping[str, Sequence[Task]],
        store: Store,
        progress: Progress,
        timed: Callable[[str, float], None] | None,
        judged: Callable[[Result], None] | None,
    ) -> None:
        self._claims = {claim.id: claim for claim in claims}
        self._open = {claim: {task.key for task in tasks} for claim, tasks in needed.items()}
        self._store, self._progress, self._timed, self._judged = store, progress, timed, judged
        self.results: dict[str, Result] = {}

    def finished(self, task: Task, cpu: float | None) -> None:
        if cpu is not None and self._timed is not None:
            self._timed(task.key, cpu)
        for name in [name for name, keys in self._open.items() if task.key in keys]:
            self._open[name].discard(task.key)
            if not self._open[name]:
                self.results[name] = judge(self._claims[name], self._store)
                self._progress.write(f"{name}: {self.results[name].label}")
                if self._judged is not None:
                    self._judged(self.results[name])


def say_changed_sources(store: Store, measures: Iterable[Callable[..., object]], progress: Progress) -> None:
    """Say which measures have stored rows of other sources, and remember the present ones.

    The rows are kept: whoever changes what a measure computes raises its `revision`.
    """
    known, stored = store.sources(), store.measures()
    names = {task(measure, {}).measure: measure.__module__ for measure in measures}
    digests = source_digests(names.values())
    present = {(name, digests[module]) for name, module in names.items()}
    for name, digest in sorted(present):
        before = {other for measure, other in known if measure == name}
        if name in stored and before and digest not in before:
            progress.write(
                f"note: the code of {name}, or what it imports, has changed since some of its stored rows were "
                "computed; they are kept. If it computes something else now, raise its revision, or start anew."
            )
    store.add_sources(present)


def _of(failures: list[Failure], needed: list[Task]) -> tuple[Failure, ...]:
    keys = {task.key for task in needed}
    return tuple(failure for failure in failures if failure.task.key in keys)


def judge(claim: Claim, store: Store, failures: tuple[Failure, ...] = ()) -> Result:
    """Apply a claim's criterion to its rows in the store.

    Args:
        claim: Whose criterion and rows.
        store: Where the rows are.
        failures: What its cells raised in this run, to be told with the result.

    Raises:
        StateError: If the store does not know the claim, or knows it with another criterion.

    Example:
        >>> from pruneproof.claims.label_noise import CLAIMS
        >>> with Store(":memory:") as store:
        ...     judge(CLAIMS[0], store)
        Traceback (most recent call last):
        pruneproof.errors.StateError: judge: claim LN1 was not run into this file. Run it with pruneproof verify.
    """
    recorded = store.claims().get(claim.id)
    if recorded is None:
        raise StateError(f"judge: claim {claim.id} was not run into this file. Run it with pruneproof verify.")
    _same_criterion(claim, recorded["criterion"])
    missing = store.missing(claim.id)
    outcome, broken = _judged(claim, store)
    if missing and outcome.verdict is not Verdict.VIOLATED:  # a counterexample needs no completeness
        scope = f"{missing} of {recorded['cells']} cells have no rows; of the rest: {outcome.scope}"
        outcome = replace(outcome, verdict=Verdict.INCONCLUSIVE, scope=scope)
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


def _register(store: Store, claim: Claim, scale: Scale, needed: list[Task]) -> None:
    recorded = store.claims().get(claim.id)
    if recorded is not None:
        _same_criterion(claim, recorded["criterion"])
    record = {
        "paper": claim.paper,
        "statement": claim.statement,
        "source": claim.source,
        "criterion": claim.criterion,
        "criterion_sha256": claim.criterion_hash,
        "scale": str(scale),
        "cells": len(needed),
    }
    store.register(claim.id, record, (task.key for task in needed))


def _same_criterion(claim: Claim, recorded: str) -> None:
    if recorded.split() != claim.criterion.split():  # texts may be reflowed
        raise StateError(
            f"claim {claim.id}: its rows were gathered under another criterion than today's, which was fixed before "
            f"the run ({recorded!r:.300}). Start a new run: without --resume, or with another --out."
        )
