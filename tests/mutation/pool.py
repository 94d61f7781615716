"""Try mutants several at a time, stage by stage, and remember what was killed."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mutants import Mutant
from trial import KILLED, LOST, SURVIVED, outcome, start

PATIENCE = (
    5  # a stage may compute this many times as long as it takes on the unchanged module, and `GRACE` seconds more
)
GRACE = 20


@dataclass
class Trial:
    """A mutant of a file with the tests to try on it: stages of node ids, each with the seconds that it takes."""

    file: str
    mutant: Mutant
    stages: list[tuple[list[str], float]]
    began: float = 0.0
    child: int = field(default=0, repr=False)

    @property
    def module(self) -> str:
        """The name under which the file is imported."""
        return "pruneproof." + self.file.removesuffix(".py").replace("/", ".")

    @property
    def name(self) -> str:
        """What identifies the mutant in the baseline while other lines of the file come and go."""
        return f"{self.file}: {self.mutant.before} => {self.mutant.after}"

    @property
    def limit(self) -> float:
        """Seconds of processor time for the stage that comes next."""
        return PATIENCE * self.stages[0][1] + GRACE

    def key(self, source: str) -> str:
        """What identifies the trial as long as the file does not change."""
        place = self.mutant.place
        text = f"{self.file} {place.operator} {place.occurrence} {source}"
        return hashlib.sha256(text.encode()).hexdigest()


def try_all(trials: Sequence[Trial], jobs: int, memory: Path) -> Iterator[tuple[Trial, str]]:
    """Each trial with what it showed, as they end; a trial that ends after no stage survives."""
    known = {json.loads(line)["key"]: json.loads(line)["shown"] for line in _lines(memory)}
    sources = {trial.file: Path(trial.file).read_text("utf-8") for trial in trials}
    waiting, running, done = list(reversed(trials)), list[Trial](), 0
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            shown = known.get(trial.key(sources[trial.file]), None if trial.stages else SURVIVED)
            if shown is None:
                _begin(trial)
                running.append(trial)
            else:
                done += 1
                yield trial, shown
        for trial in list(running):
            shown = _look(trial)
            if shown is not None:
                running.remove(trial)
                done += 1
                if shown != SURVIVED:
                    with memory.open("a") as file:
                        file.write(json.dumps({"key": trial.key(sources[trial.file]), "shown": shown}) + "\n")
                print(f"\r{done} of {len(trials)} mutants", end="", file=sys.stderr, flush=True)
                yield trial, shown
    print(file=sys.stderr)


def _lines(memory: Path) -> list[str]:
    return memory.read_text().splitlines() if memory.exists() else []


def _begin(trial: Trial) -> None:
    trial.began = time.monotonic()
    trial.child = start(trial.module, trial.mutant.source, trial.stages[0][0], trial.limit)


def _look(trial: Trial) -> str | None:
    """What the trial showed, or `None` while it goes on, be it with its next stage."""
    tests, seconds = trial.stages[0]
    shown = outcome(trial.child, trial.began, trial.limit)
    if shown == LOST:  # the tests have other names now: try all that their files hold
        files = sorted({test.partition("::")[0] for test in tests})
        trial.stages[0:1] = [(files, 10 * seconds)] if files != tests else []
    elif shown == SURVIVED:
        del trial.stages[0]
    else:
        return shown
    if not trial.stages:
        return SURVIVED if shown == SURVIVED else KILLED
    _begin(trial)
    return None
