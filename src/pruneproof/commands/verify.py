"""Run the papers' claims against real data and report the verdicts."""

import json as json_text
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.claims.claim import Scale, Verdict
from pruneproof.claims.data.cifar import find_cifar10
from pruneproof.claims.data.mnist import find_mnist
from pruneproof.claims.data.root import use_data_root
from pruneproof.claims.engine.executors import executor_for
from pruneproof.claims.engine.folder import Record, check_folder, results_folder
from pruneproof.claims.engine.progress import progress_for
from pruneproof.claims.engine.store import Store
from pruneproof.claims.papers import load_papers, papers_of, select_claims
from pruneproof.claims.report.claim_section import Pictures, draw
from pruneproof.claims.report.cost import Cost, cost
from pruneproof.claims.report.document import proofs_section
from pruneproof.claims.report.publish import publish
from pruneproof.claims.report.terminal import print_claims, print_failures, print_verdicts, result_fields
from pruneproof.claims.verification import Result, run
from pruneproof.environment import cores, require
from pruneproof.errors import InvalidValueError, MissingFileError, PruneproofError

from . import INTERRUPTED

HOLDS, VIOLATED, INCOMPLETE = 0, 1, 3


def main(
    paper: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")] = (),
    claim: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID …", help_behavior_hint="")] = (),
    scale: Annotated[Scale, tyro.conf.EnumChoicesFromValues] = Scale.QUICK,
    seeds: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
    list: tyro.conf.FlagCreatePairsOff[bool] = False,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
    out: Path = Path("report"),
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
    long: tyro.conf.FlagCreatePairsOff[bool] = False,
    data_root: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    workers: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None,
) -> int:
    """Run the claims of the papers, judge them by the criteria fixed before the run, write a report.

    Writes OUT/index.html (the report), OUT/results.sqlite (every row, as soon as it exists) and OUT/run.json (when,
    where, how long). An earlier results.sqlite is kept under the next free number, or continued with --resume.

    Exit status: 0 no theorem is violated; 1 a theorem is violated; 2 misuse; 3 no theorem is violated, but a cell or a
    criterion raised; 130 interrupted.

    Example: pruneproof verify --paper pretraining --claim PT1 PT4 --scale standard --seeds 5 --out my-report

    Args:
        paper: Papers to run, by key or by the import name of a module of your own with PAPER and CLAIMS; default all.
        claim: Claims to run, by id; default all of the papers.
        scale: quick (minutes), standard (seeds and sizes as the criteria name them), full (hours, or a GPU).
        seeds: Number of seeds, instead of what the scale says.
        list: Only show the papers and their claims; nothing is run.
        json: Print the results as a JSON list on standard output.
        out: Folder for the report, made if absent.
        resume: Continue the run in the folder: finished cells are not computed again.
        long: Run at scale full also if that is expected to take more than ten hours, or cannot be estimated.
        data_root: Folder with MNIST, Fashion-MNIST or CIFAR-10, for the claims that can use them; see pruneproof data.
        workers: Worker processes; default one per core.
        scheduler: Address of a Dask scheduler (tcp://host:port) to run on instead of local processes.
    """
    _check(seeds, workers)
    if list:
        loaded = load_papers(papers_of(paper, claim))
        print_claims(loaded, select_claims(loaded, claim), as_json=json)
        return HOLDS
    if data_root is not None:
        use_data_root(data_root)
        if find_mnist() is None and find_cifar10() is None:
            raise MissingFileError(
                f"--data-root: {data_root} holds neither the four IDX files of MNIST or Fashion-MNIST nor the six of "
                "CIFAR-10. Name the folder that holds them; `pruneproof data` says what is found."
            )
    for module in ("matplotlib", "jinja2", "latex2mathml"):
        require("verify", module)
    papers = papers_of(paper, claim)
    check_folder(out)
    known = load_papers(papers)
    claims = select_claims(known, claim)
    if scale is Scale.FULL:
        _say_cost(cost(claims, scale, seeds), workers or cores(), long)
    measures = frozenset(each.measure.__module__ for each in claims)
    record, drawn = Record(out, resume=resume), dict[str, Pictures]()
    try:
        with (
            executor_for(scheduler, workers, measures) as pool,  # refuses before anything is touched
            results_folder(out, resume=resume) as store,
            progress_for() as seen,
        ):
            record.begin({each.id: each.criterion_hash for each in claims})
            try:
                results = run(
                    claims,
                    scale,
                    store,
                    pool.executor,
                    seeds=seeds,
                    progress=seen,
                    in_flight=pool.in_flight,
                    timed=record.timed,
                    judged=lambda result: _prepare(result, store, drawn),
                )
            except BaseException:  # also when interrupted: the times are stored nowhere else
                with suppress(PruneproofError):  # a full disk, say: what went wrong first is reported
                    record.save()
                raise
            record.finish([failure for result in results for failure in result.failures])
            page = publish(store, known, out, results, drawn=drawn)
    except KeyboardInterrupt:
        print(f"interrupted: finished cells are kept in {out}; repeat the command with --resume", file=sys.stderr)
        return INTERRUPTED
    _tell(results, json, page)
    return _status(results)


def _check(seeds: int | None, workers: int | None) -> None:
    for name, value in (("--seeds", seeds), ("--workers", workers)):
        if value is not None and value < 1:
            raise InvalidValueError(f"{name}: must be at least 1, got {value}. Pass a positive number.")


LONG = 10.0  # hours


def _say_cost(expected: Cost, workers: int, allowed: bool) -> None:
    """Say how long a run will take before it starts; refuse a long one that was not asked for."""
    hours = expected.hours / workers
    rest = f", and {expected.unknown} of them of kinds that were never timed" if expected.unknown else ""
    text = f"{expected.cells:,} cells, about {hours:.1f} hours on {workers} processes{rest}"
    print(f"scale full: {text}", file=sys.stderr)
    if not allowed and (hours > LONG or expected.unknown):
        raise InvalidValueError(
            f"verify: scale full needs {text}. Pass --long to run it, or make it smaller by --claim or --seeds."
        )


def _prepare(result: Result, store: Store, drawn: dict[str, Pictures]) -> None:
    """What the page needs of a claim, made while others are still measured."""
    drawn[result.claim.id] = draw(result, [*store.rows(result.claim.id)])
    if result.claim.theorem:
        with suppress(Exception):  # it is raised again for the page, when everything has been measured
            proofs_section()


def _tell(results: list[Result], as_json: bool, page: Path) -> None:
    print_failures(results, sys.stderr)
    if as_json:
        print(json_text.dumps([result_fields(result) for result in results], indent=2, ensure_ascii=False, default=str))
    else:
        print_verdicts(results)
        print(f"report: {page}")


def _status(results: list[Result]) -> int:
    if any(result.outcome.verdict is Verdict.VIOLATED for result in results):
        return VIOLATED
    return INCOMPLETE if any(result.missing or result.broken for result in results) else HOLDS
