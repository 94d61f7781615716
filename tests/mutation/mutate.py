"""Mutation testing with a stored baseline: is there a test that fails when the code is wrong?

    python tests/mutation/mutate.py                          all modules of targets.toml, 40 mutants of each
    python tests/mutation/mutate.py --sample 0               every mutant (hours)
    python tests/mutation/mutate.py --module prune.masks     one module
    python tests/mutation/mutate.py --update                 store what survives; reasons are written in by hand

Exit status 1 if a mutant survives that `baseline.json` does not explain, or if a module falls below the bar of killed
mutants. A survivor is explained by a reason why no test can or need refuse it, in `baseline.json`.
"""

import argparse
import json
import os
import random
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants
from trial import SURVIVED, TIMED_OUT, outcome, start

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BASELINE = HERE / "baseline.json"
BAR = 0.9
PATIENCE = 5  # a mutant may take this many times as long as the unchanged module, and this many seconds more
UNEXPLAINED = "unexplained"


def main() -> int:
    """Try the mutants and compare with the baseline."""
    options = _options()
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    baseline = _baseline()
    os.chdir(ROOT)
    failed = False
    for module, tests in targets["modules"].items():
        if options.module in (None, module):
            results = _try_module(module, tests, targets["unless"], options)
            known = baseline.get(module, {}).get("survivors", {})
            failed |= _report(module, results, known)
            if options.update:
                baseline = _baseline()  # another run may have written meanwhile
                baseline[module] = _record(results, known)
                BASELINE.write_text(json.dumps(baseline, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return int(failed)


def _baseline() -> dict[str, Any]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module")
    parser.add_argument("--sample", type=int, default=40, help="mutants per module, 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--update", action="store_true", help="rewrite the baseline")
    return parser.parse_args()


def _try_module(module: str, tests: list[str], unless: str, options: argparse.Namespace) -> list[tuple[Mutant, str]]:
    """Try a sample of a module's mutants, `jobs` at a time."""
    file = ROOT / Path(*module.split(".")).with_suffix(".py")
    source = file.read_text("utf-8")
    chosen = list(mutants(source))
    if options.sample and options.sample < len(chosen):
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    name, began = f"pruneproof.{module}", time.monotonic()
    child = start(name, source, tests, unless)
    while (unchanged := outcome(child, began, 600)) is None:
        pass
    if unchanged != SURVIVED:
        raise SystemExit(f"{module}: its tests fail without any mutation")
    limit = PATIENCE * (time.monotonic() - began) + PATIENCE
    waiting, running, results = list(reversed(chosen)), dict[int, tuple[Mutant, float]](), list[tuple[Mutant, str]]()
    while waiting or running:
        while waiting and len(running) < options.jobs:
            mutant = waiting.pop()
            running[start(name, mutant.source, tests, unless)] = mutant, time.monotonic()
        for child, (mutant, began) in list(running.items()):
            if (shown := outcome(child, began, limit)) is not None:
                del running[child]
                results.append((mutant, shown))
                print(f"\r{module}: {len(results)} of {len(chosen)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def _report(module: str, results: list[tuple[Mutant, str]], known: dict[str, str]) -> bool:
    """Print what survived; whether that is worse than the baseline allows."""
    survivors = [mutant for mutant, shown in results if shown == SURVIVED]
    unexplained = [mutant for mutant in survivors if known.get(mutant.key, UNEXPLAINED) == UNEXPLAINED]
    share = 1 - len(survivors) / len(results) if results else 1.0
    endless = sum(shown == TIMED_OUT for _, shown in results)
    summary = f"{len(results) - len(survivors)} of {len(results)} killed ({share:.1%}), {endless} of them by the clock"
    print(f"{module}: {summary}", flush=True)
    for mutant in unexplained:
        print(f"  line {mutant.line}: {mutant.before}\n       became {mutant.after}   [{mutant.operator}]")
    judged = len(results) - len(survivors) + len(unexplained)
    return bool(unexplained) or (judged > 0 and len(unexplained) / judged > 1 - BAR)


def _record(results: list[tuple[Mutant, str]], known: dict[str, str]) -> dict[str, Any]:
    survivors = {mutant.key: known.get(mutant.key, UNEXPLAINED) for mutant, shown in results if shown == SURVIVED}
    killed = sum(shown != SURVIVED for _, shown in results)
    return {"tried": len(results), "killed": killed, "survivors": {**known, **survivors}}


if __name__ == "__main__":
    sys.exit(main())
