"""Mutation testing with a stored baseline: is there a test that fails when the code is wrong?

    python tests/mutation/mutate.py                          a sample of `prune`, `theory` and the kernels' references
    python tests/mutation/mutate.py --package prune          of one package
    python tests/mutation/mutate.py --module prune.masks     of one module, or of the modules of a folder
    python tests/mutation/mutate.py --sample 0               every mutant (a day)
    python tests/mutation/mutate.py --update                 store what survives, of each package or of the module;
                                                             reasons are written in by hand

Mutants are drawn uniformly from all of a package's. What was killed is remembered under `build/mutation` for as long as
its module does not change, so an interrupted run goes on where it stopped; survivors are tried again.

Exit status 1 if a mutant survives that `baseline.json` does not explain, or if fewer than 90 % are killed.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from mutants import mutant, places
from pool import Trial, try_all
from reach import ROOT, STORE, Reach, reach, statement
from scipy.stats import binomtest
from trial import SURVIVED, TIMED_OUT, prepare

BASELINE = Path(__file__).parent / "baseline.json"
PACKAGES = {
    "prune": ["prune/**/*.py"],
    "theory": ["theory/**/*.py"],
    "references": ["kernels/*/reference.py", "kernels/top_k.py", "kernels/patches.py"],
}
BAR = 0.9
UNEXPLAINED = "unexplained"


def main() -> int:
    """Try mutants of each package and compare with the baseline."""
    options = _options()
    os.chdir(ROOT)
    prepare()
    reached = reach(options.jobs)
    baseline: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    reasons = {name: reason for record in baseline.values() for name, reason in record["survivors"].items()}
    failed = False
    for package, patterns in PACKAGES.items():
        if options.package in (None, package):
            trials, population = _trials(patterns, reached, options)
            results = list(try_all(trials, options.jobs, STORE / "killed.jsonl"))
            failed |= _report(package, results, reasons, population)
            if options.update and results:
                baseline[options.module or package] = _record(results, reasons, population)
                BASELINE.write_text(json.dumps(baseline, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", choices=PACKAGES)
    parser.add_argument("--module", help="such as prune.masks")
    parser.add_argument("--sample", type=int, default=300, help="mutants per package, 0 for all (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--update", action="store_true", help="rewrite the baseline")
    return parser.parse_args()


def _trials(patterns: list[str], reached: Reach, options: argparse.Namespace) -> tuple[list[Trial], int]:
    """Trials of mutants drawn without replacement, and the number of places that they were drawn from."""
    files = sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))
    if options.module:
        part = options.module.replace(".", "/")
        files = [file for file in files if file == part + ".py" or file.startswith(part + "/")]
    sources = {file: (ROOT / file).read_text("utf-8") for file in files}
    drawn = [(file, place) for file, source in sources.items() for place in places(source)]
    random.Random(options.seed).shuffle(drawn)
    found: list[Trial] = []
    for file, place in drawn:
        if options.sample and len(found) == options.sample:
            break
        if (made := mutant(sources[file], place)) is not None:
            stages = reached.stages(file, statement(sources[file], place.line))
            found.append(Trial(file, made, stages))
    return found, len(drawn)


def _report(package: str, results: list[tuple[Trial, str]], known: dict[str, str], population: int) -> bool:
    """Print what survived; whether that is worse than the baseline allows."""
    survivors = [trial for trial, shown in results if shown == SURVIVED]
    unexplained = [trial for trial in survivors if known.get(trial.name, UNEXPLAINED) == UNEXPLAINED]
    killed = len(results) - len(survivors)
    share = killed / len(results) if results else 1.0
    interval = binomtest(killed, max(1, len(results))).proportion_ci()
    endless = sum(shown == TIMED_OUT for _, shown in results)
    print(f"{package}: {killed} of {len(results)} mutants killed ({share:.1%}, 95 % interval {interval.low:.1%} to "
          f"{interval.high:.1%}), {endless} of them by time; drawn from {population}", flush=True)  # fmt: skip
    for trial in unexplained:
        place = trial.mutant.place
        print(f"  {trial.file}:{place.line}: {trial.mutant.before}\n      became {trial.mutant.after}")
    return bool(unexplained) or share < BAR


def _record(results: list[tuple[Trial, str]], known: dict[str, str], population: int) -> dict[str, Any]:
    survivors = {trial.name: known.get(trial.name, UNEXPLAINED) for trial, shown in results if shown == SURVIVED}
    killed = sum(shown != SURVIVED for _, shown in results)
    return {"places": population, "tried": len(results), "killed": killed, "survivors": survivors}


if __name__ == "__main__":
    sys.exit(main())
